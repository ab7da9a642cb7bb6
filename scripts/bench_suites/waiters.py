"""Many identical token calls at once: one goes to the server, the others wait for its answer."""

import statistics
from pathlib import Path

from envoy import Envoy
from gateway import Upstreams
from load import load
from processes import cpu_ns
from servers import Idp, token_headers
from token_calls import TOKEN_PATH, body_of

from bench_suites import configs
from bench_suites.configs import Stock
from bench_suites.distinct import resident_mb
from bench_suites.measure import Wrong, filtered, herdgate, say

DELAY_MS = 1000
HOW = f"""Identical token calls that come at once at a gateway with two workers; the server answers after {DELAY_MS} ms. The time is counted from the
server's answer, CPU is the gateway's. Medians of {{rounds}} rounds, each with a new client."""


def run(quick: bool, stock: Stock, directory: Path) -> dict:
    rounds, counts = (2, (50, 200)) if quick else (7, (100, 500, 2000))
    directory.mkdir(parents=True)
    idp, gateways, rows, bars = Idp(directory, "--clients", "200"), [], [], []
    clients = iter(range(1, 200))
    try:
        idp.fault(TOKEN_PATH, "slow", delay_ms=DELAY_MS)
        for name, listener in (("without", filtered(None)), ("with", herdgate(configs.token_calls()))):
            gateway = Envoy(directory / name, Upstreams(idp.port, idp.port), workers=2)
            gateways.append(gateway)
            gateway.start_listener(listener)
            for count in counts:
                found = [one(gateway, idp, count, f"c{next(clients):04}") for _ in range(rounds)]
                calls, p50, p99, cpu = (statistics.median(values) for values in zip(*found))
                rows.append([f"{count:,}", name, f"{calls:,.0f}", f"{p50:,.0f}", f"{p99:,.0f}", f"{cpu:,.0f}", f"{resident_mb(gateway.child.pid):,.0f}"])
                bars.append([f"{'herdgate' if name == 'with' else 'no filter'}, {count:,} at once", round(p99, 1), round(min(f[2] for f in found), 1), round(max(f[2] for f in found), 1)])
                say(f"waiters: {count:,} {name}: {calls:,.0f} calls at the server, p99 {p99:,.0f} ms after it, {cpu:,.0f} us a call")
    finally:
        for one_of in gateways:
            one_of.stop()
        idp.stop()
    head = ["calls at once", "filter", "calls at the server", "p50 ms after the answer", "p99", "CPU us a call", "resident MB"]
    return {"title": "Waiters", "how": HOW.format(rounds=rounds), "head": head, "rows": rows, "one": "", "unit": "ms after the server's answer, p99", "bars": bars}


def one(gateway: Envoy, idp: Idp, count: int, client: str) -> tuple[float, float, float, float]:
    """(calls at the server, p50 and p99 in ms after its answer, the gateway's CPU us a call)."""
    idp.reset_counts()
    before = cpu_ns(gateway.child.pid)
    headers = [f"authorization: {token_headers(client)['authorization']}", "content-type: application/x-www-form-urlencoded"]
    report = load(gateway.base_url + TOKEN_PATH, connections=count, requests=count, header=headers, body=body_of(), timeout=120)
    if report["statuses"] != {"200": count}:
        raise Wrong(f"waiters: {report['statuses']} {report['error_kinds']}")
    late = [report["latency_us"][quantile] / 1000 - DELAY_MS for quantile in ("p50", "p99")]
    return idp.requests(TOKEN_PATH), *late, (cpu_ns(gateway.child.pid) - before) / count / 1000
