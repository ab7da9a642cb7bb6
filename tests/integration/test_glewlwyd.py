"""Tokens of a real Glewlwyd, a second server beside oidc-provider: its keys by discovery, what its introspection endpoint says, its DPoP.

Its access tokens are JWTs; opaque are its refresh tokens alone, of which its endpoint says that they are active too.
"""

import pytest

from envoy import plain_cluster
from gateway import Upstreams, kind, make_gateway
from glewlwyd import PROGRAM, SCOPE, Glewlwyd
from http_client import request
from processes import PATIENCE_S, wait_until
from proofs import ORIGIN, Prover

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="glewlwyd isn't here: scripts/setup glewlwyd says why")

TTL_S = 1


@pytest.fixture(scope="module")
def server(directory):
    folder = directory / "glewlwyd"
    folder.mkdir()
    server = Glewlwyd(folder)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def gateway(directory, api, idp, filter_wasm, server):
    extra = {"extra_clusters": [plain_cluster("glewlwyd", server.port)]} if kind() == "envoy" else {}
    made = make_gateway(directory / "beside-glewlwyd", Upstreams(api.port, idp.port), **extra)
    asks = {"uri": server.issuer + "/introspect", "allow_http": True, "cluster": "glewlwyd", "client_id": "app", "client_secret": "app-secret"}
    jwt = {"name": "jwt", "issuer": server.issuer, "discovery": True, "allow_http": True, "cluster": "glewlwyd", "algorithms": ["RS256"],
           "typ": "at+jwt", "audiences": [SCOPE], "dpop": {"origins": [ORIGIN]}, "forward": {"claims": {"sub": "x-user"}}}
    opaque = {"name": "opaque", "issuer": server.issuer, "tokens": "opaque", "introspection": {**asks, "ttl_s_max": TTL_S}}
    made.start({
        "issuers": [jwt, opaque],
        "introspection": {**asks, "ttl_s_max": TTL_S, "negative_ttl_s": 60},
        "rules": [
            {"match": {"path_prefix": "/orders"}, "scopes_all": [SCOPE]},
            {"match": {"path_prefix": "/asked"}, "issuers": ["jwt"], "introspect": True},
        ],
        "shared": {"secret": {"env": "HERDGATE_SECRET"}},
    })
    yield made
    made.stop()


def get(gateway, token: str, path: str = "/orders", scheme: str = "Bearer", **headers):
    return request(gateway.base_url + path, headers={"authorization": f"{scheme} {token}", **headers})


def test_its_tokens_pass_and_end_when_it_revokes_them(gateway, server):
    mine = server.token(grant_type="client_credentials")["access_token"]
    alices = server.token(grant_type="password", username="alice", password="alice-password")["access_token"]
    other = server.token(grant_type="client_credentials")["access_token"]
    for token in (mine, alices):
        assert [get(gateway, token, path).status for path in ("/orders", "/asked") * 2] == [200] * 4
    assert get(gateway, other, "/asked").status == 200
    # Behind the gateway's back.
    server.revoke(alices)
    assert server.introspect(alices) == {"active": False}
    wait_until(lambda: get(gateway, alices, "/asked").status == 401, PATIENCE_S, "a refusal")
    assert [get(gateway, token, "/asked").status for token in (mine, alices, other)] == [200, 401, 200]
    forged = mine[:-8] + "AAAAAAAA"
    assert [get(gateway, forged, path).status for path in ("/orders", "/asked")] == [401, 401]


def test_a_refresh_token_is_active_and_opens_nothing(gateway, server):
    refresh = server.token(grant_type="password", username="alice", password="alice-password")["refresh_token"]
    said = server.introspect(refresh)
    assert said["active"] is True and said["token_type"] == "refresh_token" and SCOPE in said["scope"]
    # The filter asks for access tokens, and Glewlwyd looks for none else then.
    assert server.introspect(refresh, token_type_hint="access_token") == {"active": False}
    before = gateway.metrics().get("herdgate.bearer.rejected.inactive")
    for token in (refresh, refresh + "x"):
        assert [get(gateway, token).status for _ in range(3)] == [401] * 3
    assert gateway.metrics()["herdgate.bearer.rejected.inactive"] == before + 6


def test_its_bound_token_needs_its_key(gateway, server):
    client, thief = Prover("ES256"), Prover("ES256")
    proof = client.proof(None, path="/api/oidc/token", method="POST", origin=f"http://127.0.0.1:{server.port}")
    answer = server.token({"dpop": proof}, grant_type="client_credentials")
    token = answer["access_token"]
    assert answer["token_type"].lower() == "dpop"
    assert get(gateway, token, scheme="DPoP", dpop=client.proof(token)).status == 200
    refused = [get(gateway, token), get(gateway, token, scheme="DPoP", dpop=thief.proof(token)), get(gateway, token, scheme="DPoP")]
    assert [answer.status for answer in refused] == [401] * 3
