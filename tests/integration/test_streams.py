"""Security Event Tokens that are polled (RFC 8936), and lists that are signed. Every request is a connection of its own, so that
all workers get some."""

import json
import time

import pytest

from envoy import plain_cluster
from gateway import Gateway
from http_client import request
from processes import PATIENCE_S, wait_until
from tokens import Key, claims, forged
from transmitter import Transmitter
from world import OWN, World

KEPT, READ, FAILED = "herdgate.revocation.set_kept", "herdgate.revocation.feed_read", "herdgate.revocation.feed_failed"


@pytest.fixture
def transmitter(world: World):
    transmitter = Transmitter(world.rsa, OWN)
    yield transmitter
    transmitter.stop()


def config(world: World, *feeds: dict) -> dict:
    return world.config(issuers=[world.own_issuer()], rules=[], revocation={"feeds": list(feeds)})


def begin(start_gateway, transmitter: Transmitter, world: World, **more) -> Gateway:
    gateway = start_gateway(None, extra_clusters=[plain_cluster("transmitter", transmitter.port)])
    gateway.start(config(world, transmitter.feed(**more)))
    # The first request begins the stream where nothing else does: tokens from before it would be refused.
    statuses(gateway, of(world, "nobody"), 1)
    wait_until(lambda: transmitter.polls, PATIENCE_S, "a poll", every=0.05)
    return gateway


def of(world: World, subject: str, **more) -> str:
    return world.rsa.token(claims(OWN, subject=subject, **more))


def statuses(gateway: Gateway, token: str, times: int = 20) -> set[int]:
    """All workers have seen it."""
    return {request(gateway.base_url + "/orders", headers={"authorization": f"Bearer {token}"}).status for _ in range(times)}


def user(subject: str) -> dict:
    return {"format": "iss_sub", "iss": OWN, "sub": subject}


def acknowledges(transmitter: Transmitter, jti: str) -> None:
    wait_until(lambda: jti in transmitter.acknowledged, PATIENCE_S, f"an acknowledgement of {jti}", every=0.05)


def test_a_set_refuses_a_subject_on_all_workers(start_gateway, world: World, transmitter: Transmitter):
    gateway = begin(start_gateway, transmitter, world)
    alice, bob = of(world, "alice"), of(world, "bob")
    for token in (alice, bob):
        assert statuses(gateway, token) == {200}
    sent = time.monotonic()
    transmitter.send("1", user("alice"))
    # Once it is acknowledged no worker accepts the token.
    acknowledges(transmitter, "1")
    assert time.monotonic() - sent < 5
    assert statuses(gateway, alice) == {401}
    assert statuses(gateway, bob) == {200}
    answer = request(gateway.base_url + "/orders", headers={"authorization": f"Bearer {alice}"})
    assert 'error="invalid_token"' in answer.header("www-authenticate") and "alice" not in str(answer.headers)
    # Who logs in again is admitted.
    time.sleep(1.1)
    assert statuses(gateway, of(world, "alice")) == {200}
    assert gateway.metrics()[KEPT] == 1
    assert transmitter.polls[0] == {"maxEvents": 32, "returnImmediately": True}


def test_sessions_ids_and_changed_credentials(start_gateway, world: World, transmitter: Transmitter):
    gateway = begin(start_gateway, transmitter, world)
    one, two = of(world, "carol", sid="s1"), of(world, "carol", sid="s2")
    none, named = of(world, "carol"), of(world, "dave", jti="the-one")
    old = of(world, "erin")
    for token in (one, two, none, named, old):
        assert statuses(gateway, token, 4) == {200}
    transmitter.send("1", {"format": "complex", "session": {"format": "opaque", "id": "s1"}, "user": user("carol")})
    transmitter.send("2", {"format": "jwt_id", "iss": OWN, "jti": "the-one"})
    transmitter.send("3", user("erin"), "credential-change")
    for jti in ("1", "2", "3"):
        acknowledges(transmitter, jti)
    assert [statuses(gateway, token, 8) for token in (one, two, none, named, old)] == [{401}, {200}, {401}, {401}, {401}]
    assert statuses(gateway, of(world, "dave"), 8) == {200}


def test_sets_that_do_not_verify_are_told_and_change_nothing(start_gateway, world: World, transmitter: Transmitter):
    gateway = begin(start_gateway, transmitter, world)
    token = of(world, "frank")
    assert statuses(gateway, token) == {200}
    transmitter.send("forged", user("frank"))
    transmitter.sets["forged"] = forged(transmitter.sets["forged"])
    transmitter.send("stranger", user("frank"), key=world.stranger)
    transmitter.send("theirs", user("frank"), aud="another")
    transmitter.send("email", {"format": "email", "email": "frank@example.com"})
    wait_until(lambda: len(transmitter.refused) == 4, PATIENCE_S, "four errors", every=0.1)
    codes = {jti: error["err"] for jti, error in transmitter.refused.items()}
    assert codes == {"forged": "authentication_failed", "stranger": "authentication_failed", "theirs": "invalid_audience", "email": "invalid_request"}
    assert statuses(gateway, token) == {200}
    assert transmitter.acknowledged == []
    assert "sets are refused" in gateway.log() and "frank" not in gateway.log()


def test_one_set_for_ever_and_a_server_that_fails(start_gateway, world: World, transmitter: Transmitter):
    transmitter.is_deaf = True
    gateway = begin(start_gateway, transmitter, world)
    token = of(world, "grace")
    assert statuses(gateway, token) == {200}
    transmitter.send("1", user("grace"))
    acknowledges(transmitter, "1")
    before, began = len(transmitter.polls), time.monotonic()
    time.sleep(3)
    assert len(transmitter.polls) - before <= 2 + 2 * (time.monotonic() - began)
    assert statuses(gateway, token) == {401}
    transmitter.status = 500
    wait_until(lambda: gateway.metrics().get(FAILED) > 0, PATIENCE_S, "a failure", every=0.1)
    assert statuses(gateway, token) == {401}


def test_after_a_restart_what_was_acknowledged_is_not_admitted(start_gateway, world: World, transmitter: Transmitter):
    gateway = begin(start_gateway, transmitter, world)
    alice, bob = of(world, "alice"), of(world, "bob")
    assert statuses(gateway, bob) == {200}
    transmitter.send("1", user("alice"))
    acknowledges(transmitter, "1")
    assert not transmitter.sets
    gateway.stop()
    time.sleep(1.1)
    # It doesn't matter whether the server answers: it has nothing more to say of alice.
    transmitter.status = 500
    gateway.start(config(world, transmitter.feed()))
    # Nobody knows any more whose tokens of that time were taken back.
    assert statuses(gateway, alice) == {401}
    assert statuses(gateway, bob) == {401}
    assert statuses(gateway, of(world, "bob")) == {200}
    transmitter.status = 200
    wait_until(lambda: gateway.metrics().get(READ) > 0, PATIENCE_S, "a poll", every=0.1)
    assert statuses(gateway, alice) == {401}


def test_many_sets_at_once(start_gateway, world: World, transmitter: Transmitter):
    gateway = begin(start_gateway, transmitter, world)
    tokens = [of(world, f"user-{n}") for n in range(0, 300, 60)]
    assert all(statuses(gateway, token, 4) == {200} for token in tokens)
    for n in range(300):
        transmitter.send(str(n), user(f"user-{n}"))
    wait_until(lambda: len(transmitter.acknowledged) >= 300, PATIENCE_S, "300 acknowledgements", every=0.1)
    assert all(statuses(gateway, token, 8) == {401} for token in tokens)
    # Within their bound they are polled one after the other.
    assert max(len(poll.get("ack", [])) for poll in transmitter.polls) <= 32


def test_a_signed_list_by_subject_and_session(start_gateway, world: World):
    path, sequence = "/revoked.jwt", iter(range(1, 100))

    def publish(*entries: dict, key: Key | None = None, **more) -> None:
        key = key or world.rsa
        body = {"sequence": next(sequence), "revoked": [{"iss": OWN, **entry} for entry in entries], "exp": int(time.time()) + 600, **more}
        world.idp.document(path, key.token(body, key.header(typ="revocation-list+jwt")), {"content-type": "application/jwt"})

    def read(name: str) -> None:
        before = gateway.metrics().get(name)
        wait_until(lambda: gateway.metrics().get(name) >= before + 2, PATIENCE_S, f"two more {name}", every=0.1)

    publish()
    uri = world.idp.issuer + path
    feed = {"kind": "signed", "issuer": "own", "uri": uri, "allow_http": True, "cluster": "idp", "every_s": 1, "timeout_ms": 500}
    gateway = start_gateway(config(world, feed))
    before = int(time.time()) - 10
    old, new, session = of(world, "heidi", iat=before - 1), of(world, "heidi", iat=before), of(world, "ivan", sid="s9", iat=before - 1)
    timeless = of(world, "heidi", iat=None)
    # Without iat the lifetime counts from first sight.
    for token in (old, new, session, timeless):
        assert statuses(gateway, token, 6) == {200}
    publish({"sub": "heidi", "before": before}, {"sid": "s9", "before": before})
    read(READ)
    assert [statuses(gateway, token, 8) for token in (old, new, session, timeless)] == [{401}, {200}, {401}, {401}]
    # What another has signed, what nobody has, and what has ended changes nothing, and is said.
    faults = [
        (lambda: publish(key=world.stranger), "none of the issuer's keys verifies its signature"),
        (lambda: world.idp.document(path, json.dumps({"sequence": 99, "revoked": []})), "expected a JWS"),
        (lambda: publish(exp=before - 60), 'its "exp" has passed'),
    ]
    for fault, words in faults:
        fault()
        read(FAILED)
        assert statuses(gateway, old, 8) == {401} and statuses(gateway, new, 8) == {200}
        assert words in gateway.log()
    publish()
    read(READ)
    assert statuses(gateway, old, 8) == {200}
    world.idp.document(path, None)
