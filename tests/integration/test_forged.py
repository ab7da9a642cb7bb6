"""Forged tokens by the hundred thousand: JWTs that nobody has signed, and strings that nobody has handed out. Good clients keep what they have.

HERDGATE_FULL=1 sends a million of them; pytest -s shows how fast.
"""

import json
import os
import random
import time

import pytest

from http_client import request
from load import load, token_file
from proofs import ORIGIN, Prover
from test_opaque import RESOURCE, issuer
from test_replay import REGISTER, fresh, settled
from tokens import b64
from world import World

FULL = os.environ.get("HERDGATE_FULL") == "1"
FORGED = 1_000_000 if FULL else 9_000
BATCH = 100_000
GOOD = 50


def config(world: World) -> dict:
    issuers = [world.own_issuer(dpop={"origins": [ORIGIN]}), REGISTER, issuer(world, negative_ttl_s=5, calls_per_s_max=100)]
    rules = [{"match": {"path_prefix": "/orders"}}]
    return {"issuers": issuers, "rules": rules, "replay": {"issuers": ["register"]}, "shared": {"secret": {"env": "HERDGATE_SECRET"}}}


def forged(world: World, chance: random.Random, count: int) -> list[str]:
    """A third each: another signature under a good token's header and claims with an id of its own, an HMAC, a made-up string."""
    rsa, _, _ = world.own().partition(".")
    hmac, _, _ = fresh(world).partition(".")
    claims = {"iss": "https://own.example", "aud": "orders-api", "sub": "user-1", "iat": int(time.time()), "exp": int(time.time()) + 3600, "scope": "orders:read"}
    out = []
    for number in range(count):
        text = f"{chance.getrandbits(64):x}"
        if number % 3 == 2:
            out.append(f"{text}{chance.getrandbits(192):x}")
            continue
        head, iss, size = (rsa, claims["iss"], 256) if number % 3 == 0 else (hmac, "mobile-app", 32)
        body = b64(json.dumps({**claims, "iss": iss, "jti": text}).encode())
        out.append(f"{head}.{body}.{b64(chance.randbytes(size))}")
    return out


def get(gateway, headers: dict) -> int:
    return request(gateway.base_url + "/orders/1", headers=headers).status


def bearer(token: str) -> dict:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.only("envoy")
def test_forged_tokens_push_out_nothing_and_fill_no_table(start_gateway, world: World, tmp_path):
    gateway, chance, client = settled(start_gateway(config(world), fresh=True)), random.Random(13), Prover("EdDSA")
    good = [world.own(jti=f"good {number}") for number in range(GOOD)]
    opaque = [world.idp.token(resource=RESOURCE) for _ in range(3)]
    bound, used = world.own(cnf=client.cnf), bearer(fresh(world))
    proof = client.headers(bound, path="/orders/1")
    for headers in [bearer(token) for token in good + opaque] * 8:
        assert get(gateway, headers) == 200
    assert [get(gateway, headers) for headers in (used, used, proof, proof)] == [200, 401, 200, 401]

    def counted(name: str) -> float:
        return gateway.metrics()[f"herdgate.bearer.{name}"]

    before, began, told = counted("verified"), time.monotonic(), {}
    for start in range(0, FORGED, BATCH):
        count = min(BATCH, FORGED - start)
        path = token_file(tmp_path / "forged", forged(world, chance, count))
        sent = load(f"{gateway.base_url}/orders/1", connections=16, requests=count, tokens=path, timeout_s=300)["statuses"]
        told = {status: told.get(status, 0) + sent.get(status, 0) for status in {*told, *sent}}
        # In the midst of it new ones are good too.
        new = [bearer(fresh(world)), client.headers(bound, path="/orders/1"), bearer(good[0])]
        assert [get(gateway, headers) for headers in new] == [200] * 3
    took = time.monotonic() - began
    print(f"\n{FORGED} forged tokens in {took:.0f} s: {told}")
    assert set(told) == {"401", "503"} and sum(told.values()) == FORGED and told["401"] >= FORGED * 2 // 3
    # What was verified before is known still, by both workers: the new tokens alone cost arithmetic.
    batches, hits = -(-FORGED // BATCH), counted("l1_hit")
    for headers in [bearer(token) for token in good] * 4:
        assert get(gateway, headers) == 200
    assert counted("verified") - before <= 2 * batches, (before, counted("verified"))
    # One of the two may not have met each of them before.
    assert counted("l1_hit") - hits >= 4 * GOOD - 20
    assert [get(gateway, headers) for headers in (used, proof)] == [401, 401]
    metrics = gateway.metrics()
    assert metrics["herdgate.replay.full"] == 0 == metrics["herdgate.shared.full"]
    if not FULL:
        return
    # Looked at every five seconds.
    time.sleep(11)
    filled = {name: gateway.metrics().get(f"herdgate.table.{name}.filled_percent") for name in ("tokens", "opaque", "revoked", "replay")}
    print(filled)
    assert max(filled.values()) < 10, filled
