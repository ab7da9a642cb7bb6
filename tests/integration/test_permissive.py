"""access: permissive. A bad token makes nobody of its bearer, and doesn't reach the API."""

import pytest

from checks import absent
from http_client import request
from tokens import claims, forged
from world import World


@pytest.fixture(scope="module")
def gateway(directory, idp, api, filter_wasm, world: World):
    from gateway import Upstreams, make_gateway

    sources = [{"header": "authorization"}, {"header": "x-token"}, {"query": "jwt"}]
    made = make_gateway(directory / "permissive-gateway", Upstreams(api.port, idp.port))
    made.start(world.config(bearer={"sources": sources}, rules=[{"match": {}, "access": "permissive"}]))
    yield made
    made.stop()


def seen(gateway, headers, path: str = "/x") -> dict:
    """What the API saw, but for the path that Kong tells it of by itself (kong/README.md)."""
    answer = request(gateway.base_url + path, headers=headers)
    assert answer.status == 200, answer.body
    headers_seen = answer.json()["headers"] | {":path": answer.json()["path"]}
    return {name: value for name, value in headers_seen.items() if name != "x-forwarded-path"}


def test_a_good_token_is_who_it_says_and_none_is_nobody(gateway, world):
    assert seen(gateway, [("authorization", f"Bearer {world.own()}")])["x-user"] == ["user-1"]
    assert absent(seen(gateway, [("x-user", "root")]).get("x-user"))


def test_a_bad_token_is_taken_out_and_counted(gateway, world):
    bad = forged(world.own())
    before = gateway.metrics().get("herdgate.bearer.permitted.bad_signature", 0)
    for place in ([("authorization", f"Bearer {bad}")], [("x-token", bad)]):
        there = seen(gateway, [*place, ("x-user", "root")])
        assert absent(there.get("x-user")) and bad not in str(there)
    assert bad not in str(seen(gateway, [], f"/x?a=1&jwt={bad}"))
    assert gateway.metrics()["herdgate.bearer.permitted.bad_signature"] == before + 3


def test_of_two_tokens_neither_reaches_the_api(gateway, world):
    good, other = world.own(), world.own()
    there = seen(gateway, [("authorization", f"Bearer {good}"), ("x-token", other)], f"/x?jwt={other}&b=2")
    assert good not in str(there) and other not in str(there)
    assert absent(there.get("x-user"))


def test_an_unknown_issuer_is_nobody_and_what_cannot_be_known_is_503(gateway, world, start_gateway):
    unknown = world.rsa.token(claims("https://nobody.example"))
    only = start_gateway(None)
    only.start({
        "issuers": [world.own_issuer(), world.idp_issuer(jwks_uri=f"{world.idp.issuer}/no-such-document")],
        "rules": [{"match": {}, "access": "permissive"}],
        "shared": {"secret": {"env": "HERDGATE_SECRET"}},
    })
    assert absent(seen(only, [("authorization", f"Bearer {unknown}")]).get("x-user"))
    answer = request(only.base_url + "/x", headers=[("authorization", f"Bearer {world.idp.token()}")])
    assert answer.status == 503 and answer.header("retry-after")
