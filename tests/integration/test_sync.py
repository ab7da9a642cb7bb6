"""Limits of several gateways that meet in a real Redis behind a real Webdis: three Envoys of two workers each.

HERDGATE_FULL=1 repeats the measured case, whose numbers are in BENCHMARKS.md; pytest -s shows them.
"""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from envoy import Envoy, plain_cluster
from gateway import Upstreams, kind, make_gateway
from http_client import request
from load import binary, load
from processes import PATIENCE_S, wait_until
from webdis import Redis, Webdis
from world import World

GATEWAYS = 3
EVERY_MS = 200
RATE, BURST = 100, 100
NARROW_BURST = 10
QUOTA = 100
# Half as much again at each gateway as all together may have.
ASKED = 150
ROUNDS = 10 if os.environ.get("HERDGATE_FULL") == "1" else 1


def sync(webdis: Webdis) -> dict:
    return {"sync": webdis.meeting(EVERY_MS)}


def config(world: World, webdis: Webdis) -> dict:
    rate = {"key": ["header:x-who"], "limit": RATE, "per_s": 1, "burst": BURST}
    limits = [
        {"name": "together", **rate, **sync(webdis)},
        {"name": "narrow", **rate, "burst": NARROW_BURST, **sync(webdis)},
        {"name": "apart", **rate},
        {"name": "daily", "key": ["header:x-who"], "quota": QUOTA, "window": "month", **sync(webdis)},
    ]
    rules = [{"match": {"path_prefix": f"/{one['name']}"}, "access": "public", "limits": [one["name"]]} for one in limits]
    return world.config(rules=rules, rate_limits=limits)


@pytest.fixture(scope="module")
def gateways(directory, idp, api, filter_wasm, world, redis, webdis):
    made = []
    for number in range(GATEWAYS):
        cluster = [plain_cluster("webdis", webdis.port)]
        made.append(Envoy(directory / f"meeting-{number}", Upstreams(api.port, idp.port), extra_clusters=cluster))
        made[-1].start(config(world, webdis))
    know_each_other(redis, made)
    yield made
    for gateway in made:
        gateway.stop()


def know_each_other(redis: Redis, gateways: list[Envoy]) -> None:
    """Each worker says that its gateway is there, and hears of the others, once a second."""

    def all_there() -> bool:
        return any(key.count(":") == 2 and redis.ask("TYPE", key) == "zset" and redis.ask("ZCARD", key) == GATEWAYS for key in redis.ask("KEYS", "*"))

    wait_until(all_there, PATIENCE_S, "a meeting of all gateways")
    done = [gateway.metrics().get("herdgate.sync.done") for gateway in gateways]
    # What each worker tells from now on, it is answered with what the others have told.
    more = 2 * gateways[0].workers
    wait_until(
        lambda: all(gateway.metrics().get("herdgate.sync.done") >= before + more for gateway, before in zip(gateways, done)), PATIENCE_S, "news of the others"
    )


def ask(gateways: list[Envoy], path: str, who: str, seconds: float = 0, at_once: int = 0) -> dict:
    """The same load at each of these gateways: what all admitted, in how long, and how often they answered what."""
    # Not while the time runs.
    binary()
    options = {"requests": at_once} if at_once else {"requests": int(ASKED * seconds), "rate": ASKED}

    def one(gateway: Envoy) -> dict:
        return load(f"{gateway.base_url}{path}", connections=8, header=[f"x-who: {who}"], **options)

    with ThreadPoolExecutor(len(gateways)) as pool:
        reports = list(pool.map(one, gateways))
    statuses: dict[str, int] = {}
    for report in reports:
        assert report["errors"] == 0, report
        for status, count in report["statuses"].items():
            statuses[status] = statuses.get(status, 0) + count
    return {"admitted": statuses.get("200", 0), "seconds": max(report["seconds"] for report in reports), "statuses": statuses}


def bound(seconds: float, burst: int = BURST) -> float:
    return burst + RATE * seconds + GATEWAYS * RATE * EVERY_MS / 1000


def said(what: str, seen: dict, burst: int) -> float:
    """Burst and rate, by which the count is judged."""
    entitled = burst + RATE * seen["seconds"]
    print(f"\n{what}: {seen['admitted']} in {seen['seconds']:.2f} s, {seen['admitted'] - entitled:+.0f}; bound {bound(seen['seconds'], burst) - entitled:+.0f}", end="")
    return entitled


@pytest.mark.only("envoy")
def test_all_gateways_together_admit_what_the_limit_says(gateways):
    for number in range(ROUNDS):
        # All of a sudden: each admits its share until it hears of the others, and what the rate lets pass.
        sudden = ask(gateways, "/together", f"crowd {number}", at_once=2 * BURST)
        said("at once", sudden, BURST)
        assert BURST // GATEWAYS <= sudden["admitted"] <= bound(sudden["seconds"]), sudden
        # Next to no burst: what is too much is all that they admit before they hear of each other.
        narrow = ask(gateways, "/narrow", f"narrow crowd {number}", 0.5)
        said("narrow", narrow, NARROW_BURST)
        assert narrow["admitted"] <= bound(narrow["seconds"], NARROW_BURST), narrow
        # And for a while.
        seen = ask(gateways, "/together", f"patient crowd {number}", 5)
        entitled = said("a while", seen, BURST)
        assert set(seen["statuses"]) == {"200", "429"}
        assert 0.8 * entitled <= seen["admitted"] <= bound(seen["seconds"])
    # Without sync each of them is a gateway for itself.
    apart = ask(gateways, "/apart", "crowd", 2)
    assert apart["admitted"] > 2.5 * (BURST + RATE * apart["seconds"]), apart
    for gateway in gateways:
        counted = gateway.metrics()
        assert counted["herdgate.sync.done"] > 50 and counted.get("herdgate.sync.failed") == 0 == counted.get("herdgate.sync.behind")
        assert counted.get("herdgate.shared.cas_exhausted") == 0


@pytest.mark.only("envoy")
def test_one_gateway_alone_has_the_whole_rate(gateways):
    seen = ask(gateways[:1], "/together", "alone", 3)
    share = BURST / GATEWAYS
    assert RATE * seen["seconds"] * 0.95 <= seen["admitted"] <= share + RATE * (seen["seconds"] + EVERY_MS / 1000), seen


@pytest.mark.only("envoy")
def test_a_quota_is_that_of_all(gateways):
    seen = ask(gateways, "/daily", "subscriber", 2)
    # What comes to each until it hears of the others.
    assert QUOTA <= seen["admitted"] <= QUOTA + (GATEWAYS - 1) * ASKED * EVERY_MS / 1000, seen
    for gateway in gateways:
        answer = request(f"{gateway.base_url}/daily", headers={"x-who": "subscriber"})
        assert answer.status == 429 and int(answer.header("retry-after")) > 0


@pytest.mark.only("envoy")
def test_nothing_of_a_client_is_in_redis(gateways, redis):
    ask(gateways, "/together", "somebody-in-particular", 0.5)
    ask(gateways, "/daily", "somebody-in-particular", 0.5)
    everything = wait_until(lambda: len(found := redis.everything()) >= 3 and found, PATIENCE_S, "news in Redis")
    text = str(everything)
    for word in ("somebody", "particular", "together", "daily", "x-who", "127.0.0.1"):
        assert word not in text
    assert all(key.startswith("herdgate:") for key in everything)
    # Nothing stays for ever.
    assert all(redis.ask("PTTL", key) > 0 for key in everything)


@pytest.mark.only("envoy")
def test_redis_and_webdis_come_and_go_and_no_request_fails(gateways, redis, webdis):
    binary()
    failed = sum(gateway.metrics().get("herdgate.sync.failed") for gateway in gateways)
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(ask, gateways, "/together", "through-it-all", 8.5)
        for server in (redis, webdis):
            time.sleep(1)
            server.stop()
            time.sleep(1.5)
            server.start()
        # One that takes calls and doesn't answer.
        time.sleep(1)
        os.kill(webdis.child.pid, signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(webdis.child.pid, signal.SIGCONT)
        seen = flood.result()
    assert set(seen["statuses"]) == {"200", "429"}
    # Meanwhile each had a limit of its own, and had it in full.
    assert RATE * seen["seconds"] <= seen["admitted"] <= GATEWAYS * (BURST + RATE * seen["seconds"]), seen
    assert sum(gateway.metrics().get("herdgate.sync.failed") for gateway in gateways) > failed
    know_each_other(redis, gateways)
    after = ask(gateways, "/together", "afterwards", 3)
    assert after["admitted"] <= bound(after["seconds"]), after


def test_a_gateway_tells_what_it_charged(directory, idp, api, filter_wasm, world, redis, webdis):
    """On each host: here a single gateway, and what is in Redis afterwards."""
    extra = {"extra_clusters": [plain_cluster("webdis", webdis.port)]} if kind() == "envoy" else {}
    gateway = make_gateway(directory / "single", Upstreams(api.port, idp.port), **extra)
    gateway.start(config(world, webdis))
    try:
        before = set(redis.ask("KEYS", "*"))
        for path, status in [("/together", 200), ("/daily", 200)]:
            assert request(f"{gateway.base_url}{path}", headers={"x-who": "nobody-else"}).status == status

        def told() -> set[str]:
            return {key for key in set(redis.ask("KEYS", "*")) - before if redis.ask("TYPE", key) == "string"}

        wait_until(lambda: len(told()) == 2, PATIENCE_S, "news in Redis")
        assert {"1"} < {redis.ask("GET", key) for key in told()}
        assert gateway.metrics()["herdgate.sync.done"] >= 1
        # What another gateway counts is heard with the next answer.
        quota = next(key for key in told() if redis.ask("GET", key) == "1")
        redis.ask("INCRBY", quota, str(QUOTA))
        request(f"{gateway.base_url}/daily", headers={"x-who": "nobody-else"})
        wait_until(lambda: request(f"{gateway.base_url}/daily", headers={"x-who": "nobody-else"}).status == 429, PATIENCE_S, "a quota that is used up", every=0.3)
    finally:
        gateway.stop()
