"""Ten Envoys of two workers and one real Redis: what they cost, and what becomes of revocations when Redis is killed.

HERDGATE_FULL=1 runs this, for three minutes; pytest -s shows the numbers, which are in docs/gateways.md.
"""

import json
import os
import signal
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from http_client import request
from load import load
from processes import PATIENCE_S, wait_until
from test_gateways import EVERY_MS, FULL, config, revoke, server, start, status  # noqa: F401

pytestmark = [pytest.mark.only("envoy"), pytest.mark.skipif(not FULL, reason="minutes: HERDGATE_FULL=1")]

GATEWAYS = 10
SECONDS = 15
RATE = 1_000
# The stated bound, without the two calls.
BACK_WITHIN_S = EVERY_MS / 1000 + 1
ROUNDS = 10
REVOKED_MEANWHILE = GATEWAYS


def cpu_s(child) -> float:
    fields = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def numbers(text: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def http_bytes(gateway) -> int:
    """What went to Webdis and came from there, as Envoy counts it."""
    stats = request(f"{gateway.admin}/stats?format=json&filter=^cluster.webdis.upstream_cx_[tr]x_bytes_total$").body
    return sum(one["value"] for one in json.loads(stats)["stats"])


def spent(gateways, redis, webdis) -> dict[str, float]:
    commands = numbers(redis.ask("INFO", "commandstats"))
    stats = numbers(redis.ask("INFO", "stats"))
    calls = {name: int(text.split("calls=")[1].split(",")[0]) for name, text in commands.items() if "calls=" in text}
    return {
        "scripts": sum(count for name, count in calls.items() if name.startswith("cmdstat_eval")),
        "commands": float(stats["total_commands_processed"]),
        "bytes to Redis": float(stats["total_net_input_bytes"]),
        "bytes from Redis": float(stats["total_net_output_bytes"]),
        "bytes of HTTP": sum(http_bytes(gateway) for gateway in gateways),
        "ms of CPU in Redis": 1000 * cpu_s(redis.child),
        "ms of CPU in Webdis": 1000 * cpu_s(webdis.child),
        "ms of CPU in the gateway": 1000 * sum(cpu_s(gateway.child) for gateway in gateways),
    }


def costs(what: str, gateways, redis, webdis, work) -> dict[str, float]:
    before, begun = spent(gateways, redis, webdis), time.monotonic()
    work()
    seconds = time.monotonic() - begun
    after = spent(gateways, redis, webdis)
    each = {name: (value - before[name]) / seconds / len(gateways) for name, value in after.items()}
    print(f"\n{what}, each gateway a second: " + ", ".join(f"{value:.4g} {name}" for name, value in each.items()), end="")
    return each


def test_what_gateways_cost_idle_and_at_work(start, world, redis, webdis):  # noqa: F811
    together = config(world, webdis)
    alone = {name: value for name, value in together.items() if name != "gateways"}
    gateways = [start(together) for _ in range(GATEWAYS)]
    headers = [f"authorization: Bearer {world.own(jti='at work')}"]

    def idle() -> None:
        time.sleep(SECONDS)

    def asked(some, rate: int) -> None:
        def one(gateway) -> None:
            report = load(f"{gateway.base_url}/orders/1", connections=4, requests=rate * SECONDS, rate=rate, header=headers)
            assert report["errors"] == 0 and set(report["statuses"]) == {"200"}, report

        with ThreadPoolExecutor(len(some)) as pool:
            list(pool.map(one, some))

    quiet = costs("together, idle", gateways, redis, webdis, idle)
    busy = costs(f"together, {RATE} requests a second over all", gateways, redis, webdis, lambda: asked(gateways, RATE // GATEWAYS))
    one = costs(f"together, {RATE} requests a second at one, of that one", gateways[:1], redis, webdis, lambda: asked(gateways[:1], RATE))
    for gateway in gateways:
        gateway.reload(alone)
    costs("each alone, idle", gateways, redis, webdis, idle)
    costs(f"each alone, {RATE} requests a second over all", gateways, redis, webdis, lambda: asked(gateways, RATE // GATEWAYS))
    costs(f"each alone, {RATE} requests a second at one, of that one", gateways[:1], redis, webdis, lambda: asked(gateways[:1], RATE))
    # Two readings in every_ms, whatever clients do.
    for found in (quiet, busy):
        assert found["scripts"] < 1.5 * 2 * 1000 / EVERY_MS
    assert one["scripts"] < 1.5 * GATEWAYS * 2 * 1000 / EVERY_MS


def test_redis_is_killed_and_all_know_all_soon_after_its_return(start, world, redis, webdis):  # noqa: F811
    gateways = [start(config(world, webdis)) for _ in range(GATEWAYS)]
    wait_until(lambda: all(one.metrics().get("herdgate.gateways.read") > 0 for one in gateways), PATIENCE_S, "first readings")
    took, asking, all_tokens = [], [], []
    for turn in range(ROUNDS):
        os.kill(redis.child.pid, signal.SIGKILL)
        redis.stop()
        tokens = [world.own(jti=f"killed {turn}, {number}") for number in range(REVOKED_MEANWHILE)]
        for number, token in enumerate(tokens):
            revoke(gateways[number % GATEWAYS], token)
        assert all(status(gateway, world.own()) == 200 for gateway in gateways)
        time.sleep(2)
        redis.start()
        begun = time.monotonic()

        def known(gateway) -> float:
            for token in tokens:
                wait_until(lambda: status(gateway, token) == 401, PATIENCE_S, "a refusal", every=0.01)
            return time.monotonic() - begun

        with ThreadPoolExecutor(GATEWAYS) as pool:
            took += pool.map(known, gateways)
            begun = time.monotonic()
            asking += pool.map(known, gateways)
        all_tokens += tokens
    print(f"\nback: {ROUNDS} times {GATEWAYS} gateways: p50 {statistics.median(took):.2f} s, most {max(took):.2f} s", end="")
    print(f", of which asking takes {statistics.median(asking):.2f} s", end="")
    assert statistics.median(took) < BACK_WITHIN_S
    late = start(config(world, webdis, failure_mode="deny"))
    assert [status(late, token) for token in all_tokens] == [401] * len(all_tokens)
    assert status(late, world.own()) == 200
