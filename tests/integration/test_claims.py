"""Claims by their names: URLs in every place that takes a claim, alternatives, headers that say who a user is."""

import pytest

from http_client import request
from world import World

UID = "https://shop.example/uid"
ROLES = "https://shop.example/roles"
NESTED = '["https://hasura.example/jwt/claims","x-hasura-role"]'


@pytest.fixture(scope="module")
def gateway(directory, idp, api, filter_wasm, world: World):
    from gateway import Upstreams, make_gateway

    own = world.own_issuer(
        claims_required=[UID],
        scope_claim="https://shop.example/scopes",
        forward={"claims": {UID: "x-uid", ROLES: "X-Forwarded-Groups", "email": "x-forwarded-email", NESTED: "x-role"}},
    )
    rules = [
        {"match": {"path_prefix": "/roles"}, "claims": {ROLES: ["admin"]}},
        {"match": {"path_prefix": "/scopes"}, "scopes_all": ["orders:read"]},
        {
            "match": {"path_prefix": "/any"},
            "claims": {"tier": ["a", "b"]},
            "any": [{"scopes_any": ["orders:read"]}, {"claims": {ROLES: ["orders.all"]}}, {"claims": {NESTED: ["editor"]}, "audiences": ["special-api"]}],
        },
        {"match": {"path_prefix": "/limited"}, "limits": ["by-uid"]},
        {"match": {}},
    ]
    made = make_gateway(directory / "claims-gateway", Upstreams(api.port, idp.port))
    limit = {"name": "by-uid", "key": [f"claim:{UID}"], "limit": 2, "per_s": 3600}
    made.start({"issuers": [own], "rules": rules, "rate_limits": [limit], "shared": {"secret": {"env": "HERDGATE_SECRET"}}})
    yield made
    made.stop()


def ask(gateway, world: World, path: str, headers=(), **claims):
    token = world.own(**{UID: "u-1", **claims})
    return request(gateway.base_url + path, headers=[("authorization", f"Bearer {token}"), *headers])


def test_a_url_is_one_name_wherever_a_claim_is_named(gateway, world):
    assert ask(gateway, world, "/roles", **{ROLES: ["user", "admin"]}).status == 200
    assert ask(gateway, world, "/roles", **{ROLES: ["user"]}).status == 403
    # The path that the dots would make is another claim.
    assert ask(gateway, world, "/roles", **{"https://shop": {"example/roles": ["admin"]}}).status == 403
    assert ask(gateway, world, "/scopes", **{"https://shop.example/scopes": "orders:read"}).status == 200
    assert ask(gateway, world, "/scopes", scope="orders:read").status == 403
    missing = ask(gateway, world, "/other", **{UID: None})
    assert missing.status == 401 and 'error="invalid_token"' in missing.header("www-authenticate")


def test_headers_of_claims_with_urls_and_of_users(gateway, world):
    claims = {ROLES: ["a", "b"], "email": "u@shop.example", "https://hasura.example/jwt/claims": {"x-hasura-role": "editor"}}
    forged = [("x-forwarded-groups", "admin"), ("X-Forwarded-Email", "root@shop.example"), ("x_role", "root")]
    seen = ask(gateway, world, "/other", forged, **claims).json()["headers"]
    wanted = {"x-uid": ["u-1"], "x-forwarded-groups": ["a,b"], "x-forwarded-email": ["u@shop.example"], "x-role": ["editor"]}
    assert {name: seen.get(name) for name in wanted} == wanted
    # Without the claim nothing of the client's is left.
    seen = ask(gateway, world, "/other", forged).json()["headers"]
    assert all(seen.get(name, [""]) == [""] for name in wanted if name != "x-uid")


def test_a_limit_counts_by_such_a_claim(gateway, world):
    statuses = [ask(gateway, world, "/limited", **{UID: who}).status for who in ("l-1", "l-1", "l-1", "l-2", "l-2", "l-2")]
    assert statuses == [200, 200, 429, 200, 200, 429]


def test_one_of_several_alternatives_has_to_hold(gateway, world):
    scopes, roles = "https://shop.example/scopes", ROLES
    nested = {"https://hasura.example/jwt/claims": {"x-hasura-role": "editor"}}
    for good in ({scopes: "x orders:read"}, {roles: ["orders.all"]}, {**nested, "audience": "special-api"}):
        assert ask(gateway, world, "/any", tier="a", **good).status == 200, good
        # What stands beside the alternatives has to hold all the same.
        assert ask(gateway, world, "/any", tier="c", **good).status == 403, good
    bad = ask(gateway, world, "/any", tier="a", **nested)
    assert bad.status == 403
    assert 'error="insufficient_scope"' in bad.header("www-authenticate") and 'scope="orders:read"' in bad.header("www-authenticate")


@pytest.mark.parametrize("ambiguous", ["https://shop.example/jwt.claims", "urn:shop.example:role"])
def test_what_could_be_meant_in_two_ways_is_refused_at_load(ambiguous, start_gateway, world):
    said = start_gateway(None).refuses(world.config(rules=[{"match": {}, "claims": {ambiguous: ["x"]}}]))
    assert "one name, or a path of several?" in said
