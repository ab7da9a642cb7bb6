"""Revoked tokens: a feed that the gateway polls (REVOCATION.md). Every request is a connection of its own, so that all workers get some."""

import json
import time

import pytest

from gateway import Gateway
from http_client import request
from processes import PATIENCE_S, wait_until
from servers import Idp
from tokens import claims
from world import OWN, World

FEED = "/revoked.json"
EVERY_S = 1
READ, FAILED = "herdgate.revocation.feed_read", "herdgate.revocation.feed_failed"


class Feed:
    """The publisher of a feed."""

    def __init__(self, idp: Idp):
        self.idp, self.sequence, self.entries = idp, 0, []
        self.publish()

    @property
    def config(self) -> dict:
        return {"uri": self.idp.issuer + FEED, "cluster": "idp", "allow_http": True, "every_s": EVERY_S, "timeout_ms": 500}

    def publish(self, *jtis: str, **headers: str) -> None:
        self.sequence += 1
        self.entries += [{"iss": OWN, "jti": jti, "exp": int(time.time()) + 600} for jti in jtis]
        self.idp.document(FEED, json.dumps({"sequence": self.sequence, "revoked": self.entries}), headers)

    def answer(self, body: str, status: int = 200) -> None:
        """Serves something else."""
        self.idp.document(FEED, body, status=status)


@pytest.fixture
def feed(world: World):
    feed = Feed(world.idp)
    yield feed
    world.idp.document(FEED, None)


def config(world: World, feed: Feed, **more) -> dict:
    return world.config(issuers=[world.own_issuer()], rules=[], revocation={"feeds": [{**feed.config, **more}]})


def make(world: World, jti: str | None = None) -> tuple[str, str]:
    """A token and its id."""
    body = claims(OWN, **({"jti": jti} if jti else {}))
    return world.rsa.token(body), body["jti"]


def status(gateway: Gateway, token: str) -> int:
    return request(gateway.base_url + "/orders", headers={"authorization": f"Bearer {token}"}).status


def statuses(gateway: Gateway, token: str, times: int = 20) -> set[int]:
    return {status(gateway, token) for _ in range(times)}


def polls(gateway: Gateway, name: str, more: int = 1) -> None:
    """Waits until the gateway has read the feed, or failed to, so many times more."""
    before = gateway.metrics().get(name)
    wait_until(lambda: gateway.metrics().get(name) >= before + more, PATIENCE_S, f"{more} more {name}", every=0.1)


def refused_everywhere(gateway: Gateway, token: str) -> None:
    """Once the gateway has read what was published, no worker accepts the token. Of two reads that end from now on,
    the second has begun since."""
    polls(gateway, READ, 2)
    assert statuses(gateway, token) == {401}


def test_a_listed_token_is_refused_on_all_workers(start_gateway, world: World, feed: Feed):
    gateway = start_gateway(config(world, feed))
    (bad, jti), (good, _) = make(world), make(world)
    # The same id in another token of the issuer: one token has several spellings.
    twin, _ = make(world, jti)
    for token in (bad, good, twin):
        assert statuses(gateway, token) == {200}
    feed.publish(jti)
    refused_everywhere(gateway, bad)
    assert statuses(gateway, twin) == {401}
    assert statuses(gateway, good) == {200}
    answer = request(gateway.base_url + "/orders", headers={"authorization": f"Bearer {bad}"})
    assert 'error="invalid_token"' in answer.header("www-authenticate") and jti not in str(answer.headers) + answer.body.decode()
    assert gateway.metrics()["herdgate.bearer.rejected.revoked"] > 20


def test_what_was_revoked_stays_so_while_the_feed_fails_or_lies(start_gateway, world: World, feed: Feed):
    gateway = start_gateway(config(world, feed))
    (bad, jti), (good, other) = make(world), make(world)
    feed.publish(jti)
    refused_everywhere(gateway, bad)

    def unchanged() -> None:
        polls(gateway, FAILED)
        assert statuses(gateway, bad) == {401}
        assert statuses(gateway, good) == {200}

    for kind in ("status", "garbage", "empty", "html", "reset"):
        world.idp.fault(FEED, kind)
        unchanged()
        world.idp.heal()
        polls(gateway, READ)
    feed.answer(json.dumps({"sequence": 0, "revoked": [{"iss": OWN, "jti": other}]}))
    unchanged()
    # Back again, with something new.
    feed.publish(other)
    refused_everywhere(gateway, good)
    assert statuses(gateway, bad) == {401}


def test_one_worker_of_the_host_polls(start_gateway, world: World, feed: Feed):
    gateway = start_gateway(config(world, feed))
    polls(gateway, READ)
    world.idp.reset_counts()
    began = time.monotonic()
    wait_until(lambda: world.idp.requests(FEED) >= 4, PATIENCE_S, "four polls", every=0.1)
    # Half of them come early, by half a second at most; with two workers that poll there would be twice as many.
    assert time.monotonic() - began >= 3 * (EVERY_S - 0.5)
    time.sleep(3)
    assert world.idp.requests(FEED) <= 1 + (time.monotonic() - began) / (EVERY_S - 0.5)


def test_an_entity_tag_is_sent_back(start_gateway, world: World, feed: Feed):
    feed.publish(etag='"v1"')
    gateway = start_gateway(config(world, feed))
    polls(gateway, READ)
    # From now on the server has nothing to say but "not modified": all is well, and nothing changes.
    feed.idp.document(FEED, "", {"etag": '"v1"'}, 304)
    bad, jti = make(world)
    polls(gateway, READ, 2)
    assert gateway.metrics().get(FAILED) == 0
    feed.publish(jti, etag='"v2"')
    refused_everywhere(gateway, bad)


def test_a_feed_that_was_never_read(start_gateway, world: World, feed: Feed):
    world.idp.fault(FEED, "status", status=500)
    token, jti = make(world)
    careful = start_gateway(config(world, feed, failure_mode="deny"))
    careless = start_gateway(config(world, feed))
    answer = request(careful.base_url + "/orders", headers={"authorization": f"Bearer {token}"})
    assert answer.status == 503 and int(answer.header("retry-after")) >= 1
    assert statuses(careful, token) == {503}
    assert statuses(careless, token) == {200}
    feed.publish(jti)
    world.idp.heal()
    refused_everywhere(careful, token)
    refused_everywhere(careless, token)
    assert statuses(careful, make(world)[0]) == {200}


def test_the_first_request_waits_for_the_feed(start_gateway, world: World, feed: Feed):
    bad, jti = make(world)
    feed.publish(jti)
    world.idp.fault(FEED, "slow", delay_ms=300)
    gateway = start_gateway(config(world, feed))
    assert statuses(gateway, bad) == {401}


def test_a_new_configuration_forgets_nothing(start_gateway, world: World, feed: Feed):
    document = config(world, feed)
    gateway = start_gateway(document)
    bad, jti = make(world)
    feed.publish(jti)
    refused_everywhere(gateway, bad)
    world.idp.fault(FEED, "status", status=500)
    gateway.reload({**document, "realm": "another"})
    assert statuses(gateway, bad) == {401}
    assert statuses(gateway, make(world)[0]) == {200}
