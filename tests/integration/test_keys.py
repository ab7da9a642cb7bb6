"""Keys that come from the server: rotation, outage, a cold start. HERDGATE_FULL=1 runs the outage at its full length."""

import json
import os
import re
import time

import pytest

from http_client import request
from load import load, token_file
from processes import PATIENCE_S, ROOT, wait_until
from tokens import Key, claims, forged
from world import World

FULL = os.environ.get("HERDGATE_FULL") == "1"


def bearer(token: str) -> dict:
    return {"authorization": f"Bearer {token}"}


def statuses(base: str, tokens: list[str], times: int = 1) -> dict[int, int]:
    """Statuses by count; every request is a connection of its own, so that all workers get some."""
    out: dict[int, int] = {}
    for token in tokens * times:
        status = request(base + "/orders", headers=bearer(token)).status
        out[status] = out.get(status, 0) + 1
    return out


def with_jwks(world: World, **jwks) -> dict:
    return world.config(issuers=[world.idp_issuer(jwks=jwks)], rules=[])


def test_rotation_stops_old_tokens_and_no_new_one(start_gateway, world: World):
    ttl_s = 2
    gateway = start_gateway(with_jwks(world, ttl_s=ttl_s, refetch_s=1))
    old = [world.idp.token() for _ in range(4)]
    assert statuses(gateway.base_url, old, 10) == {200: 40}
    time.sleep(1.1)
    world.idp.rotate("RS256", keep_old=False)
    rotated = time.monotonic()
    new = [world.idp.token() for _ in range(4)]
    while time.monotonic() < rotated + ttl_s + 0.5:
        assert statuses(gateway.base_url, new) == {200: 4}
    assert statuses(gateway.base_url, old, 10) == {401: 40}
    assert statuses(gateway.base_url, new, 10) == {200: 40}


@pytest.mark.parametrize("kind", ["hang", "status", "reset", "garbage", "empty", "html"])
def test_outage_of_the_key_server_refuses_no_valid_request(kind, start_gateway, world: World):
    ttl_s, outage_s = (5, 30) if FULL else (1, 4)
    if kind == "hang" and not FULL:
        outage_s = 8
    gateway = start_gateway(with_jwks(world, ttl_s=ttl_s, refetch_s=1))
    tokens = [world.idp.token() for _ in range(200)]
    assert statuses(gateway.base_url, tokens[:4], 5) == {200: 20}
    world.idp.fault("/jwks", kind)
    end, sent = time.monotonic() + outage_s, 0
    while time.monotonic() < end:
        # Mostly tokens that no cache has seen.
        assert statuses(gateway.base_url, [tokens[sent % len(tokens)]]) == {200: 1}
        sent += 1
        time.sleep(0.01)
    assert gateway.metrics().get("herdgate.jwks.fetch_failed", 0) > 0, "the outage was not felt"
    world.idp.heal()


@pytest.mark.only("envoy")
def test_cold_start_with_a_slow_key_server(start_gateway, world: World, directory):
    tokens = token_file(directory / "cold-tokens", [world.idp.token() for _ in range(200)])
    gateway = start_gateway(None)
    world.idp.reset_counts()
    world.idp.fault("/jwks", "slow", delay_ms=1000)
    gateway.start(with_jwks(world, ttl_s=600))
    report = load(gateway.base_url + "/orders", connections=200, requests=200, tokens=tokens)
    assert report["statuses"] == {"200": 200}, report
    assert world.idp.requests("/jwks") == 1


def test_keys_that_never_come_are_503(start_gateway, world: World):
    token = world.idp.token()
    world.idp.fault("/jwks", "status", status=500)
    gateway = start_gateway(with_jwks(world, ttl_s=600, refetch_s=1))
    answer = request(gateway.base_url + "/orders", headers=bearer(token))
    assert answer.status == 503, answer.body
    assert int(answer.header("retry-after")) >= 1
    assert "invalid_token" not in str(answer.header("www-authenticate")) + answer.body.decode()
    # A token that is bad in itself needs no keys to be refused.
    assert request(gateway.base_url + "/orders", headers=bearer("a.b.c")).status == 401
    assert request(gateway.base_url + "/orders").status == 401
    world.idp.heal()
    wait_until(lambda: request(gateway.base_url + "/orders", headers=bearer(token)).status == 200, PATIENCE_S, "recovery", every=0.1)


def test_unknown_kids_do_not_storm_the_key_server(start_gateway, world: World):
    gateway = start_gateway(with_jwks(world, ttl_s=600, refetch_s=30))
    good = world.idp.token()
    assert statuses(gateway.base_url, [good]) == {200: 1}
    world.idp.reset_counts()
    head, payload, signature = good.split(".")
    from tokens import as_bytes, b64

    began = time.monotonic()
    for number in range(300):
        header = b64(as_bytes({"alg": "RS256", "kid": f"unknown-{number}"}))
        assert request(gateway.base_url + "/orders", headers=bearer(f"{header}.{payload}.{signature}")).status == 401
    assert world.idp.requests("/jwks") <= 1 + (time.monotonic() - began) // 30
    assert statuses(gateway.base_url, [good]) == {200: 1}


def test_a_new_key_during_an_outage_is_503_and_not_a_bad_token(start_gateway, world: World):
    gateway = start_gateway(with_jwks(world, ttl_s=600, refetch_s=1))
    old = world.idp.token()
    assert statuses(gateway.base_url, [old]) == {200: 1}
    world.idp.fault("/jwks", "status", status=500)
    world.idp.rotate(keep_old=True)
    new = world.idp.token()
    for _ in range(20):
        answer = request(gateway.base_url + "/orders", headers=bearer(new))
        assert answer.status == 503 and int(answer.header("retry-after")) >= 1, answer
        assert request(gateway.base_url + "/orders", headers=bearer(old)).status == 200
    world.idp.heal()
    wait_until(lambda: request(gateway.base_url + "/orders", headers=bearer(new)).status == 200, PATIENCE_S, "recovery", every=0.1)


def test_discovery(start_gateway, world: World):
    issuer = world.idp_issuer(discovery=f"{world.idp.issuer}/.well-known/openid-configuration")
    del issuer["jwks_uri"]
    gateway = start_gateway(world.config(issuers=[issuer], rules=[]))
    assert statuses(gateway.base_url, [world.idp.token()]) == {200: 1}


@pytest.mark.only("envoy")
def test_the_set_has_a_cluster_of_its_own(start_gateway, world: World):
    """Metadata may name a host that another cluster stands for: here one that isn't there, and one that is."""
    for cluster, expected in [("no-such-cluster", {503: 1}), ("kong_admin", {200: 1})]:
        issuer = world.idp_issuer(discovery=f"{world.idp.issuer}/.well-known/openid-configuration", jwks={"cluster": cluster})
        del issuer["jwks_uri"]
        gateway = start_gateway(world.config(issuers=[issuer], rules=[]))
        assert statuses(gateway.base_url, [world.idp.token()]) == expected, cluster


def test_discovery_of_another_issuer_is_not_believed(start_gateway, world: World):
    address = world.idp.document("/.well-known/wrong", '{"issuer": "https://evil.example", "jwks_uri": "%s"}' % world.idp.jwks_uri)
    issuer = world.idp_issuer(discovery=address)
    del issuer["jwks_uri"]
    gateway = start_gateway(world.config(issuers=[issuer], rules=[]))
    assert statuses(gateway.base_url, [world.idp.token()]) == {503: 1}


def test_keys_that_cannot_be_used_are_left_out_and_counted(start_gateway, world: World):
    good = Key("RS256", "good")
    bad = [
        Key("RS256", "encrypts").jwk(use="enc"),
        Key("RS256", "private").jwk(d="AQAB"),
        {"kty": "quantum", "kid": "unknown"},
        good.jwk(kid="broken", n="*"),
        {**Key("ES256", "curve").jwk(), "crv": "P-384"},
        7,
    ]
    keys = json.dumps({"keys": [*bad[:3], good.jwk(alg=None, use=None, d=None), *bad[3:]]})
    uri = world.idp.document("/odd-jwks", keys)
    gateway = start_gateway(world.config(issuers=[world.idp_issuer(jwks_uri=uri)], rules=[]))
    token = good.token(claims(world.idp.issuer))
    assert statuses(gateway.base_url, [token], 10) == {200: 10}

    def skipped() -> bool:
        metrics = gateway.metrics()
        fetched = metrics.get("herdgate.jwks.fetched", 0)
        return fetched > 0 and metrics.get("herdgate.jwks.keys_skipped", 0) == len(bad) * fetched

    wait_until(skipped, 10, "a count of the keys left out")


def test_certificates_by_kid_in_the_configuration(start_gateway, world: World):
    key, other = Key("RS256", "one"), Key("RS256", "two")
    issuer = world.own_issuer(algorithms=["RS256"], keys=[{"x509": {"one": key.certificate(), "two": other.certificate()}}])
    gateway = start_gateway(world.config(issuers=[issuer], rules=[]))
    assert statuses(gateway.base_url, [world.own(key), world.own(other)], 2) == {200: 4}
    crossed = Key("RS256", "three")
    assert statuses(gateway.base_url, [world.own(crossed), world.own(key, header={"alg": "RS256", "kid": "two"})]) == {401: 2}


def test_servers_are_told_who_asks(start_gateway, world: World):
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    gateway = start_gateway(with_jwks(world))
    assert statuses(gateway.base_url, [world.idp.token()]) == {200: 1}
    sent = world.idp.headers("/jwks")
    assert (sent["user-agent"], sent["accept-encoding"]) == (f"herdgate/{version}", "identity")


def test_headers_of_the_configuration_replace_ours(start_gateway, world: World):
    gateway = start_gateway(world.config(issuers=[world.idp_issuer(headers={"User-Agent": "mine/1"})], rules=[]))
    assert statuses(gateway.base_url, [world.idp.token()]) == {200: 1}
    assert world.idp.headers("/jwks")["user-agent"] == "mine/1"


# Each algorithm by a key that OpenSSL made, and what its JWK and its tokens may call it.
ALGORITHMS = [("ES512", "ES512"), ("ES256K", "ES256K"), ("EdDSA", "Ed25519"), ("ML-DSA-44", "ML-DSA-44"), ("ML-DSA-65", "ML-DSA-65"), ("ML-DSA-87", "ML-DSA-87")]


@pytest.mark.parametrize("alg,other", ALGORITHMS, ids=[alg for alg, _ in ALGORITHMS])
def test_algorithms_of_other_libraries_verify(alg, other, start_gateway, world: World):
    key, twin, stranger = Key(alg, "a"), Key(alg, "b"), Key(alg, "a")
    inline = {"pem": key.pem()} if alg != other else {"jwk": key.jwk(alg=other)}
    for configured in {alg, other}:
        uri = world.idp.document("/new-jwks", json.dumps({"keys": [twin.jwk(), Key("ES384", "c").jwk(), key.jwk(alg=other)]}))
        fetched = world.idp_issuer(jwks_uri=uri, algorithms=["RS256", configured])
        gateway = start_gateway(world.config(issuers=[fetched, world.own_issuer(algorithms=[configured], keys=[inline])], rules=[]))
        for issuer in (world.idp.issuer, world.own_issuer()["issuer"]):
            # ECDSA of OpenSSL has a high s every other time; all are good.
            good = [key.token(claims(issuer), {"alg": name, "kid": "a"}) for name in (alg, other) for _ in range(4)]
            assert statuses(gateway.base_url, good) == {200: 8}, issuer
            bad = [forged(good[0]), stranger.token(claims(issuer)), twin.token(claims(issuer), {"alg": alg, "kid": "a"}), key.token(claims(issuer), {"alg": "ES384", "kid": "a"}, alg)]
            assert statuses(gateway.base_url, bad) == {401: 4}, issuer


@pytest.mark.only("envoy")
def test_the_host_verifies_es512(start_gateway, world: World):
    """Envoy's function passes the known vectors on P-521 too: what takes the filter milliseconds takes it a fraction."""
    key = Key("ES512", "a")
    issuer = world.own_issuer(algorithms=["ES512"], keys=[{"jwk": key.jwk()}])
    gateway = start_gateway(world.config(issuers=[issuer], rules=[]))
    good = world.own(key)
    assert statuses(gateway.base_url, [good, forged(good)]) == {200: 1, 401: 1}
    wait_until(lambda: gateway.metrics().get("herdgate.bearer.verified_by_host", 0) >= 1, 10, "a verification by the host")
    assert gateway.metrics().get("herdgate.verify.host_refused", 0) == 0
