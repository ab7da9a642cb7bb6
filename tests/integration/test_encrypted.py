"""Encrypted tokens (RFC 7516): the server's own (oidc-provider), and others by an independent library (joserfc)."""

import json

import pytest
from joserfc import jwe
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from gateway import SECRETS
from http_client import request
from tokens import as_bytes, b64, claims, unb64
from world import OWN, World

RECIPIENT = json.loads(SECRETS["DECRYPTION_JWK"])
SHARED = {"kty": "oct", "kid": "shared-1", "k": b64(bytes(range(32)))}
X25519 = {"kty": "OKP", "crv": "X25519", "kid": "x-1", "d": "XasIfmJKikt54X-Lg4AO5m87sSkmGLb9HC-LJ_-I4Os", "x": "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}
RSA = {**RSAKey.generate_key(2048, private=True).as_dict(private=True), "kid": "rsa-1"}
AGREED = ["ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"]
ENCRYPTIONS = ["A128GCM", "A256GCM", "A128CBC-HS256", "A256CBC-HS512"]
BARE = "https://bare.example"


def config(world: World, **more) -> dict:
    issuers = [
        world.idp_issuer(encrypted="allow"),
        world.own_issuer(encrypted="require"),
        {"name": "bare", "issuer": BARE, "audiences": ["orders-api"], "encrypted": "authenticates"},
    ]
    keys = [
        {"jwk": {"env": "DECRYPTION_JWK"}, "issuers": ["idp", "own"], "algorithms": AGREED, "encryptions": ENCRYPTIONS},
        {"jwk": RSA, "issuers": ["own"], "algorithms": ["RSA-OAEP-256"], "allow_rsa_oaep": True},
        {"jwk": X25519, "issuers": ["own"], "algorithms": AGREED},
        {"jwk": SHARED, "issuers": ["bare"], "algorithms": ["A256KW", "dir"], "encryptions": ["A256GCM", "A128CBC-HS256"]},
    ]
    rules = [{"match": {"path_prefix": "/orders"}, "scopes_all": ["orders:read"]}]
    return world.config(issuers=issuers, decryption={"keys": keys}, rules=rules, **more)


def encrypted(inside: str | bytes, to: dict = RECIPIENT, alg: str = "ECDH-ES+A256KW", enc: str = "A256GCM", **header) -> str:
    kind = {"EC": ECKey, "OKP": OKPKey, "oct": OctKey, "RSA": RSAKey}[to["kty"]]
    key = kind.import_key({name: value for name, value in to.items() if name in ("kty", "crv", "x", "y", "k", "n", "e")})
    made = jwe.encrypt_compact({"alg": alg, "enc": enc, "kid": to["kid"], **header}, inside, key, algorithms=[alg, enc, "DEF"])
    return made if isinstance(made, str) else made.decode()


@pytest.fixture(scope="module")
def gateway(directory, idp, api, filter_wasm, world):
    from conftest import _end, _starter

    start, started = _starter(directory, idp, api)
    yield start(config(world))
    _end(started, False)


def get(gateway, token: str):
    return request(f"{gateway.base_url}/orders/1", headers={"authorization": f"Bearer {token}"})


def test_the_servers_own_tokens(gateway, world: World):
    token = world.idp.token(resource="https://orders.example/encrypted")
    assert len(token.split(".")) == 5
    answers = [get(gateway, token) for _ in range(12)]
    assert [answer.status for answer in answers] == [200] * 12, (unb64(token.split(".")[0]), answers[0].headers)
    seen = answers[-1].json()["headers"]
    assert seen["x-user"] == ["client-a"]
    # The API gets the token as the client has sent it.
    assert seen["authorization"] == [f"Bearer {token}"]
    metrics = gateway.metrics()
    # No hit opens it: each of two workers at most once, and once more where it had to wait for the keys.
    assert 1 <= metrics["herdgate.bearer.decrypted"] <= 4, metrics["herdgate.bearer.decrypted"]
    assert get(gateway, world.idp.token()).status == 200, "and plain ones"


@pytest.mark.parametrize("enc", ENCRYPTIONS)
@pytest.mark.parametrize("alg", AGREED)
def test_every_agreement(gateway, world: World, alg: str, enc: str):
    for jwk in (RECIPIENT, X25519):
        assert get(gateway, encrypted(world.own(), jwk, alg, enc, cty="JWT")).status == 200, jwk["crv"]


@pytest.mark.parametrize("enc", ENCRYPTIONS)
def test_rsa(gateway, world: World, enc: str):
    token = encrypted(world.own(), RSA, "RSA-OAEP-256", enc, cty="JWT")
    assert get(gateway, token).status == 200
    parts = token.split(".")
    wrapped = unb64(parts[1])
    for changed in (bytes(256), b"\x01" * 256, b"\xff" * 256, b"\x01" * 255, wrapped[:-1] + bytes([wrapped[-1] ^ 1])):
        refused(gateway, ".".join([parts[0], b64(changed), *parts[2:]]))
    refused(gateway, encrypted(as_bytes(claims(OWN)), RSA, "RSA-OAEP-256", enc))


def test_every_form_of_a_shared_secret(gateway):
    for alg, enc in [("dir", "A256GCM"), ("dir", "A128CBC-HS256"), ("A256KW", "A256GCM"), ("A256KW", "A128CBC-HS256")]:
        answer = get(gateway, encrypted(as_bytes(claims(BARE)), SHARED, alg, enc))
        assert answer.status == 200, (alg, enc, answer.body)


def refused(gateway, token: str):
    """Refuses to tell what is wrong with a token's encryption; the answer, but for what each request has of its own."""
    answer = get(gateway, token)
    assert answer.status == 401, answer.body
    assert 'error="invalid_token"' in answer.header("www-authenticate")
    assert "encryption is not accepted" in answer.header("www-authenticate"), answer.header("www-authenticate")
    return sorted((name, value) for name, value in answer.headers if name.lower() not in ("date", "x-request-id", "x-kong-request-id", "x-kong-response-latency")), answer.body


def test_what_is_wrong_with_the_encryption_is_one_answer(gateway, world: World):
    inside = world.own()
    good = encrypted(inside)
    assert get(gateway, good).status == 200
    parts = good.split(".")

    def with_part(at: int, part: str) -> str:
        return ".".join([*parts[:at], part, *parts[at + 1:]])

    header = json.loads(unb64(parts[0]))

    def with_header(**more) -> str:
        return with_part(0, b64(as_bytes({**header, **more})))

    flipped = lambda at: with_part(at, b64(bytes([unb64(parts[at])[0] ^ 1]) + unb64(parts[at])[1:]))  # noqa: E731
    stranger = {**ECKey.generate_key("P-256", private=True).as_dict(private=True), "kid": "gateway-1"}
    attacks = {
        "tag": flipped(4),
        "ciphertext": flipped(3),
        "vector": flipped(2),
        "key": flipped(1),
        "short tag": with_part(4, b64(unb64(parts[4])[:12])),
        "empty tag": with_part(4, ""),
        "empty key": with_part(1, ""),
        "alg": with_header(alg="ECDH-ES"),
        "enc": with_header(enc="A128GCM"),
        "dir": with_header(alg="dir"),
        "rsa1_5": with_header(alg="RSA1_5"),
        "rsa": with_header(alg="RSA-OAEP-256"),
        "pbes2": with_header(alg="PBES2-HS256+A128KW", p2c=2_000_000_000, p2s="AAAA"),
        "kid": with_header(kid="shared-1"),
        "epk": with_header(epk={**header["epk"], "y": header["epk"]["x"]}),
        "zip": encrypted(inside, zip="DEF"),
        "the sender's own key": encrypted(inside, stranger, jwk={name: stranger[name] for name in ("kty", "crv", "x", "y")}),
        "twice": encrypted(good),
        "claims alone": encrypted(as_bytes(claims(OWN))),
        "claims of one that a secret vouches for": encrypted(as_bytes(claims(BARE))),
        "claims of another under that secret": encrypted(as_bytes(claims(OWN)), SHARED, "dir"),
        "a signed token of another under that secret": encrypted(inside, SHARED, "dir"),
        "no token": encrypted("opaque"),
        "nothing": encrypted(""),
        # `encrypted: require`.
        "plain": inside,
    }
    answers = []
    for name, token in attacks.items():
        before = gateway.metrics().get("herdgate.bearer.rejected.decryption") if name == "tag" else None
        try:
            answers.append(refused(gateway, token))
        except AssertionError as error:
            raise AssertionError(name) from error
        if before is not None:
            assert gateway.metrics().get("herdgate.bearer.rejected.decryption") == before + 1
    assert all(answer == answers[0] for answer in answers), "one answer, to the byte"
    duplicate = as_bytes(header)[:-1] + b',"alg":"ECDH-ES+A256KW"}'
    assert get(gateway, with_part(0, b64(duplicate))).status == 401
    for token in (f"{good}.", ".".join(parts[:4]), f"{good}="):
        assert get(gateway, token).status == 401
    signature = world.own(world.stranger)
    assert "signature" in get(gateway, encrypted(signature)).header("www-authenticate")
    assert get(gateway, good).status == 200


def test_what_is_large_is_refused(gateway, world: World):
    # Longer than a header may be on any host, or than a token here.
    for pad in (12_000, 65_536):
        answer = get(gateway, encrypted(world.own(pad="x" * pad)))
        assert answer.status in (400, 401, 413, 431, 494), answer.status
    big_header = encrypted(world.own(), jku="https://own.example/" + "y" * 5_000)
    assert get(gateway, big_header).status in (401, 400, 431)


def test_the_key_goes_and_the_tokens_with_it(start_gateway, world: World):
    token = encrypted(world.own())
    one = start_gateway(config(world))
    assert get(one, token).status == 200
    changed = config(world)
    new = {**ECKey.generate_key("P-256", private=True).as_dict(private=True), "kid": "gateway-1"}
    changed["decryption"]["keys"][0]["jwk"] = new
    one.reload(changed)
    refused(one, token)
    assert get(one, encrypted(world.own(), new)).status == 200
