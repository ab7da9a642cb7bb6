"""Key sets that change where nobody looks: without names, under an old name, empty for a moment, moved, or large."""

import json
import time

import pytest

from http_client import request
from tokens import Key, claims, forged, jwks
from world import World

ISSUER = "https://keys.example"
SET = "/changing-jwks"


@pytest.fixture
def serve(world: World):
    """Serves a JWK Set of these keys, and forgets how often it was asked for."""
    served = set()

    def document(*keys: Key, path: str = SET, body: str | None = None) -> str:
        served.add(path)
        address = world.idp.document(path, jwks(*keys) if body is None else body)
        world.idp.reset_counts()
        return address

    yield document
    for path in served:
        world.idp.document(path, None)


def issuer(world: World, **more) -> dict:
    return {
        "name": "changing",
        "issuer": ISSUER,
        "jwks_uri": world.idp.issuer + SET,
        "allow_http": True,
        "cluster": "idp",
        "algorithms": ["ES256"],
        **more,
    }


def with_issuer(world: World, **more) -> dict:
    return world.config(issuers=[issuer(world, **more)], rules=[])


def token(key: Key, header: dict | None = None) -> str:
    return key.token(claims(ISSUER, audience=None), header)


def statuses(gateway, *tokens: str) -> list[int]:
    return [request(gateway.base_url + "/x", headers={"authorization": f"Bearer {one}"}).status for one in tokens]


@pytest.mark.parametrize("kid", [None, "the-same"])
def test_a_key_that_changed_is_fetched_on_a_bad_signature(kid, start_gateway, world: World, serve):
    old, new = Key("ES256", kid), Key("ES256", kid)
    serve(old)
    gateway = start_gateway(with_issuer(world, jwks={"ttl_s": 600, "refetch_s": 1}))
    assert statuses(gateway, *[token(old) for _ in range(4)]) == [200] * 4
    time.sleep(1.2)
    serve(new)
    assert statuses(gateway, *[token(new) for _ in range(6)]) == [200] * 6
    assert world.idp.requests(SET) == 1
    time.sleep(1.2)
    assert statuses(gateway, token(old)) == [401]


def test_forged_tokens_do_not_storm_the_key_server(start_gateway, world: World, serve):
    key = Key("ES256")
    serve(key)
    gateway = start_gateway(with_issuer(world, jwks={"ttl_s": 600, "refetch_s": 300}))
    assert statuses(gateway, token(key)) == [200]
    serve(key)
    assert statuses(gateway, *[forged(token(key)) for _ in range(100)]) == [401] * 100
    assert world.idp.requests(SET) == 1
    assert statuses(gateway, token(key)) == [200]


@pytest.mark.parametrize("empty", ['{"keys":[]}', '{"keys":[{"kty":"quantum","kid":"q"}]}'])
def test_an_empty_set_logs_nobody_out(empty, start_gateway, world: World, serve):
    key = Key("ES256", "one")
    serve(key)
    gateway = start_gateway(with_issuer(world, jwks={"ttl_s": 1, "refetch_s": 1}))
    assert statuses(gateway, *[token(key) for _ in range(4)]) == [200] * 4
    serve(body=empty)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert statuses(gateway, token(key)) == [200]
    assert gateway.metrics()["herdgate.jwks.fetch_failed"] > 0
    # It heals as after any failure.
    new = Key("ES256", "two")
    serve(new)
    end = time.monotonic() + 40
    while statuses(gateway, token(new)) != [200]:
        assert time.monotonic() < end, "the new set is never taken"
        time.sleep(0.2)


def test_a_first_set_that_is_empty_is_503(start_gateway, world: World, serve):
    serve(body='{"keys":[]}')
    gateway = start_gateway(with_issuer(world))
    assert statuses(gateway, token(Key("ES256"))) == [503]


def test_a_moved_jwks_uri_is_found_when_a_key_is_unknown(start_gateway, world: World, serve):
    def metadata(path: str) -> str:
        return json.dumps({"issuer": ISSUER, "jwks_uri": world.idp.issuer + path})

    old, new = Key("ES256", "old"), Key("ES256", "new")
    serve(old)
    serve(old, new, path="/moved-jwks")
    found = serve(path="/changing-metadata", body=metadata(SET))
    discovered = issuer(world, discovery=found, jwks={"ttl_s": 600, "refetch_s": 1})
    del discovered["jwks_uri"]
    gateway = start_gateway(world.config(issuers=[discovered], rules=[]))
    assert statuses(gateway, *[token(old) for _ in range(4)]) == [200] * 4
    serve(path="/changing-metadata", body=metadata("/moved-jwks"))
    time.sleep(1.2)
    assert statuses(gateway, *[token(new) for _ in range(6)]) == [200] * 6
    assert statuses(gateway, token(old)) == [200]
    assert world.idp.requests("/changing-metadata") == 1


def test_all_keys_without_a_name_are_tried(start_gateway, world: World, serve):
    keys = [Key("ES256") for _ in range(40)]
    serve(*keys)
    gateway = start_gateway(with_issuer(world))
    assert statuses(gateway, token(keys[0]), token(keys[8]), token(keys[39])) == [200] * 3
    inline = {"name": "inline", "issuer": ISSUER, "algorithms": ["ES256"], "keys": [{"jwk": key.jwk()} for key in keys[:20]]}
    gateway = start_gateway(world.config(issuers=[inline], rules=[]))
    assert statuses(gateway, token(keys[8]), token(keys[19]), token(keys[20])) == [200, 200, 401]


# The test host interprets the module, and a hundred verifications take it seconds.
@pytest.mark.only("envoy")
def test_a_flood_of_bad_signatures_is_bounded(start_gateway, world: World, serve):
    """Each forged token could cost as many verifications as there are keys. Most of a flood is told to come back, and
    who signs with a key that was used lately doesn't feel it."""
    keys = [Key("ES256") for _ in range(100)]
    serve(*keys)
    gateway = start_gateway(with_issuer(world, jwks={"ttl_s": 600, "refetch_s": 300}), workers=1)
    stranger = Key("ES256")
    assert statuses(gateway, token(keys[99])) == [200]
    for _ in range(100):
        refused, good = statuses(gateway, token(stranger), token(keys[99]))
        assert good == 200 and refused in (401, 503)
    answers = [request(gateway.base_url + "/x", headers={"authorization": f"Bearer {token(stranger)}"}) for _ in range(60)]
    for answer in answers:
        assert answer.status == 401 or int(answer.header("retry-after")) >= 1
    assert gateway.metrics()["herdgate.jwks.not_all_tried"] > 0
