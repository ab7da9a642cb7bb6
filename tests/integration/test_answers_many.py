"""A herd of 2,000 callers over ten Envoys of two workers that share answers of a token endpoint: what it takes, by step.

HERDGATE_FULL=1 runs this, for three minutes; pytest -s shows the numbers, which are in docs/gateways.md. Callers are
herdgate-load's: each has a connection of its own that is open before, and its time counts from when its call was due.
"""

import collections
import itertools
import os
import re
import statistics
import time

import pytest

from http_client import request
from load import load
from processes import PATIENCE_S, wait_until
from servers import token_headers
from test_answers import HOST, access_tokens, call, settings, start  # noqa: F401
from token_calls import TOKEN_PATH, body_of
from webdis import Webdis

FULL = os.environ.get("HERDGATE_FULL") == "1"
pytestmark = [pytest.mark.only("envoy"), pytest.mark.skipif(not FULL, reason="minutes: HERDGATE_FULL=1")]

GATEWAYS = 10
CALLERS = 2_000
CLIENTS = 100
SERVER_MS = 1_500
TURNS = 3
# Callers a second, where all are due at one moment.
AT_ONCE = 1e9
# Clients of the server that no other test uses.
NUMBERS = itertools.count(201)
KINDS = ("herdgate.answers.", "herdgate.token.", "herdgate.wait", "herdgate.token_")


@pytest.fixture(scope="module")
def ten(start, webdis):  # noqa: F811
    # Histograms are told below, and would have an earlier test's calls in them.
    gateways = [start(settings(webdis), fresh=True) for _ in range(GATEWAYS)]
    wait_until(lambda: all(one.metrics().get("herdgate.gateways.read") > 2 for one in gateways), PATIENCE_S, "readings")
    return gateways


def server_ms(idp) -> float:
    """What a call takes that nothing stands before."""
    took = []
    for _ in range(5):
        begun = time.monotonic()
        assert call(f"http://127.0.0.1:{idp.port}", f"c{next(NUMBERS):04}", headers=HOST).status == 200
        took.append((time.monotonic() - begun) * 1000)
    return statistics.median(took)


def percentiles(gateways, name: str) -> str:
    """P50, P99 and the most since the start, as Envoy has them, of the gateway where each is largest."""
    found = []
    for gateway in gateways:
        text = request(f"{gateway.admin}/stats?filter={name}$").body.decode()
        found.append([float(value[1]) for point in (50, 99, 100) if (value := re.search(rf"P{point}\([^,]*,([\d.]+)\)", text))])
    return "/".join(f"{max(column):.0f}" for column in zip(*filter(None, found))) or "none"


def herd(gateways, directory, clients: list[str], rate: float) -> dict:
    lines = directory / f"herd-{time.monotonic_ns()}"
    lines.write_text("".join(f"authorization: {token_headers(client)['authorization']}\n" for client in clients))
    headers = ["content-type: application/x-www-form-urlencoded", *(f"{name}: {value}" for name, value in HOST.items())]
    urls = [gateway.base_url + TOKEN_PATH for gateway in gateways]
    return load(urls, connections=CALLERS, requests=CALLERS, rate=rate, header=headers, header_lines=lines, body=body_of())


def made(gateways, idp, directory, clients: list[str], rate: float, what: str) -> tuple[int, float]:
    """One herd: how many calls it made at the server, and its 99th percentile in ms."""
    before, was = events(gateways), idp.requests(TOKEN_PATH)
    report = herd(gateways, directory, clients, rate)
    calls = idp.requests(TOKEN_PATH) - was
    happened = {name: int(value - before[name]) for name, value in events(gateways).items() if value > before[name]}
    took = {name: round(report["latency_us"][name] / 1000) for name in ("p50", "p90", "p99", "max")}
    late = {name: round(report["late_us"][name] / 1000) for name in ("p50", "max")}
    print(f"\n{what}: {calls} calls; ms {took}; generator late {late}, queued {report['queued']}; {happened}", end="")
    assert report["statuses"] == {"200": CALLERS} and not report["errors"], report
    return calls, took["p99"]


def events(gateways) -> dict[str, float]:
    """What all have counted of token calls."""
    total = collections.Counter()
    for gateway in gateways:
        metrics = gateway.metrics()
        total.update({name.removeprefix("herdgate."): value for name, value in metrics.items() if name.startswith(KINDS)})
    return total


def shares(gateways, idp) -> bool:
    client, before = f"c{next(NUMBERS):04}", idp.requests(TOKEN_PATH)
    for gateway in gateways[:2]:
        access_tokens([call(gateway.base_url, client, headers=HOST)])
        time.sleep(0.05)
    return idp.requests(TOKEN_PATH) - before == 1


# The server takes 14 ms of a core for each client's token, and half of this machine with it.
# 200 ms is what is published of a token call (docs/load-lab.md).
@pytest.mark.parametrize("clients, seconds, delay_ms", [(1, 1, SERVER_MS), (1, 1, 200), (CLIENTS, 4, SERVER_MS)])
def test_a_herd_makes_one_call_for_each_client(ten, idp, directory, clients, seconds, delay_ms):
    idp.fault(TOKEN_PATH, "slow", delay_ms=delay_ms)
    own_ms, above = server_ms(idp), []
    for _ in range(TURNS):
        names = [f"c{next(NUMBERS):04}" for _ in range(clients)]
        calls, p99 = made(ten, idp, directory, names, CALLERS / seconds, f"{clients} clients, {CALLERS} callers within {seconds} s")
        # A question to Redis that is late by more than 50 ms, on a machine that has too much to do, costs a call.
        assert calls == 1 if clients == 1 else clients <= calls < 2 * clients
        above.append(round(p99 - own_ms))
    print(f"\nabove the server's own {own_ms:.0f} ms: {above}", end="")
    print(f"; p50/p99/most at the slowest gateway, in ms: to Redis {percentiles(ten, 'cluster.webdis.upstream_rq_time')}", end="")
    print(f", waits {percentiles(ten, 'herdgate.wait.took_ms')}, server {percentiles(ten, 'herdgate.token.took_ms')}", end="")


def test_a_herd_at_one_moment_beside_gateways_that_are_alone(ten, idp, directory, webdis: Webdis):
    """By turns. On one machine its own work is most of what this shows: so much do callers wait without Redis, too."""
    above = {"shared": [], "alone": []}
    for _ in range(TURNS):
        wait_until(lambda: shares(ten, idp), PATIENCE_S, "one call for all", every=0.5)
        idp.fault(TOKEN_PATH, "slow", delay_ms=SERVER_MS)
        own_ms = server_ms(idp)
        for how, found in above.items():
            if how == "alone":
                webdis.stop()
                # From then on they ask nobody, since they don't know what was revoked.
                time.sleep(4)
            calls, p99 = made(ten, idp, directory, [f"c{next(NUMBERS):04}"], AT_ONCE, f"{CALLERS} callers at one moment, {how}")
            assert 1 <= calls <= GATEWAYS
            found.append(round(p99 - own_ms))
        webdis.start()
        idp.heal()
    print(f"\nabove the server: {above}", end="")
