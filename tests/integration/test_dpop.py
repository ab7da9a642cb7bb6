"""Tokens that are bound to a key (RFC 9449): good with a fresh proof of that key, and in no other way."""

import http.client
import subprocess
import time
import json
from urllib.parse import urlsplit

import pytest

from http_client import form, request
from processes import ROOT
from proofs import ORIGIN, Prover, thumbprint
from servers import token_headers
from test_token import SERVERS
from tokens import unb64
from world import World

# Far more than a test takes on a slow machine, and what the attacks below go beyond.
LEEWAY_S = 60


def config(world: World, more: dict | None = None, **dpop) -> dict:
    issuers = [
        world.own_issuer(dpop={"origins": [ORIGIN], "leeway_s": LEEWAY_S, **dpop}),
        world.idp_issuer(dpop={"origins": [ORIGIN]}),
    ]
    rules = [
        {"match": {"path_prefix": "/orders"}, "scopes_all": ["orders:read"]},
        {"match": {"path_prefix": "/maybe"}, "access": "optional"},
    ]
    return world.config(issuers=issuers, rules=rules, **(more or {}))


def settled(gateway):
    """`iat` has whole seconds: what was made in the second in which a gateway started may have been seen before it."""
    time.sleep(1.1)
    return gateway


def get(gateway, headers, path: str = "/orders", method: str = "GET"):
    return request(gateway.base_url + path, method, headers)


@pytest.fixture(scope="module")
def gateway(directory, idp, api, filter_wasm, world):
    from conftest import _end, _starter

    start, started = _starter(directory, idp, api)
    yield settled(start(config(world)))
    _end(started, False)


@pytest.fixture
def client() -> Prover:
    return Prover()


def test_a_proof_is_good_once_on_every_worker(gateway, world: World, client: Prover, api):
    token = world.own(cnf=client.cnf)
    api.reset()
    for _ in range(8):
        headers = client.headers(token)
        assert get(gateway, headers).status == 200
        for _ in range(4):
            answer = get(gateway, headers)
            assert answer.status == 401
            assert 'DPoP algs="ES256 Ed25519 EdDSA", error="invalid_dpop_proof"' in answer.header("www-authenticate")
    assert api.seen() == 8
    assert gateway.metrics()["herdgate.bearer.rejected.replayed"] >= 32


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_any_key_that_is_configured(gateway, world: World, alg):
    client = Prover(alg)
    token = world.own(cnf=client.cnf)
    assert get(gateway, client.headers(token)).status == 200
    assert get(gateway, client.headers(token, path="/orders/1"), "/orders/1").status == 200
    assert get(gateway, client.headers(token), "/orders?page=2").status == 200
    other = Prover("ES384")
    assert get(gateway, other.headers(world.own(cnf=other.cnf))).status == 401


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES384", "ES512", "ES256K", "ML-DSA-44"])
def test_all_kinds_of_keys(start_gateway, world: World, alg):
    gateway = settled(start_gateway(config(world, algorithms=[alg])))
    client = Prover(alg)
    token = world.own(cnf=client.cnf)
    assert get(gateway, client.headers(token)).status == 200
    thief = Prover(alg)
    assert get(gateway, {"authorization": f"DPoP {token}", "dpop": client.proof(token, key=thief.key)}).status == 401


def stolen(world: World, client: Prover) -> list[tuple[str, list, str, str]]:
    """What a thief can send who has a token and has seen its proofs: name, headers, path, method."""
    thief, now = Prover(), int(time.time())
    token, other = world.own(cnf=client.cnf), world.own(cnf=client.cnf)
    unbound, both = world.own(), world.own(cnf={**client.cnf, "x5t#S256": thumbprint(client.jwk)})
    dpop = ("authorization", f"DPoP {token}")

    def proof(**more) -> list:
        return [dpop, ("dpop", client.proof(token, **more))]

    good = client.proof(token)
    signed, _, _ = good.rpartition(".")
    cases = [
        ("plain Bearer", [("authorization", f"Bearer {token}")]),
        ("Bearer beside a proof", [("authorization", f"Bearer {token}"), ("dpop", good)]),
        ("no proof", [dpop]),
        ("empty proof", [dpop, ("dpop", "")]),
        ("own key", [dpop, ("dpop", thief.proof(token))]),
        ("own signature over the client's key", [dpop, ("dpop", client.proof(token, key=thief.key))]),
        ("old proof", proof(iat=now - 2 * LEEWAY_S)),
        ("proof of a later day", proof(iat=now + 2 * LEEWAY_S)),
        ("other method", proof(method="POST")),
        ("other path", proof(path="/orders/1")),
        ("parent path", proof(path="/")),
        ("other origin by Host", [("host", "evil.example"), dpop, ("dpop", client.proof(token, origin="https://evil.example"))]),
        ("other port", proof(origin=ORIGIN + ":8443")),
        ("other scheme", proof(origin="http://api.example")),
        ("ath of another token", proof(ath=client.proof(other).split(".")[2])),
        ("proof of another token", [dpop, ("dpop", client.proof(other))]),
        ("no ath, as for the token endpoint", [dpop, ("dpop", client.proof(None))]),
        ("no jti", proof(jti=None)),
        ("long jti", proof(jti="j" * 300)),
        ("no iat", proof(iat=None)),
        ("no htu", proof(htu=None)),
        ("no htm", proof(htm=None)),
        ("two proofs", [dpop, ("dpop", good), ("dpop", client.proof(token))]),
        ("two proofs in one field", [dpop, ("dpop", f"{good}, {client.proof(token)}")]),
        ("alg none", [dpop, ("dpop", f"{signed}.")]),
        ("typ of an access token", proof(header={"typ": "at+jwt"})),
        ("private key in the proof", proof(header={"jwk": {**client.jwk, "d": "AQ"}})),
        ("HMAC with the public key", proof(header={"alg": "HS256"})),
        ("access token as proof", [dpop, ("dpop", token)]),
        ("unbound token as DPoP", [("authorization", f"DPoP {unbound}"), ("dpop", client.proof(unbound))]),
        ("half of its bindings", [("authorization", f"DPoP {both}"), ("dpop", client.proof(both))]),
        ("two credentials", [dpop, ("authorization", f"Bearer {token}"), ("dpop", good)]),
        ("two credentials in one field", [("authorization", f"DPoP {token}, Bearer {token}"), ("dpop", good)]),
    ]
    rows = [(name, headers, "/orders", "GET") for name, headers in cases]
    rows.append(("proof on another path", [dpop, ("dpop", client.proof(token))], "/orders/2", "GET"))
    rows.append(("proof on another method", [dpop, ("dpop", client.proof(token))], "/orders", "DELETE"))
    rows.append(("where a token is optional", [dpop, ("dpop", thief.proof(token, path="/maybe"))], "/maybe", "GET"))
    return rows


def test_a_stolen_token_without_its_key(gateway, world: World, client: Prover, api):
    rows = stolen(world, client)
    assert len(rows) >= 20
    api.reset()
    # Twice: also where workers have met the token.
    for name, headers, path, method in rows * 2:
        answer = get(gateway, headers, path, method)
        assert answer.status in (400, 401), (name, answer.status)
        # Of two fields nobody knows which scheme is meant.
        # Real nginx refuses two by itself, without a challenge.
        assert answer.status == 400 or "DPoP" in answer.header("www-authenticate"), name
    assert api.seen() == 0
    token = world.own(cnf=client.cnf)
    assert get(gateway, client.headers(token)).status == 200, "the control"
    assert get(gateway, {"authorization": f"Bearer {world.own()}"}).status == 200, "unbound tokens go as ever"


def test_both_schemes_are_offered(gateway, start_gateway, world: World):
    assert get(gateway, {}).header("www-authenticate") == 'Bearer realm="api", DPoP algs="ES256 Ed25519 EdDSA"'
    required = start_gateway(world.config(issuers=[world.own_issuer(dpop={"origins": [ORIGIN], "required": True})], rules=[]))
    assert get(required, {}).header("www-authenticate") == 'DPoP algs="ES256 Ed25519 EdDSA"'
    answer = get(required, {"authorization": f"Bearer {world.own()}"})
    assert answer.status == 401 and 'error="invalid_token"' in answer.header("www-authenticate")


def test_a_nonce_of_ours(start_gateway, world: World, client: Prover):
    gateway = start_gateway(config(world, nonce=True))
    token = world.own(cnf=client.cnf)
    answer = get(gateway, client.headers(token))
    assert answer.status == 401 and 'error="use_dpop_nonce"' in answer.header("www-authenticate")
    assert "DPoP-Nonce" in answer.header("access-control-expose-headers")
    nonce = answer.header("dpop-nonce")
    # Whichever worker made it, every one takes it.
    assert [get(gateway, client.headers(token, nonce=nonce)).status for _ in range(8)] == [200] * 8
    assert get(gateway, client.headers(token, nonce="x" + nonce[1:])).status == 401
    assert get(gateway, client.headers(token, nonce=nonce[:-1] + ("A" if nonce[-1] != "A" else "B"))).status == 401


def test_a_restart_forgets_no_proof(start_gateway, world: World, client: Prover):
    gateway = settled(start_gateway(config(world)))
    token = world.own(cnf=client.cnf)
    used, unused = client.headers(token), client.headers(token)
    assert get(gateway, used).status == 200
    gateway.stop()
    gateway.start(config(world))
    answers = [get(gateway, headers) for headers in (used, unused) * 4]
    assert [answer.status for answer in answers] == [401] * 8
    assert all('error="use_dpop_nonce"' in answer.header("www-authenticate") for answer in answers)
    # A client that does as it is told is let in at once, and any other in the next second.
    assert get(gateway, client.headers(token, nonce=answers[0].header("dpop-nonce"))).status == 200
    settled(gateway)
    assert get(gateway, client.headers(token)).status == 200


def test_a_restart_asks_for_a_new_nonce(start_gateway, world: World, client: Prover):
    gateway = start_gateway(config(world, nonce=True))
    token = world.own(cnf=client.cnf)
    old = get(gateway, client.headers(token)).header("dpop-nonce")
    used = client.headers(token, nonce=old)
    assert get(gateway, used).status == 200
    gateway.stop()
    gateway.start(config(world, nonce=True))
    answer = get(gateway, used)
    assert answer.status == 401 and 'error="use_dpop_nonce"' in answer.header("www-authenticate")
    assert get(gateway, client.headers(token, nonce=answer.header("dpop-nonce"))).status == 200


def test_the_token_is_taken_out_with_its_proof(start_gateway, world: World, client: Prover):
    issuer = world.own_issuer(dpop={"origins": [ORIGIN]}, forward={"claims": {"sub": "x-user"}, "token": False})
    gateway = settled(start_gateway(world.config(issuers=[issuer], rules=[])))
    token = world.own(cnf=client.cnf)
    answer = get(gateway, client.headers(token))
    assert answer.status == 200
    seen = {name.lower(): value for name, value in answer.json()["headers"].items()}
    # Kong blanks what it can't remove.
    assert not any(seen.get("authorization", [])) and not any(seen.get("dpop", [])) and seen["x-user"] == ["user-1"]


def test_one_clients_proofs_do_not_lock_another_out(start_gateway, world: World, client: Prover):
    """A client with a good token and a key fills what it can; another goes on."""
    gateway = settled(start_gateway(config(world, more={"replay": {"ids_max": 256}})))
    loud, quiet = world.own(cnf=client.cnf), Prover()
    address = urlsplit(gateway.base_url).netloc
    connection = http.client.HTTPConnection(address, timeout=30)
    statuses = []
    for _ in range(600):
        connection.request("GET", "/orders", headers=client.headers(loud))
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    assert set(statuses) == {200, 503} and statuses.count(200) <= 128
    assert gateway.metrics()["herdgate.replay.full"] == statuses.count(503)
    token = world.own(cnf=quiet.cnf)
    # It has room for half of what is left, and for the first ones nearly always.
    assert [get(gateway, quiet.headers(token)).status for _ in range(12)].count(200) >= 9


def test_the_real_server_binds_and_the_gateway_checks(gateway, world: World, client: Prover):
    """oidc-provider makes the token for the proof that it was shown."""
    url = f"{world.idp.issuer}/oauth2/token"
    body = form(grant_type="client_credentials", scope="orders:read", resource="https://orders.example")
    proof = client.proof(None, path="/oauth2/token", method="POST", origin=world.idp.issuer)
    answer = request(url, "POST", {**token_headers(), "dpop": proof}, body)
    assert answer.status == 200 and answer.json()["token_type"] == "DPoP"
    token = answer.json()["access_token"]
    assert json.loads(unb64(token.split(".")[1]))["cnf"] == client.cnf
    assert get(gateway, client.headers(token)).status == 200
    assert get(gateway, {"authorization": f"Bearer {token}"}).status == 401
    assert get(gateway, Prover().headers(token)).status == 401


@pytest.mark.parametrize("nonce", [False, True])
def test_a_strict_client(start_gateway, world: World, nonce):
    """oauth4webapi: its token, its proofs, its way to answer a challenge. Its own URL is what the proof is for."""
    gateway = start_gateway(None)
    gateway.start(config(world))
    # The origin is that of the listener here, since the client signs what it calls.
    issuer = world.idp_issuer(dpop={"origins": [gateway.base_url], "nonce": nonce})
    gateway.reload(world.config(issuers=[issuer], rules=[]))
    settled(gateway)
    command = ["node", SERVERS / "dpop_client.mjs", f"{world.idp.issuer}/oauth2/token", "client-a", "secret-a", f"{gateway.base_url}/orders", "5"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert out.returncode == 0, out.stderr
    told = json.loads(out.stdout)
    assert told["token_type"] == "dpop"
    assert told["statuses"] == [200] * 5
    # The first proof has no nonce yet.
    assert told["challenged"] == (1 if nonce else 0)
