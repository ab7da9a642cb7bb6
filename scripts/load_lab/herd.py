"""The herd: everyone's token ends together, and everyone comes when the server is back."""

import json
import os
import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from load import token_file
from servers import token_headers
from token_calls import TOKEN_PATH, body_of, config, endpoint

from load_lab.published import HERD
from load_lab.results import Part, Plot, Series, Table, by_second, peak_over_mean, share
from load_lab.stage import Load, Stage

ROOT = Path(__file__).resolve().parents[2]
FORM = "content-type: application/x-www-form-urlencoded"
# The most that a configuration may have: what an hour's tenth is to its ten seconds of login, this is to a real run of
# two minutes.
JITTER = 0.5
# The server that comes back: 1,000 calls a second, if 50 at a time ask.
BACK = {"connections": 50, "hold_ms": 50}
DOWN_S = 4
TEXT = f"""Published: {HERD:,} users who logged in together, whose tokens end together, and who all come after an outage. On
paper a million clients go through the filter's own code under a virtual clock. For real {{clients:,}} clients log in
within {{spread:g}} s at a gateway; each calls again when the lifetime that it was told is over. A token lives {{lifetime}} s
there, shortened by at most half (an hour's tenth would be too short beside the login). The mean is clients by lifetime.
Then the server is down for {DOWN_S} s while everyone comes, and returns with room for {BACK['connections']} calls at a time,
each of {BACK['hold_ms']} ms; who is refused comes again after `Retry-After`, or after a second where there is none."""


def part(stage: Stage) -> Part:
    clients, lifetime, spread = stage.choose((20_000, 120, 6.0), (1_500, 12, 1.0))
    out = Part("herd", "The thundering herd", TEXT.format(clients=clients, spread=spread, lifetime=lifetime))
    on_paper(stage, out)
    together(stage, out, clients, lifetime, spread)
    outage(stage, out, clients)
    return out


# ---- on paper ------------------------------------------------------------------------------------------------------


def on_paper(stage: Stage, out: Part) -> None:
    clients = stage.choose(HERD, 20_000)
    stage.say(f"herd: {clients:,} clients on paper (compiled first, if they aren't yet)")
    command = ["cargo", "test", "--locked", *stage.choose(["--release"], []), "--test", "token_herd", "--", "--nocapture", "--test-threads=1"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "HERD_CLIENTS": str(clients)}, capture_output=True, text=True)
    expiries, recovery = paper(done.stdout)
    out.check("on paper: the simulation's own bounds hold", done.returncode == 0 and expiries and recovery, "cargo test --test token_herd" if done.returncode == 0 else done.stderr[-300:])
    rows = [[str(n + 1), f"{without:.1f}", f"{jittered:.1f}"] for n, (without, jittered) in enumerate(expiries)]
    out.tables.append(Table(f"On paper: peak over mean of calls per second at the server, {clients:,} clients that logged in within 10 s, tokens of an hour", ["expiry", "without", "jitter 0.1"], rows))
    out.tables.append(Table("On paper: everyone comes in the first second after an outage", ["what", "without", "with"], recovery))
    series = [Series(name, [(n + 1, pair[i]) for n, pair in enumerate(expiries)], name) for i, name in enumerate(("without", "with"))]
    out.plots.append(Plot("herd-paper", f"On paper, {clients:,} clients: peak over mean", "expiry", "times the mean", series, log=True))
    if expiries:
        worst = max(jittered / without for without, jittered in expiries)
        out.check("on paper: the peak over the mean is at most a fifth of what it is without", worst <= 0.2, f"{worst:.3f}")


def paper(text: str) -> tuple[list[tuple[float, float]], list[list[str]]]:
    """The two tables that the simulation prints."""
    expiries = [(float(without), float(jittered)) for without, jittered in re.findall(r"^ +\d+ +([\d.]+) +([\d.]+)$", text, re.MULTILINE)]
    labels = r"calls in the first second|calls in the worst second|calls under way at most|answers 503.*?client|seconds until all.*?\)"
    return expiries, [list(found) for found in re.findall(rf"^({labels}) +(\S+) +(\S+)$", text, re.MULTILINE)]


# ---- for real ------------------------------------------------------------------------------------------------------


def together(stage: Stage, out: Part, clients: int, lifetime: int, spread: float) -> None:
    seconds = lifetime + spread + 2
    mean = clients / lifetime
    found = legs(stage, f"herd: {clients:,} clients log in within {spread:g} s; tokens of {lifetime} s", clients, lifetime, seconds, {"herd": spread})
    table = Table("For real: calls at the server", ["filter", "calls", "answers", "in the busiest second after the login", "over the mean", "p99 ms"])
    ratios, series = {}, []
    for name, (load, per_second) in found.items():
        after = per_second[int(spread) + 2 :]
        ratios[name] = peak_over_mean(after, mean)
        table.rows.append([name, f"{sum(per_second):,}", load.cells()[0], f"{max(after, default=0):,}", f"{ratios[name]:.1f}", load.cells()[3]])
        series.append(Series(f"{name} the filter", list(enumerate(per_second)), name))
    out.tables.append(table)
    out.plots.append(Plot("herd-together", f"{clients:,} clients that logged in together: calls at the server by second", "seconds", "calls", series))
    out.check("for real: the peak over the mean is at most a fifth of what it is without", ratios["with"] <= ratios["without"] / 5, f"{ratios['with']:.1f}, without {ratios['without']:.1f}", not stage.quick)
    refused = found["with"][0].report
    out.check("for real: every client gets its tokens", set(refused["statuses"]) <= {"200", "503"} and refused["served"] == clients, f"{refused['served']:,} of {clients:,} clients; {found['with'][0].cells()[0]}")


def outage(stage: Stage, out: Part, clients: int) -> None:
    # At best the server needs clients / 1,000 seconds.
    seconds = DOWN_S + clients / 1000 * 2 + stage.choose(90, 8)
    found = legs(stage, f"herd: the server is down for {DOWN_S} s and returns", clients, 3600, seconds, {"herd": 1.0}, down=True)
    table = Table("The server returns after an outage", ["filter", "calls at the server", "under way at most", "in the busiest second", "clients served", "the last of them after s", "answers"])
    series = []
    for name, (load, per_second) in found.items():
        report = load.report
        table.rows.append([name, f"{sum(per_second):,}", f"{load.open_max:,}", f"{max(per_second):,}", share(report["served"], clients), f"{report['last_served_s']:.1f}", load.cells()[0]])
        series.append(Series(f"{name} the filter", list(enumerate(per_second)), name))
    out.tables.append(table)
    out.plots.append(Plot("herd-outage", f"{clients:,} clients come while the server is down ({DOWN_S} s): calls at the server by second", "seconds", "calls", series))
    ours, theirs = (found[name][0] for name in ("with", "without"))
    out.check("outage: never more calls under way than the configuration allows", ours.open_max <= BACK["connections"], f"{ours.open_max}, without {theirs.open_max}")
    out.check("outage: every client is served", ours.report["served"] == clients, f"{ours.report['served']:,} of {clients:,}", not stage.quick)
    wasted = [sum(found[name][1][:DOWN_S]) for name in ("with", "without")]
    out.check("outage: fewer calls at the server while it is down", wasted[0] < wasted[1] / 5, f"{wasted[0]:,}, without {wasted[1]:,}", not stage.quick)


def legs(stage: Stage, title: str, clients: int, lifetime: int, seconds: float, how: dict, down: bool = False) -> dict[str, tuple[Load, list[int]]]:
    """Both legs, by turns; in the short form at once, each with a gateway and a server of its own."""
    prepared = []
    for name in ("without", "with"):
        idp = stage.idp(0)
        idp.document(TOKEN_PATH, json.dumps({"access_token": "of-the-herd", "token_type": "Bearer", "expires_in": lifetime}))
        limits = endpoint(jitter=JITTER, reuse={"fraction": 0.5, "min_remaining_s": 1, "max_s": 3300}, upstream_calls_max=BACK["connections"])
        prepared.append((name, idp, stage.gateway(config(limits), idp.port, idp.port, name)))
    lines = token_file(prepared[0][2].directory / "clients", [f"authorization: {token_headers(f'c{n:05}')['authorization']}" for n in range(clients)])

    def one(leg) -> tuple[str, tuple[Load, list[int]]]:
        name, idp, gateway = leg
        if down:
            idp.fault(TOKEN_PATH, "status", status=503)
            timer = threading.Timer(DOWN_S, lambda: idp.fault(TOKEN_PATH, "database", **BACK))
            timer.start()
        # Whole seconds, as the server counts them.
        time.sleep(1 - time.time() % 1)
        start = int(time.time())
        load = stage.load(f"{title}: {name}", gateway, idp, TOKEN_PATH, connections=stage.choose(512, 128), header_lines=lines, header=FORM, body=body_of(), duration=seconds, slot=1, **how)
        return name, (load, by_second(idp.rates(TOKEN_PATH), start, int(seconds) + 1))

    with ThreadPoolExecutor(stage.choose(1, 2)) as pool:
        found = dict(pool.map(one, prepared))
    stage.stop(*[server for _, idp, gateway in prepared for server in (idp, gateway)])
    return found
