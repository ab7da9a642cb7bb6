"""Tokens that say nothing by themselves, and tokens that a thief can't use."""

import time

from http_client import form, request
from proofs import Prover
from servers import token_headers
from token_calls import TOKEN_PATH

from .setting import idp_issuer, rules
from .stage import Scene, said, shortened, told

RESOURCE, TIMES = "https://orders.example/opaque", 20


def opaque(scene: Scene) -> None:
    """The real server's opaque tokens, and its signed answers about them (RFC 9701)."""
    idp = scene.idp
    endpoint = {
        "uri": f"{idp.issuer}/introspect",
        "allow_http": True,
        "cluster": "idp",
        "client_id": "gateway-signed",
        "client_secret": "secret-gateway-signed",
        "response": "jwt",
    }
    issuer = {
        "name": "opaque",
        "issuer": idp.issuer,
        "tokens": "opaque",
        "audiences": ["orders-api"],
        "jwks_uri": idp.jwks_uri,
        "allow_http": True,
        "cluster": "idp",
        "algorithms": ["ES256"],
        "introspection": endpoint,
        "forward": {"claims": {"client_id": "x-user"}},
    }
    admitting = [{**rules()[-1], "issuers": ["idp", "opaque"]}]
    scene.reload(
        'an issuer with "tokens": "opaque"',
        issuers=[idp_issuer(scene), issuer],
        rules=[*rules()[:-2], *admitting],
        rate_limits=[
            {"name": "token-calls", "key": ["client_id", "address"], "limit": 10_000, "per_s": 1},
            {"name": "token-address", "key": ["address"], "limit": 10_000, "per_s": 1},
        ],
    )
    fields = form(grant_type="client_credentials", scope="orders:read", resource=RESOURCE)
    url = scene.gateway.base_url + TOKEN_PATH
    token = request(url, "POST", token_headers(), fields).json()["access_token"]
    idp.reset_counts()
    scene.show(
        "A token that is no JWT",
        "The server was asked what it means (RFC 7662) and has signed what it says (RFC 9701): the"
        " answer's members are the token's claims.",
        token,
    )
    headers = {"authorization": f"Bearer {token}"}
    answers = [request(scene.gateway.base_url + "/orders/1", headers=headers) for _ in range(TIMES)]
    told(
        f"{TIMES} x GET /orders/1   with the same token, on all workers",
        f"{sum(answer.status == 200 for answer in answers)} x 200",
        f"Questions to the server: {idp.requests('/introspect')}.",
    )
    scene.expect(all(answer.status == 200 for answer in answers), f"{TIMES} x 200")
    scene.expect(idp.requests("/introspect") == 1, "one question")
    scene.show(
        "A made-up string",
        "The server doesn't know it either. Such questions have a pace, and no good token waits.",
        "made-up-by-a-stranger",
        expect=401,
    )
    revoked = request(
        scene.gateway.base_url + "/oauth2/revoke", "POST", token_headers(), form(token=token)
    )
    scene.expect(revoked.status == 200, "200 for the revocation")
    print("\n  ... the client revokes it, through the gateway")
    scene.show("The same token", "On every worker, from the next request on.", token, expect=401)


def bound(scene: Scene) -> None:
    """A token that is bound to a key: the client proves with each request that it holds the key."""
    client, origin = Prover(), scene.gateway.base_url
    dpop = {"origins": [origin], "allow_http": True}
    scene.reload(
        'the issuer has "dpop"',
        issuers=[idp_issuer(scene, dpop=dpop)],
        rules=[rules()[0], rules()[-1]],
        rate_limits=[],
        token_endpoints=[],
    )
    # What was proven before the gateway's memory began is refused, and a proof's time has seconds.
    time.sleep(1.1)
    proof = client.proof(None, path=TOKEN_PATH, method="POST", origin=scene.idp.issuer)
    fields = form(
        grant_type="client_credentials", scope="orders:read", resource="https://orders.example"
    )
    answer = request(
        scene.idp.issuer + TOKEN_PATH, "POST", {**token_headers(), "dpop": proof}, fields
    )
    token = answer.json()["access_token"]
    used = client.headers(token, "/orders/1", origin=origin)
    proven(scene, "The client, with a proof of its key", used, token, 200, "RFC 9449: for this method, this URL, this token, now.")
    proven(scene, "The same request once more", used, token, 401, "A proof counts once, on whichever worker it comes.")
    scene.show(
        "A thief who has the token alone",
        "It is bound to the client's key, so it is no bearer token.",
        token,
        expect=401,
    )
    thief = Prover().headers(token, "/orders/1", origin=origin)
    proven(scene, "A thief with a key of its own", thief, token, 401, "The token names another key.")


def proven(scene: Scene, title: str, headers: dict, token: str, expect: int, why: str) -> None:
    """Sends a request with a proof, and prints it."""
    answer = request(scene.gateway.base_url + "/orders/1", "GET", headers)
    challenge = answer.header("www-authenticate")
    print(f"\n  {title}")
    print(f"    > GET /orders/1   Authorization: DPoP {shortened(token)}   DPoP: {shortened(headers['dpop'])}")
    print(f"    < {answer.status}" + (f"   WWW-Authenticate: {challenge}" if challenge else ""))
    said(why)
    scene.expect(answer.status == expect, f"{expect} for '{title}', got {answer.status}")
