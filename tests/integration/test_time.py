"""Time and kinds of token: clocks that go back, first sight, types of token, and how fresh a client wants its answer."""

import time

import pytest

from http_client import request
from processes import PATIENCE_S, wait_until
from token_calls import access_tokens, call, config, endpoint, fresh_client, sources, upstream
from tokens import Key, b64, claims, jwks, unb64
from world import OWN, World

N_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
HOUR_S = 3600


def get(gateway, token: str, path: str = "/orders"):
    return request(gateway.base_url + path, headers={"authorization": f"Bearer {token}"})


def twin(token: str) -> str:
    """The same token with the other spelling of its ECDSA signature: n - s in place of s."""
    signed, _, signature = token.rpartition(".")
    r, s = unb64(signature)[:32], int.from_bytes(unb64(signature)[32:], "big")
    return f"{signed}.{b64(r + (N_P256 - s).to_bytes(32, 'big'))}"


# ---- first sight ----------------------------------------------------------------------------------------------------


def test_the_twin_of_an_ended_token_has_no_second_life(start_gateway, world: World):
    gateway = start_gateway(world.config(issuers=[world.own_issuer(exp="optional", lifetime_s_max=2)], rules=[]))
    token = world.ec.token(claims(OWN, iat=None, exp=None))
    first = time.monotonic()
    assert [get(gateway, token).status for _ in range(4)] == [200] * 4
    time.sleep(max(0.0, first + 3.1 - time.monotonic()))
    for spelling in (token, twin(token)):
        assert [get(gateway, spelling).status for _ in range(6)] == [401] * 6
    # The other spelling is as good as the first while it lasts, and a forged one isn't.
    other = world.ec.token(claims(OWN, iat=None, exp=None))
    assert [get(gateway, spelling).status for spelling in (other, twin(other))] == [200, 200]


# ---- kinds of token -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typ", ["dpop+jwt", "application/dpop+jwt", "Logout+JWT", "secevent+jwt", "token-introspection+jwt", "kb+jwt", "statuslist+jwt"])
def test_what_says_that_it_is_no_access_token_is_refused(typ, start_gateway, world: World):
    gateway = start_gateway(world.config(issuers=[world.own_issuer()], rules=[]))
    refused = get(gateway, world.own(header=world.rsa.header(typ=typ)))
    assert refused.status == 401 and 'error="invalid_token"' in refused.header("www-authenticate")
    assert gateway.metrics()["herdgate.bearer.rejected.wrong_type"] == 1
    for fine in ("JWT", "at+jwt", "application/at+jwt"):
        assert get(gateway, world.own(header=world.rsa.header(typ=fine))).status == 200, fine


def test_a_logout_token_is_refused_whatever_its_typ(start_gateway, world: World):
    gateway = start_gateway(world.config(issuers=[world.own_issuer()], rules=[]))
    events = {"http://schemas.openid.net/event/backchannel-logout": {}}
    for header in (world.rsa.header(typ="JWT"), {"alg": "RS256", "kid": "rsa-1"}):
        assert get(gateway, world.own(header=header, events=events)).status == 401
        assert get(gateway, world.own(header=header, events=["an", "own", "claim"])).status == 200


# ---- how fresh a client wants it ------------------------------------------------------------------------------------


def test_cache_control_of_a_token_call(start_gateway, world: World, counted):
    gateway = start_gateway(config())
    client = fresh_client()
    (kept,) = access_tokens([call(gateway.base_url, client)])
    for spelling in ("no-cache", "max-age=0", "max-age=00", 'max-age="0"', "MAX-AGE = 0", "max-age", "no-store", "foo, no-store"):
        answer = call(gateway.base_url, client, headers={"cache-control": spelling})
        assert sources([answer]) == {"bypass": 1} and access_tokens([answer]) != {kept}, spelling
    for fine in ("max-age=3600", "max-stale=0", "no-transform", "min-fresh=1"):
        assert sources([call(gateway.base_url, client, headers={"cache-control": fine})]) == {"hit": 1}, fine
    time.sleep(1.2)
    world.idp.reset_counts()
    answer = call(gateway.base_url, client, headers={"cache-control": "max-age=1"})
    (fresh,) = access_tokens([answer])
    assert sources([answer]) == {"miss": 1} and fresh != kept and upstream(world) == 1
    # The new one is kept in its place.
    answer = call(gateway.base_url, client)
    assert sources([answer]) == {"hit": 1} and access_tokens([answer]) == {fresh}
    answer = call(gateway.base_url, client, headers={"cache-control": "min-fresh=86400"})
    assert sources([answer]) == {"miss": 1} and access_tokens([answer]) != {fresh}


# ---- a clock that goes back (the test host can move it) ------------------------------------------------------------


@pytest.mark.only("kong-host")
@pytest.mark.parametrize("back_s", [5, HOUR_S])
def test_a_clock_that_went_back_keeps_no_failure(back_s, start_gateway, world: World, counted):
    gateway = start_gateway(config())
    client = fresh_client()
    world.idp.fault("/oauth2/token", "status", status=503)
    assert call(gateway.base_url, client).status == 503
    gateway.move_clock(-back_s)
    world.idp.heal()
    # A failure is remembered for a second, and a limit whose clock went back counts as used up for its own length.
    end = time.monotonic() + 20
    while call(gateway.base_url, client).status != 200:
        assert time.monotonic() < end, "what was remembered holds on"
        time.sleep(0.2)
    access_tokens([call(gateway.base_url, client) for _ in range(4)])


@pytest.mark.only("kong-host")
def test_a_clock_that_went_back_keeps_no_introspection_and_no_keys(start_gateway, world: World):
    key, new = Key("ES256", "one"), Key("ES256", "two")
    world.idp.document("/time-jwks", jwks(key))
    world.idp.document("/time-told", '{"active": true}')
    asked = {"uri": world.idp.issuer + "/time-told", "allow_http": True, "cluster": "idp", "client_id": "g", "client_secret": "s", "ttl_s_max": 2}
    issuer = {
        "name": "idp", "issuer": OWN, "jwks_uri": world.idp.issuer + "/time-jwks", "allow_http": True, "cluster": "idp",
        "algorithms": ["ES256"], "jwks": {"ttl_s": 600}, "leeway_s": 30,
    }
    rules = [{"match": {"path_prefix": "/orders"}, "introspect": True}, {"match": {"path_prefix": "/plain"}}]
    gateway = start_gateway(world.config(issuers=[issuer], rules=rules, introspection=asked))
    now = int(time.time())
    token = key.token(claims(OWN, iat=now - 2 * HOUR_S, exp=now + HOUR_S))
    assert [get(gateway, token).status for _ in range(4)] == [200] * 4
    world.idp.document("/time-told", '{"active": false}')
    gateway.move_clock(-HOUR_S)
    seen = set()

    def is_refused() -> bool:
        answers = [get(gateway, token).status for _ in range(4)]
        seen.update(answers)
        return answers == [401] * 4

    # The pace of new questions was noted ahead of now, too: for two seconds nobody may ask.
    wait_until(is_refused, PATIENCE_S, "introspection to be asked again")
    assert seen <= {401, 503}, "the kept yes is of another time"
    # The removed key stops within ttl_s of running time: here at once, since nobody knows how old the set is.
    world.idp.document("/time-jwks", jwks(new))
    gateway.move_clock(-HOUR_S)
    assert get(gateway, token, "/plain").status == 401
    for path in ("/time-jwks", "/time-told"):
        world.idp.document(path, None)


@pytest.mark.only("kong-host")
def test_a_clock_that_was_never_set_admits_nothing(start_gateway, world: World):
    issuer = world.own_issuer()
    del issuer["lifetime_s_max"]
    gateway = start_gateway(world.config(issuers=[issuer], rules=[]))
    only_exp = world.rsa.token(claims(OWN, iat=None))
    assert get(gateway, only_exp).status == 200
    gateway.move_clock(-int(time.time()) - 60)
    for token in (only_exp, world.rsa.token(claims(OWN, iat=None))):
        answer = get(gateway, token)
        assert answer.status == 503 and "invalid_token" not in answer.body.decode(), answer
    assert gateway.metrics()["herdgate.bearer.rejected.clock_unset"] == 2


# ---- an update of the configuration --------------------------------------------------------------------------------


def updated(document: dict) -> dict:
    """The same with one more rule and one more limit."""
    rules = [*document.get("rules", []), {"match": {"path_prefix": "/added"}, "access": "public"}]
    limits = [*document.get("rate_limits", []), {"name": "added", "key": ["address"], "limit": 1000, "per_s": 1}]
    return {**document, "rules": rules, "rate_limits": limits}


def test_an_update_of_the_configuration_forgets_no_token_answer(start_gateway, world: World, counted):
    document = config(endpoint())
    gateway = start_gateway(document)
    client, refused = fresh_client(), fresh_client()
    (kept,) = access_tokens([call(gateway.base_url, client)])
    assert call(gateway.base_url, refused, secret="wrong").status == 401
    world.idp.reset_counts()
    gateway.reload(updated(document))
    assert request(gateway.base_url + "/added").status == 200, "the new configuration is in force"
    answers = [call(gateway.base_url, client) for _ in range(6)]
    assert sources(answers) == {"hit": 6} and access_tokens(answers) == {kept}
    assert call(gateway.base_url, refused, secret="wrong").status == 401
    assert upstream(world) == 0
    # The entry of the endpoint itself is what answers are kept under.
    gateway.reload(config(endpoint(reuse={"fraction": 0.4, "min_remaining_s": 1, "max_s": 3300})))
    assert sources([call(gateway.base_url, client)]) == {"miss": 1}


def test_an_update_of_the_configuration_forgets_no_introspection(start_gateway, world: World):
    world.idp.document("/time-told", '{"active": true}')
    asked = {"uri": world.idp.issuer + "/time-told", "allow_http": True, "cluster": "idp", "client_id": "g", "client_secret": "s", "ttl_s_max": 600}
    rules = [{"match": {"path_prefix": "/orders"}, "issuers": ["own"], "introspect": True}]
    document = world.config(issuers=[world.own_issuer()], rules=rules, introspection=asked)
    gateway = start_gateway(document)
    token = world.own()
    assert get(gateway, token).status == 200
    world.idp.reset_counts()
    gateway.reload(updated(document))
    assert request(gateway.base_url + "/added").status == 200
    assert [get(gateway, token).status for _ in range(6)] == [200] * 6
    assert world.idp.requests("/time-told") == 0
    world.idp.document("/time-told", None)
