"""Tokens that only the gateway can read, and tokens that are taken back in a list."""

import json
import time
import zlib

from joserfc import jwe
from joserfc.jwk import ECKey

from gateway import SECRETS
from http_client import request
from tokens import as_bytes, b64, claims

from .setting import idp_issuer, rules
from .stage import Scene, told

JWK = json.loads(SECRETS["DECRYPTION_JWK"])
RESOURCE, LISTS = "https://orders.example/encrypted", "/status/"
TIMES = 20


def encrypted(scene: Scene) -> None:
    """The real server's encrypted access tokens."""
    key = {"jwk": {"env": "DECRYPTION_JWK"}, "issuers": ["idp"], "algorithms": ["ECDH-ES+A256KW"]}
    scene.reload(
        'the issuer has "encrypted": "require", and the gateway a key',
        issuers=[idp_issuer(scene, encrypted="require")],
        rules=[rules()[0], rules()[-1]],
        rate_limits=[],
        token_endpoints=[],
        decryption={"keys": [key]},
    )
    token = scene.idp.token(resource=RESOURCE)
    scene.show(
        "A token that is encrypted to the gateway's key",
        "Opened here (JWE), and the signature inside is checked as any other's.",
        token,
    )
    before = scene.gateway.metrics().get("herdgate.bearer.decrypted")
    headers = {"authorization": f"Bearer {token}"}
    answers = [request(scene.gateway.base_url + "/orders/1", headers=headers) for _ in range(TIMES)]
    opened = scene.gateway.metrics().get("herdgate.bearer.decrypted") - before
    told(
        f"{TIMES} x GET /orders/1   with the same token, on all workers",
        f"{sum(answer.status == 200 for answer in answers)} x 200",
        f"Decryptions: {opened:.0f}. A worker that has opened a token knows it by its outer bytes.",
    )
    scene.expect(all(answer.status == 200 for answer in answers), f"{TIMES} x 200")
    scene.expect(opened <= 4, "no decryption of a known token")
    public = ECKey.import_key({name: JWK[name] for name in ("kty", "crv", "x", "y")})
    header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": JWK["kid"]}
    made_up = as_bytes(claims(scene.idp.issuer, subject="admin"))
    forged = jwe.encrypt_compact(header, made_up, public, algorithms=[header["alg"], header["enc"]])
    scene.show(
        "Claims that a stranger encrypts to the same key",
        "Anyone can encrypt to a public key: without a signature inside nothing is believed.",
        forged,
        expect=401,
    )


def status_list(scene: Scene) -> None:
    """The real server has no status lists, so a document that it signs speaks in its place."""
    idp = scene.idp
    lists = {"uri_prefix": idp.issuer + LISTS, "allow_http": True, "cluster": "idp", "ttl_s_max": 2}
    uri = publish(scene, taken_back=False)
    scene.reload('the issuer has a "status_list"', issuers=[idp_issuer(scene, status_list=lists)], rules=[rules()[-1]], rate_limits=[], token_endpoints=[])
    status = {"status_list": {"idx": 412, "uri": uri}}
    token = idp.sign(claims(idp.issuer, status=status), {"typ": "at+jwt"})
    scene.show(
        "A token with place 412 in a list of a million",
        "The list was fetched once, for all workers and all tokens in it (Token Status List).",
        token,
    )
    publish(scene, taken_back=True)
    print("\n  ... the server sets one bit of the list")
    time.sleep(2.2)
    scene.show("The same token, when the list has ended", "Nobody was asked about this token.", token, expect=401)
    idp.document(LISTS + "1", None)


def publish(scene: Scene, taken_back: bool) -> str:
    """A list of a million places of one bit, of which one may be set."""
    uri, bits = scene.idp.issuer + LISTS + "1", bytearray(125_000)
    bits[412 // 8] |= taken_back << (412 % 8)
    lst = b64(zlib.compress(bytes(bits), 9))
    told_of = {"sub": uri, "iat": int(time.time()), "ttl": 2, "status_list": {"bits": 1, "lst": lst}}
    return scene.idp.document(LISTS + "1", scene.idp.sign(told_of, {"typ": "statuslist+jwt"}))
