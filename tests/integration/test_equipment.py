"""The equipment itself: servers, tokens, the attack catalogue, the shipped envoy.yaml, and a filter that does nothing."""

import json
import os
import subprocess

import pytest
import yaml
from joserfc import jwk, jwt

from attacks import CATALOGUE
from cases import TABLE
from checks import send
from gateway import Refused, Upstreams, kind
from http_client import request
from load import load, token_file
from processes import ENVOY, ROOT
from tokens import Key, claims, forged
from world import OWN, World

EMPTY = ROOT / "dist" / "empty.wasm"


@pytest.fixture(scope="module")
def empty_filter():
    if not EMPTY.exists():
        subprocess.run([ROOT / "scripts" / "build", "--empty"], check=True)
    return EMPTY


@pytest.fixture(scope="module")
def open_gateway(start_open, empty_filter):
    return start_open({"any": "thing"})


@pytest.fixture(scope="module")
def start_open(directory, idp, api, empty_filter):
    from envoy import Envoy

    started = []

    def start(config):
        gateway = Envoy(directory / f"open-{len(started)}", Upstreams(api.port, idp.port), wasm=empty_filter)
        started.append(gateway)
        gateway.start(config)
        return gateway

    yield start
    for gateway in started:
        gateway.stop()


pytestmark = pytest.mark.only("envoy")


def test_envoy_runs_a_filter_on_two_workers(open_gateway, world: World):
    answer = request(open_gateway.base_url + "/a?b=1", headers=[("x-a", "1"), ("X-A", "2")])
    assert answer.status == 200
    seen = answer.json()
    assert (seen["method"], seen["path"], seen["headers"]["x-a"]) == ("GET", "/a?b=1", ["1", "2"])
    # Main thread, canary and one for each worker.
    assert open_gateway.log().count("empty-filter: 16 bytes of configuration") >= 3


def test_envoy_reloads_in_place(start_open):
    gateway = start_open({"n": 1})
    base, pids = gateway.base_url, gateway.pids()
    gateway.reload({"nn": 22})
    assert "empty-filter: 10 bytes" in gateway.log()
    assert request(base + "/").status == 200
    assert gateway.pids() == pids


def test_a_filter_that_cannot_load_is_refused(start_open, tmp_path, idp, api):
    from envoy import Envoy

    broken = tmp_path / "broken.wasm"
    broken.write_bytes(b"\0asm\x01\0\0\0")
    gateway = Envoy(tmp_path / "broken", Upstreams(api.port, idp.port), wasm=broken)
    with pytest.raises(Refused):
        gateway.start({})
    assert gateway.starts_not({})


def test_without_the_filter_every_case_would_pass(open_gateway, world: World):
    """What the table says of 401, 403 and 400 is the filter's doing: the empty one lets nearly all of it through."""
    statuses = {case.name: send(open_gateway.base_url, case, world).status for case in TABLE}
    refused = {name for name, status in statuses.items() if status != 200}
    # Envoy itself refuses escaped slashes and NUL (path_with_escaped_slashes_action).
    assert all("%2f" in name.lower() or "%5c" in name.lower() or "%00" in name for name in refused), refused
    names = [case.name for case in TABLE]
    assert len(set(names)) == len(names)


def test_real_tokens_of_the_real_server(idp, world: World):
    for resource, alg in [("https://orders.example", "RS256"), ("https://orders.example/es256", "ES256"), ("https://orders.example/eddsa", "EdDSA")]:
        keys = jwk.KeySet.import_key_set(request(idp.jwks_uri).json())
        decoded = jwt.decode(idp.token(resource=resource), keys, algorithms=[alg])
        assert decoded.claims["aud"] == "orders-api" and decoded.claims["iss"] == idp.issuer
    assert "." not in idp.token(resource=None), "without a resource the token is opaque"
    refresh = idp.grant()["refresh_token"]
    assert refresh


@pytest.mark.parametrize("fault", ["status", "reset", "cut", "garbage", "empty", "html", "huge", "slow"])
def test_faults_of_the_token_endpoint(fault, idp):
    idp.fault("/oauth2/token", fault, times=1, delay_ms=50)
    try:
        answer = idp.token_call()
        outcome = (answer.status, len(answer.body))
    except OSError:
        outcome = "broken"
    except Exception as error:
        outcome = type(error).__name__
    expected = {
        "status": (500, 18),
        "reset": "broken",
        "cut": "IncompleteRead",
        "garbage": (200, 8),
        "empty": (200, 0),
        "html": (200, 59),
        "huge": (200, 8 * 1024 * 1024 + 14),
    }
    if fault == "slow":
        assert outcome[0] == 200
    else:
        assert outcome == expected[fault]
    assert idp.token_call().status == 200, "times=1 ends the fault"


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
def test_our_tokens_satisfy_a_strict_library(alg):
    key = Key(alg, "k")
    public = jwk.import_key(key.jwk())
    assert jwt.decode(key.token(claims(OWN)), public, algorithms=[alg]).claims["iss"] == OWN
    with pytest.raises(Exception):
        jwt.decode(forged(key.token(claims(OWN))), public, algorithms=[alg])


def test_the_catalogue(world: World):
    """Over thirty attacks with distinct names; each can be made, and each control is good by another library's word."""
    names = [attack.name for attack in CATALOGUE]
    assert len(set(names)) == len(names) > 100
    own = jwk.KeySet([jwk.import_key(key.jwk()) for key in (world.rsa, world.ec, world.ed)])
    for attack in CATALOGUE:
        assert attack.request_headers(world), attack.name
        token = attack.control_headers(world)[0][1].removeprefix("Bearer ")
        if attack.control is None:
            decoded = jwt.decode(token, own, algorithms=["RS256", "ES256", "EdDSA"])
            assert decoded.claims["aud"] == "orders-api", attack.name
        assert [("authorization", f"Bearer {token}")] != attack.request_headers(world), attack.name


def test_load_counts_what_the_server_counts(open_gateway, world: World, tmp_path):
    world.api.reset()
    tokens = token_file(tmp_path / "tokens", [f"token-{n}" for n in range(7)])
    report = load(open_gateway.base_url + "/load", connections=8, requests=700, tokens=tokens)
    assert report["statuses"] == {"200": 700} and report["errors"] == 0
    assert world.api.seen() == 700
    paced = load(open_gateway.base_url + "/load", connections=8, requests=100, rate=200)
    assert 0.4 < paced["seconds"] < 1.5, paced


def test_the_shipped_envoy_yaml_is_valid(tmp_path, empty_filter):
    """As it is but for the path of the module: the listener, the clusters, the TLS settings, the stats tags."""
    document = yaml.safe_load((ROOT / "envoy" / "envoy.yaml").read_text())
    text = json.dumps(document).replace("dist/herdgate.wasm", str(empty_filter))
    path = tmp_path / "envoy.json"
    path.write_text(text)
    done = subprocess.run([ENVOY, "--mode", "validate", "-c", path], capture_output=True, text=True, timeout=60, env={**os.environ, "HERDGATE_SECRET": "x"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert document["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    assert kind() == "envoy"
