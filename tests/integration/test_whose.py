"""Whose a token is, and how long: credentials by another claim, secrets in base64, consumers of a claim, what is left of a
life, paths in any letter-case."""

import base64
import time

import pytest


from http_client import request
from tokens import Key, claims
from world import OWN, World

SECRET = b"\xfb\xff a secret of more than thirty-two bytes"


@pytest.fixture(scope="module")
def gateway(directory, idp, api, filter_wasm, world: World):
    from gateway import Upstreams, make_gateway

    inline = [
        {"key": "app-1", "secret": base64.urlsafe_b64encode(SECRET).decode().rstrip("="), "consumer": "app"},
        {"key": "app-2", "secret": base64.b64encode(SECRET[::-1]).decode()},
    ]
    by_client = {"name": "by-client", "issuer": "https://apps.example", "algorithms": ["HS256"], "credentials": {"claim": "client_id", "secret_encoding": "base64", "inline": inline}}
    by_kid = {"name": "by-kid", "issuer": "*", "algorithms": ["HS256"], "credentials": {"claim": "kid", "secret_encoding": "base64", "inline": inline}}
    own = world.own_issuer(consumer_claim="https://shop.example/tenant", consumer="anyone", lifetime_from="now", lifetime_s_max=600)
    rules = [
        {"match": {"path_template": "/Items/{id}", "ignore_case": True}, "limits": ["by-item"]},
        {"match": {"path_prefix": "/limited"}, "limits": ["by-consumer"]},
        {"match": {}},
    ]
    limits = [
        {"name": "by-consumer", "key": ["consumer"], "limit": 2, "per_s": 3600},
        {"name": "by-item", "key": ["capture:id"], "limit": 2, "per_s": 3600},
    ]
    made = make_gateway(directory / "whose-gateway", Upstreams(api.port, idp.port))
    made.start({"issuers": [by_client, by_kid, own], "rules": rules, "rate_limits": limits, "shared": {"secret": {"env": "HERDGATE_SECRET"}}})
    yield made
    made.stop()


def ask(gateway, token: str, path: str = "/x"):
    return request(gateway.base_url + path, headers=[("authorization", f"Bearer {token}"), ("x-consumer-username", "root")])


def hmac(secret: bytes, issuer: str, header=None, **more) -> str:
    return Key("HS256", secret=secret).token(claims(issuer, **more), header or {"alg": "HS256"})


def test_a_credential_is_found_by_the_claim_that_names_it(gateway):
    seen = ask(gateway, hmac(SECRET, "https://apps.example", client_id="app-1")).json()["headers"]
    assert (seen["x-credential-identifier"], seen["x-consumer-username"]) == (["app-1"], ["app"])
    assert ask(gateway, hmac(SECRET[::-1], "https://apps.example", client_id="app-2")).status == 200
    # Another's secret, the text of the secret itself, and a token that names none.
    assert ask(gateway, hmac(SECRET, "https://apps.example", client_id="app-2")).status == 401
    assert ask(gateway, hmac(base64.urlsafe_b64encode(SECRET).rstrip(b"="), "https://apps.example", client_id="app-1")).status == 401
    assert ask(gateway, hmac(SECRET, "https://apps.example", {"alg": "HS256", "kid": "app-1"})).status == 401
    assert ask(gateway, hmac(SECRET, "https://apps.example", client_id=["app-1"])).status == 401


def test_kid_is_a_claim_or_else_the_headers(gateway):
    assert ask(gateway, hmac(SECRET, "https://any.example", {"alg": "HS256", "kid": "app-1"})).status == 200
    assert ask(gateway, hmac(SECRET, "https://any.example", kid="app-1")).status == 200
    # The claim is signed for, so it goes before the header.
    assert ask(gateway, hmac(SECRET, "https://any.example", {"alg": "HS256", "kid": "app-1"}, kid="app-2")).status == 401
    assert ask(gateway, hmac(SECRET, "app-1")).status == 401


def test_a_consumer_is_named_by_a_claim(gateway, world):
    seen = ask(gateway, world.own(**{"https://shop.example/tenant": "acme"})).json()["headers"]
    assert seen["x-consumer-username"] == ["acme"]
    assert ask(gateway, world.own()).json()["headers"]["x-consumer-username"] == ["anyone"]
    assert ask(gateway, world.own(**{"https://shop.example/tenant": 7})).json()["headers"]["x-consumer-username"] == ["7"]
    assert ask(gateway, world.own(**{"https://shop.example/tenant": {"a": 1}})).json()["headers"]["x-consumer-username"] == ["anyone"]


def test_a_limit_counts_by_that_consumer(gateway, world):
    of = lambda tenant: ask(gateway, world.own(**{"https://shop.example/tenant": tenant}), "/limited").status  # noqa: E731
    assert [of("t-1"), of("t-1"), of("t-1"), of("t-2")] == [200, 200, 429, 200]


def test_what_is_left_of_a_life_is_bounded(gateway, world):
    now = int(time.time())
    assert ask(gateway, world.own(iat=now - 86_400, exp=now + 590)).status == 200
    assert ask(gateway, world.own(iat=now, exp=now + 700)).status == 401
    soon = world.rsa.token(claims(OWN, iat=now, exp=int(time.time()) + 600 + 30 + 3))
    assert ask(gateway, soon).status == 401
    deadline = time.time() + 30
    while ask(gateway, soon).status != 200:
        assert time.time() < deadline, "it has less of its life left, and is refused still"
        time.sleep(0.3)


def test_paths_in_any_letter_case_are_one_and_so_are_their_captures(gateway, world):
    token = world.own()
    assert [ask(gateway, token, path).status for path in ("/items/abc", "/ITEMS/ABC", "/Items/Abc", "/items/other")] == [200, 200, 429, 200]
