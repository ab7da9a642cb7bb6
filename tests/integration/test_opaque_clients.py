"""Opaque tokens of real servers in the hands of strict clients: from the token call through the gateway to the API."""

import json
import subprocess

import pytest

from gateway import kind
from processes import ROOT
from servers import secret_of
from test_dpop import settled
from test_opaque import RESOURCE, config, get, issuer, rejected, statuses
from test_token import SERVERS
from world import World

TOKENS = [{"path": "/oauth2/token", "grant_types": ["client_credentials"], "reuse": {"fraction": 0.5}}]


def run(script: str, *arguments: str):
    command = ["node", SERVERS / script, *arguments]
    out = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)


def test_oauth4webapi_from_the_token_call_to_the_api(start_gateway, world: World):
    gateway = start_gateway(config(world, issuer(world), token_endpoints=TOKENS))
    world.idp.reset_counts()
    url = gateway.base_url
    told = run("strict_client.mjs", f"{url}/oauth2/token", "client-a", "secret-a", "10", "basic", RESOURCE, f"{url}/orders/1")
    assert [answer["status"] for answer in told] == [200] * 10
    tokens = {answer["access_token"] for answer in told}
    assert len(tokens) == 1 and "." not in tokens.pop(), "one opaque token, from the cache but for the first"
    assert (world.idp.requests("/oauth2/token"), world.idp.requests("/introspect")) == (1, 1)


def test_authlib_from_the_token_call_to_the_api(start_gateway, world: World, monkeypatch):
    from authlib.integrations.httpx_client import OAuth2Client

    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    gateway = start_gateway(config(world, issuer(world), token_endpoints=TOKENS))
    world.idp.reset_counts()
    with OAuth2Client("client-b", secret_of("client-b")) as session:
        for _ in range(10):
            token = session.fetch_token(f"{gateway.base_url}/oauth2/token", grant_type="client_credentials", scope="orders:read", resource=RESOURCE)
            assert "." not in token["access_token"]
            answer = session.get(f"{gateway.base_url}/orders/1")
            assert answer.status_code == 200 and answer.json()["headers"]["x-client"] == ["client-b"]
        assert session.get(f"{gateway.base_url}/write").status_code == 403
    assert (world.idp.requests("/oauth2/token"), world.idp.requests("/introspect")) == (1, 1)


@pytest.mark.parametrize("nonce", [False, True])
def test_oauth4webapi_with_an_opaque_token_that_is_bound(start_gateway, world: World, nonce):
    """RFC 9449, section 6.2: the introspection answer says to which key it is bound. The token call is shared with nobody."""
    gateway = start_gateway(None)
    gateway.start(config(world, issuer(world)))
    # The client signs what it calls, so the listener is the origin.
    bound = issuer(world, more={"dpop": {"origins": [gateway.base_url], "allow_http": True, "nonce": nonce}})
    gateway.reload(config(world, bound, token_endpoints=TOKENS))
    settled(gateway)
    world.idp.reset_counts()
    url = gateway.base_url
    # Kong's test host hands the token call on under another name, which the proof isn't for.
    endpoint = url if kind() == "envoy" else world.idp.issuer
    arguments = [f"{endpoint}/oauth2/token", "client-a", "secret-a", f"{url}/orders/1", "5", RESOURCE]
    first, second = (run("dpop_client.mjs", *arguments) for _ in range(2))
    for told in (first, second):
        assert told["token_type"] == "dpop" and "." not in told["token"]
        assert told["statuses"] == [200] * 5 and told["challenged"] == int(nonce)
    assert first["token"] != second["token"]
    assert (world.idp.requests("/oauth2/token"), world.idp.requests("/introspect")) == (2, 2)
    # Stolen, without the key: on workers that know it as well.
    before = rejected(gateway, "bound")
    assert statuses(gateway, first["token"], 8) == [401] * 8
    assert rejected(gateway, "bound") == before + 8
    assert get(gateway, world.own()).status == 200
