"""What clients are told of a protected resource (RFC 9728), from a challenge to the server that gives tokens."""

import re

import pytest

from http_client import request
from world import World

AT = "/.well-known/oauth-protected-resource"
# The example of RFC 9728, section 3.2.
EXAMPLE = {
    "resource": "https://resource.example.com",
    "authorization_servers": ["https://as1.example.com", "https://as2.example.net"],
    "bearer_methods_supported": ["header", "body"],
    "scopes_supported": ["profile", "email", "phone"],
    "resource_documentation": "https://resource.example.com/resource_documentation.html",
}
TOOLS = {"resource": "https://resource.example.com/resource1", "authorization_servers": ["https://as1.example.com"]}
HOST = ("host", "resource.example.com")


def config(world: World, **more) -> dict:
    rules = [
        {"match": {"path_prefix": "/resource1"}, "scopes_all": ["tools"], "resource": TOOLS},
        {"match": {"path_prefix": "/public"}, "access": "public"},
        {"match": {"path_prefix": "/.well-known"}, "access": "public"},
        {"match": {"path_prefix": "/"}},
    ]
    return world.config(issuers=[world.own_issuer()], rules=rules, resource=EXAMPLE, **more)


@pytest.fixture(scope="module")
def gateway(directory, idp, api, filter_wasm, world: World):
    from conftest import _end, _starter

    start, started = _starter(directory, idp, api)
    yield start(config(world))
    _end(started, False)


def ask(gateway, path: str, method: str = "GET", *headers):
    return request(gateway.base_url + path, method, [HOST, *headers])


def test_from_the_challenge_to_the_servers(gateway, api):
    api.reset()
    for path, url, told in [("/orders", AT, EXAMPLE), ("/resource1/x", f"{AT}/resource1", TOOLS)]:
        refused = ask(gateway, path)
        challenge = refused.header("www-authenticate")
        assert (refused.status, challenge) == (401, f'Bearer realm="api", resource_metadata="https://resource.example.com{url}"')
        assert refused.header("access-control-expose-headers") == "WWW-Authenticate"
        there = re.search('resource_metadata="https://[^/]+(/[^"]+)"', challenge)[1]
        answer = ask(gateway, there)
        assert (answer.status, answer.json()) == (200, told)
        assert answer.header("content-type") == "application/json"
        assert answer.header("access-control-allow-origin") == "*"
        assert answer.header("cache-control") == "public, max-age=300"
    assert api.seen() == 0
    assert gateway.metrics()["herdgate.resource.described"] >= 2


def test_every_challenge_says_where(gateway, world: World):
    for token, code in [("bad", "invalid_token"), (world.own(exp=1), "invalid_token"), (world.own(scope="x"), "insufficient_scope")]:
        refused = ask(gateway, "/resource1", "GET", ("authorization", f"Bearer {token}"))
        assert f'error="{code}"' in refused.header("www-authenticate")
        assert f'resource_metadata="https://resource.example.com{AT}/resource1"' in refused.header("www-authenticate")
    assert ask(gateway, "/public").header("www-authenticate") is None
    assert ask(gateway, "/orders", "GET", ("authorization", f"Bearer {world.own()}")).status == 200


def test_head_preflight_and_any_host(gateway):
    head = ask(gateway, AT, "HEAD")
    assert (head.status, head.body, head.header("content-type")) == (200, b"", "application/json")
    announced = [("origin", "https://app.example"), ("access-control-request-method", "GET"), ("access-control-request-headers", "mcp-protocol-version")]
    preflight = ask(gateway, AT, "OPTIONS", *announced)
    assert (preflight.status, preflight.body) == (204, b"")
    assert (preflight.header("access-control-allow-origin"), preflight.header("access-control-allow-headers")) == ("*", "*")
    assert request(gateway.base_url + AT).json() == EXAMPLE
    assert ask(gateway, f"{AT}?x=y", "GET", ("authorization", "Bearer bad")).json() == EXAMPLE


def test_what_isnt_configured_goes_by_the_rules(gateway, api):
    api.reset()
    for method, path in [("POST", AT), ("GET", f"{AT}/other"), ("GET", "/.well-known/oauth-authorization-server")]:
        assert ask(gateway, path, method).status == 200
    assert api.seen() == 3
    assert ask(gateway, "/orders/.well-known/oauth-protected-resource").status == 401


def test_in_shadow_mode_nothing_is_answered(start_gateway, world: World, api):
    gateway = start_gateway(config(world, mode="shadow"))
    api.reset()
    assert [ask(gateway, path).status for path in (AT, f"{AT}/resource1", "/orders")] == [200, 200, 200]
    assert api.seen() == 3


def test_with_proofs_both_schemes_say_it(start_gateway, world: World):
    issuers = [world.own_issuer(dpop={"origins": ["https://resource.example.com"]})]
    gateway = start_gateway(world.config(issuers=issuers, rules=[], resource=EXAMPLE))
    where = f'resource_metadata="https://resource.example.com{AT}"'
    refused = ask(gateway, "/orders")
    assert refused.header("www-authenticate") == f'Bearer realm="api", {where}, DPoP algs="ES256 Ed25519 EdDSA", {where}'
