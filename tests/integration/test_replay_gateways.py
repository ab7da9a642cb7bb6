"""Tokens and proofs that count once at all gateways together: two Envoys of two workers, a real Redis behind a real Webdis.

pytest -s shows how long requests wait for Redis; HERDGATE_FULL=1 tries more, and replaces the secret meanwhile.
"""

import os
import signal
import statistics
import threading
import time

import pytest

from envoy import Envoy, plain_cluster
from gateway import SECRETS, Upstreams, kind, make_gateway
from http_client import request
from processes import PATIENCE_S, wait_until
from proofs import ORIGIN, Prover
from webdis import Webdis
from world import World

REGISTER = {"name": "register", "issuer": "mobile-app", "algorithms": ["HS256"], "keys": [{"secret": {"env": "REGISTER_SECRET"}}]}
FULL = os.environ.get("HERDGATE_FULL") == "1"
TRIES = 2_000 if FULL else 40


def config(world: World, webdis: Webdis, **more) -> dict:
    return {
        "issuers": [world.own_issuer(dpop={"origins": [ORIGIN]}), REGISTER],
        "replay": {"issuers": ["register"], "scope": "gateways"},
        "gateways": {**webdis.meeting(200), "revocations": False},
        "shared": {"secret": {"env": "HERDGATE_SECRET"}},
        **more,
    }


@pytest.fixture
def start(directory, idp, api, filter_wasm, webdis):
    """Starts gateways that meet; at the end all are stopped."""
    made = []

    def one(config: dict, env: dict | None = None) -> Envoy:
        upstreams = Upstreams(api.port, idp.port, {**SECRETS, **(env or {})})
        made.append(Envoy(directory / f"once-{time.monotonic_ns()}", upstreams, extra_clusters=[plain_cluster("webdis", webdis.port)]))
        made[-1].start(config)
        return made[-1]

    yield one
    for gateway in made:
        gateway.stop()


@pytest.fixture(scope="module")
def pair(directory, idp, api, filter_wasm, webdis, world):
    """Two that meet."""
    extra = [plain_cluster("webdis", webdis.port)]
    made = [Envoy(directory / f"once-of-pair-{number}", Upstreams(api.port, idp.port), extra_clusters=extra) for number in range(2)]
    for gateway in made:
        gateway.start(config(world, webdis))
    begun(made[0], world)
    yield made
    for gateway in made:
        gateway.stop()


def fresh(world: World, **more) -> str:
    return world.hmac(world.register, "mobile-app", **more)


def bearer(token: str) -> dict:
    return {"authorization": f"Bearer {token}"}


def get(gateway, headers: dict):
    return request(gateway.base_url + "/orders", headers=headers)


def begun(gateway, world: World) -> None:
    """Redis's memory begins with the first question, and what was made in that second may be older."""
    answers([gateway], world)
    time.sleep(1.1)


def use(gateway, make) -> dict:
    """Headers that this gateway has admitted. Redis has 50 ms, which a busy machine doesn't always keep; then there are others."""
    found = []

    def is_admitted() -> bool:
        headers = make()
        status = get(gateway, headers).status
        assert status in (200, 503), status
        found.append(headers)
        return status == 200

    wait_until(is_admitted, PATIENCE_S, "an admission")
    return found[-1]


def refuse(gateways, headers: dict, when: str = "") -> None:
    """All refuse it, and none lets it in meanwhile."""
    for gateway in gateways:
        first = get(gateway, headers).status
        assert first in (401, 503), (when, first)
        # Its own memory knows it now, or Redis says so.
        wait_until(lambda: get(gateway, headers).status == 401, PATIENCE_S, f"a refusal {when}")


def answers(gateways, world: World) -> None:
    """Redis answers again, on all of Webdis's connections."""
    for gateway in gateways:
        wait_until(lambda: all(get(gateway, bearer(fresh(world))).status != 503 for _ in range(5)), PATIENCE_S, "answers of Redis")


def counted(gateways, name: str) -> float:
    return sum(gateway.metrics().get(name) for gateway in gateways)


@pytest.mark.only("envoy")
def test_what_one_gateway_has_seen_is_refused_by_the_other(pair, world, redis):
    one, two = pair
    client = Prover("EdDSA")
    bound = world.own(cnf=client.cnf)
    waits = []
    for number in range(6):
        first, second = (one, two) if number % 2 else (two, one)
        for make in (lambda: bearer(fresh(world)), lambda: client.headers(bound)):
            before = time.monotonic()
            headers = use(first, make)
            waits.append((time.monotonic() - before) * 1000)
            asked = counted([first, second], "herdgate.replay.asked")
            refuse([second, second, first], headers)
            # Each gateway asks once for an id, and remembers the answer.
            assert counted([first, second], "herdgate.replay.asked") <= asked + 1
    assert "invalid_dpop_proof" in get(second, headers).header("www-authenticate")
    print(f"\na request that waits for Redis takes {statistics.median(waits):.1f} ms in the median, {max(waits):.1f} ms at most")
    # Other tokens wait for nobody, and nothing of a token is in Redis, nor for ever.
    asked = counted([one, two], "herdgate.replay.asked")
    token = world.own()
    assert [get(gateway, bearer(token)).status for gateway in (one, two) * 3] == [200] * 6
    assert counted([one, two], "herdgate.replay.asked") == asked
    text = str(redis.everything())
    assert "mobile-app" not in text and client.jkt not in text
    assert all(key.startswith("herdgate:") and redis.ask("PTTL", key) > 0 for key in redis.ask("KEYS", "*"))


@pytest.mark.only("envoy")
def test_the_same_at_both_at_once_passes_once(pair, world):
    client = Prover("EdDSA")
    bound = world.own(cnf=client.cnf)
    wrong = {}
    barrier = threading.Barrier(4)
    current, found = {}, []

    def ask(gateway) -> None:
        for _ in range(TRIES):
            barrier.wait()
            found.append(get(gateway, current["headers"]).status)
            barrier.wait()

    threads = [threading.Thread(target=ask, args=(gateway,), daemon=True) for gateway in (pair * 2)[:3]]
    for thread in threads:
        thread.start()
    for number in range(TRIES):
        current["headers"] = client.headers(bound) if number % 2 else bearer(fresh(world))
        found.clear()
        barrier.wait()
        barrier.wait()
        if sorted(found) != [200, 401, 401]:
            wrong[tuple(sorted(found))] = wrong.get(tuple(sorted(found)), 0) + 1
    for thread in threads:
        thread.join()
    # On a busy machine Redis may be late; twice yes is never.
    assert all(statuses.count(200) <= 1 for statuses in wrong), wrong
    assert sum(wrong.values()) <= TRIES // 2, wrong


@pytest.mark.only("envoy")
def test_a_redis_that_is_away_or_slow_refuses_and_says_so(pair, world, webdis):
    gateway, _ = pair
    used, client = use(gateway, lambda: bearer(fresh(world))), Prover("EdDSA")
    bound = world.own(cnf=client.cnf)
    os.kill(webdis.child.pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            before = time.monotonic()
            answer = get(gateway, client.headers(bound))
            assert answer.status == 503 and int(answer.header("retry-after")) > 0
            assert time.monotonic() - before < 5
        # Nobody asks a server that doesn't answer for each request, and what wasn't asked for isn't spent.
        unspent = bearer(fresh(world))
        wait_until(lambda: get(gateway, unspent).status == 503 and gateway.metrics().get("herdgate.replay.ask_failed") > 2, PATIENCE_S, "a pause")
        # What is known here is known here, and other tokens need nobody.
        assert get(gateway, bearer(world.own())).status == 200
    finally:
        os.kill(webdis.child.pid, signal.SIGCONT)
    use(gateway, lambda: client.headers(bound))
    assert get(gateway, used).status == 401
    assert "ids of gateways at http://127.0.0.1" in gateway.log()


@pytest.mark.only("envoy")
def test_a_redis_that_forgot_admits_nothing_of_before(pair, world, redis):
    one, two = pair
    client = Prover("EdDSA")
    bound = world.own(cnf=client.cnf)
    for lose in ("FLUSHALL", "eviction", "an older state"):
        older = redis.everything()
        used, unused = use(one, lambda: bearer(fresh(world))), bearer(fresh(world))
        proof = use(one, lambda: client.headers(bound))
        if lose == "FLUSHALL":
            redis.ask("FLUSHALL")
        elif lose == "eviction":
            [ids] = [key for key in redis.ask("KEYS", "*") if key.endswith(":ids")]
            redis.ask("DEL", ids)
        else:
            # As from a file that was written before: sound in itself.
            redis.stop()
            redis.start()
            for key, members in older.items():
                for member, value in zip(members[::2], members[1::2]):
                    redis.ask(*(["ZADD", key, value, member] if key.endswith(":ids") else ["HSET", key, member, value]))
        # Both were made before, and so was the proof, which the second one doesn't know.
        answers([one, two], world)
        for headers in (used, unused, proof):
            refuse([two], headers, f"after {lose}")
        # What is new passes: a proof with the nonce that an old one is answered with at once, others in the next second.
        told = get(two, client.headers(bound, iat=int(time.time()) - 30))
        assert told.status == 401 and "use_dpop_nonce" in told.header("www-authenticate"), lose
        use(two, lambda: client.headers(bound, nonce=told.header("dpop-nonce")))
        time.sleep(1.1)
        use(two, lambda: bearer(fresh(world)))
    assert counted(pair, "herdgate.replay.lost") > 0


@pytest.mark.only("envoy")
@pytest.mark.skipif(not FULL, reason="twelve seconds: HERDGATE_FULL=1")
def test_a_secret_is_replaced_and_nothing_passes_twice(start, world, webdis):
    old, new = {"env": "HERDGATE_SECRET"}, {"env": "NEW_SECRET"}
    env = {"NEW_SECRET": "the-secret-that-takes-the-place-of-it"}
    steps = [{"secret": old}, {"secret": old, "secret_previous": new}, {"secret": new, "secret_previous": old}]
    one, two = [start(config(world, webdis, shared=steps[0]), env) for _ in range(2)]
    begun(one, world)
    used = []

    def pass_once(first, second) -> None:
        """Passes once at the first, and is refused by the other."""
        answers([first], world)
        time.sleep(1.1)
        used.append(use(first, lambda: bearer(fresh(world))))
        refuse([second], used[-1])

    pass_once(one, two)
    for shared in steps[1:]:
        one.reload(config(world, webdis, shared=shared))
        pass_once(one, two)
        pass_once(two, one)
        two.reload(config(world, webdis, shared=shared))
        pass_once(two, one)
    assert [get(gateway, headers).status for headers in used for gateway in (one, two)] == [401] * (2 * len(used))
    use(one, lambda: bearer(fresh(world)))


@pytest.mark.only("envoy")
def test_in_shadow_nobody_waits(start, world, webdis):
    gateway = start(config(world, webdis, mode="shadow"))
    os.kill(webdis.child.pid, signal.SIGSTOP)
    try:
        headers = bearer(fresh(world))
        assert [get(gateway, headers).status for _ in range(3)] == [200] * 3
        assert gateway.metrics().get("herdgate.bearer.shadowed.replayed") == 2
        assert gateway.metrics().get("herdgate.replay.asked") == 0
    finally:
        os.kill(webdis.child.pid, signal.SIGCONT)


def test_a_gateway_asks_redis(directory, idp, api, filter_wasm, world, redis, webdis):
    """On each host: here a single gateway, and what another one would have told Redis."""
    extra = {"extra_clusters": [plain_cluster("webdis", webdis.port)]} if kind() == "envoy" else {}
    gateway = make_gateway(directory / "asking", Upstreams(api.port, idp.port), **extra)
    redis.ask("FLUSHALL")
    gateway.start(config(world, webdis))
    try:
        begun(gateway, world)
        for _ in range(5):
            headers = use(gateway, lambda: bearer(fresh(world)))
            assert [get(gateway, headers).status for _ in range(2)] == [401, 401]
        [ids] = [key for key in redis.ask("KEYS", "*") if key.endswith(":ids")]
        assert redis.ask("ZCARD", ids) >= 5
        # A gateway that comes later knows what this one has used: its own memory is empty then.
        gateway.stop()
        gateway.start(config(world, webdis))
        answers([gateway], world)
        refuse([gateway], headers)
        use(gateway, lambda: bearer(fresh(world)))
    finally:
        gateway.stop()
