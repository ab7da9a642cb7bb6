"""Opaque tokens whose issuer signs what it says (RFC 9701), and a filter that signs who it is (RFC 7523)."""

import json
import time

import pytest

from gateway import Upstreams, make_gateway
from test_opaque import ENDPOINT, RESOURCE, TOLD, config, get, good, issuer, new_token, rejected, says, statuses  # noqa: F401
from tokens import b64, unb64
from world import World

SIGNED = {"typ": "token-introspection+jwt"}


def signing(world: World, path: str = ENDPOINT, more: dict | None = None, **endpoint) -> dict:
    """An issuer whose answers are signed."""
    keys = {"algorithms": ["ES256", "RS256"], "jwks_uri": world.idp.jwks_uri, "cluster": "idp", "allow_http": True}
    endpoint = {"client_id": "gateway-signed", "client_secret": "secret-gateway-signed", "response": "jwt", **endpoint}
    return issuer(world, path, more={**keys, **(more or {})}, **endpoint)


# ---- the real server ------------------------------------------------------------------------------------------------


def test_the_real_servers_signed_answers_are_believed(start_gateway, world: World):
    gateway = start_gateway(config(world, signing(world)))
    token = world.idp.token(resource=RESOURCE)
    world.idp.reset_counts()
    answers = [get(gateway, token) for _ in range(20)]
    assert {answer.status for answer in answers} == {200}
    assert answers[0].json()["headers"]["x-client"] == ["client-a"]
    assert world.idp.requests(ENDPOINT) == 1
    assert world.idp.headers(ENDPOINT)["accept"] == "application/token-introspection+jwt"
    assert get(gateway, token, "/write").status == 403
    assert statuses(gateway, new_token(), 4) == [401] * 4 and rejected(gateway, "inactive") == 4
    without = world.idp.token(resource=None)
    assert statuses(gateway, without, 4) == [401] * 4 and rejected(gateway, "wrong_audience") == 4


def test_its_keys_are_found_by_discovery_and_followed_when_they_change(start_gateway, world: World):
    more = {"discovery": True}
    found = signing(world, more=more)
    del found["jwks_uri"]
    gateway = start_gateway(config(world, found))
    for _ in range(2):
        assert set(statuses(gateway, world.idp.token(resource=RESOURCE), 8)) == {200}
        # From here on the server signs with a key that the gateway has never seen.
        world.idp.rotate("ES256")


def test_plain_answers_of_the_real_server_are_none(start_gateway, world: World):
    """Who says in `headers` that it takes JSON is given JSON."""
    gateway = start_gateway(config(world, signing(world, headers={"accept": "application/json"})))
    assert statuses(gateway, world.idp.token(resource=RESOURCE), 4) == [503] * 4
    assert rejected(gateway, "introspection_unavailable") == 4


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_the_filter_signs_who_it_is(alg, start_gateway, world: World):
    """The real server takes each assertion once."""
    key = {"client_id": f"gateway-{alg.lower()}", "client_auth": "private_key_jwt", "client_key": {"jwk": world.idp.client_key(alg)}}
    configured = issuer(world, ttl_s_max=1, **key)
    del configured["introspection"]["client_secret"]
    gateway = start_gateway(config(world, configured))
    tokens = [world.idp.token(resource=RESOURCE) for _ in range(5)]
    world.idp.reset_counts()
    for _ in range(2):
        assert [get(gateway, token).status for token in tokens] == [200] * 5
        time.sleep(1.1)
    assert world.idp.requests(ENDPOINT) == 10
    assert "authorization" not in world.idp.headers(ENDPOINT)
    text = gateway.log()
    assert "client_assertion" not in text and world.idp.client_key(alg)["d" if alg != "RS256" else "p"] not in text


def test_another_key_is_nobodys(start_gateway, world: World):
    stranger = {"jwk": world.idp.client_key("EdDSA")}
    key = {"client_id": "gateway-es256", "client_auth": "private_key_jwt", "client_key": stranger}
    configured = issuer(world, **key)
    del configured["introspection"]["client_secret"]
    gateway = start_gateway(config(world, configured))
    assert statuses(gateway, world.idp.token(resource=RESOURCE), 4) == [503] * 4


# ---- an endpoint that lies ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signed_told(directory, idp, api, filter_wasm, world):
    """A gateway whose issuer's endpoint is TOLD, and signs."""
    gateway = make_gateway(directory / "signed-told-gateway", Upstreams(api.port, idp.port))
    gateway.start(config(world, signing(world, TOLD)))
    yield gateway
    gateway.stop()


def said(world: World, **more) -> dict:
    return {"iss": world.idp.issuer, "aud": "gateway-signed", "iat": int(time.time()), "token_introspection": good(world), **more}


def sign(world: World, claims: dict, header: dict = SIGNED, alg: str = "ES256") -> str:
    return world.idp.sign(claims, header, alg)


def unsigned(token: str) -> str:
    header, payload, _ = token.split(".")
    text = json.dumps({**json.loads(unb64(header)), "alg": "none"}).encode()
    return f"{b64(text)}.{payload}."


LIES = {
    "plain JSON": lambda world: json.dumps(good(world)),
    "HTML": lambda world: "<html><body>active: true</body></html>",
    "nothing": lambda world: "",
    "an access token's typ": lambda world: sign(world, said(world), {"typ": "at+jwt"}),
    "an access token": lambda world: world.idp.token(resource="https://orders.example/es256"),
    "a key that is nobody's": lambda world: world.stranger.token(said(world), {"alg": "RS256", **SIGNED}),
    "alg none": lambda world: unsigned(sign(world, said(world))),
    "a cut signature": lambda world: sign(world, said(world))[:-4],
    "another algorithm of the issuer": lambda world: sign(world, said(world), SIGNED, "EdDSA"),
    "another issuer": lambda world: sign(world, said(world, iss="https://other.example")),
    "another issuer within": lambda world: sign(world, said(world, token_introspection=good(world, iss="https://other.example"))),
    "another client": lambda world: sign(world, said(world, aud="gateway")),
    "an old one": lambda world: sign(world, said(world, iat=int(time.time()) - 120)),
    "active as text": lambda world: sign(world, said(world, token_introspection=good(world, active="true"))),
    "claims beside it": lambda world: sign(world, {**good(world), "aud": "gateway-signed"}),
}


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_what_nobody_vouches_for_is_no_yes(lie, signed_told, world: World, says):  # noqa: F811
    says(LIES[lie](world))
    before = rejected(signed_told, "introspection_unavailable")
    answers = [get(signed_told, token) for token in (new_token(), new_token()) for _ in range(4)]
    assert {answer.status for answer in answers} == {503}
    assert all(b"invalid_token" not in answer.body for answer in answers)
    assert rejected(signed_told, "introspection_unavailable") == before + 8
    says(sign(world, said(world)))
    assert get(signed_told, new_token()).status == 200


def test_another_audience_is_another_apis(signed_told, world: World, says):  # noqa: F811
    says(sign(world, said(world, token_introspection=good(world, aud="other-api"))))
    before = rejected(signed_told, "wrong_audience")
    assert statuses(signed_told, new_token(), 4) == [401] * 4
    assert rejected(signed_told, "wrong_audience") == before + 4
