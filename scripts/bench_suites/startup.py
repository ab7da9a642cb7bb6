"""How long a gateway takes to start, and what a worker takes of memory."""

import statistics
import time
from pathlib import Path

from envoy import Envoy, make_listener
from gateway import SECRETS, Upstreams

from bench_suites import configs
from bench_suites.configs import Stock
from bench_suites.distinct import resident_mb
from bench_suites.measure import EMPTY, filtered, herdgate, say, spread

WORKERS = (1, 2, 4, 8)
HOW = """From the start of the process until its listener is there; resident memory then, with one worker and more. A worker is the difference
between eight and one, by seven. Medians of {rounds} starts with the least and the greatest; no request was sent."""


def run(quick: bool, stock: Stock, directory: Path) -> dict:
    rounds = 2 if quick else 7
    rows, bars = [], []
    listeners = {"no filter": filtered(None), "empty filter": make_listener({}, EMPTY, SECRETS), "herdgate": herdgate(configs.full(stock.rs))}
    for name, listener in listeners.items():
        seconds: dict[int, list[float]] = {count: [] for count in WORKERS}
        memory: dict[int, list[float]] = {count: [] for count in WORKERS}
        for number in range(rounds):
            for count in WORKERS:
                gateway = Envoy(directory / f"{name.replace(' ', '-')}-{number}-{count}", Upstreams(9, 9), workers=count)
                begun = time.monotonic()
                try:
                    gateway.start_listener(listener)
                    seconds[count].append(time.monotonic() - begun)
                    memory[count].append(resident_mb(gateway.child.pid))
                finally:
                    gateway.stop()
        per_worker = (statistics.median(memory[WORKERS[-1]]) - statistics.median(memory[1])) / (WORKERS[-1] - 1)
        rows.append([name, spread(seconds[1]), spread(seconds[WORKERS[-1]]), spread(memory[1], 0), f"{per_worker:.1f}"])
        bars.append([name, *(round(value, 3) for value in (statistics.median(seconds[1]), min(seconds[1]), max(seconds[1])))])
        say(f"startup: {name}: {statistics.median(seconds[1]):.2f} s, {per_worker:.1f} MB a worker")
    head = ["filter", "s until it listens, one worker", "eight workers", "resident MB, one worker", "MB for each further worker"]
    return {"title": "Start and memory", "how": HOW.format(rounds=rounds), "head": head, "rows": rows, "one": "", "unit": "seconds until it listens, one worker", "bars": bars}
