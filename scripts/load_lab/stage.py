"""What every part measures with: servers, gateways with the filter and without, and what a load cost them."""

import copy
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from envoy import Envoy, connection_manager, make_listener
from gateway import SECRETS, WASM, Upstreams
from load import load
from processes import cpu_ns
from servers import Api, Idp
from token_calls import TOKEN_PATH

from load_lab.published import TOKEN_MS
from load_lab.results import Check, Part, Table, answers, ms

# Requests under way at once. Where a server is slow the rest queues in the generator, and its latency grows all the same.
CONNECTIONS = 64
# A generator that is later than this was the bottleneck itself.
LATE_US = 5_000


@dataclass
class Load:
    """What one load was answered, and what it cost."""

    report: dict
    seconds: float
    gateway_cores: float
    server_cores: float
    gateway_us: float
    server_us: float
    server_calls: int
    # The most calls that were at the server at one time.
    open_max: int

    @property
    def late_us(self) -> int:
        return self.report["late_us"]["p99"]

    def latency(self, quantile: str) -> float:
        return self.report["latency_us"][quantile]

    def status(self, code: str) -> int:
        return self.report["statuses"].get(code, 0)

    def cells(self) -> list[str]:
        """What each table has of a load: see HEAD."""
        return [answers(self.report), *(ms(self.latency(name)) for name in ("mean", "p50", "p99", "max"))]


HEAD = ["answers", "mean ms", "p50", "p99", "max"]


@dataclass
class Stage:
    """The set-up of a run, and what it says while it runs."""

    directory: Path
    quick: bool
    token_ms: float = TOKEN_MS
    running: list = field(default_factory=list)
    loads: list[tuple[str, Load]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    _made: int = 0

    def choose(self, full, quick):
        return quick if self.quick else full

    def say(self, text: str) -> None:
        # In one piece: two legs may speak at once.
        sys.stdout.write(f"load {time.monotonic() - self.started:6.1f} s  {text}\n")
        sys.stdout.flush()

    def folder(self) -> Path:
        self._made += 1
        path = self.directory / str(self._made)
        path.mkdir()
        return path

    def idp(self, clients: int = 50) -> Idp:
        server = Idp(self.folder(), "--clients", str(clients))
        self.running.append(server)
        return server

    def api(self) -> Api:
        server = Api(self.folder())
        self.running.append(server)
        return server

    def gateway(self, config: dict, api_port: int, idp_port: int, name: str = "with", workers: int = 2) -> Envoy:
        """A real Envoy with this configuration of the filter, or the same Envoy `without` it."""
        gateway = Envoy(self.folder(), Upstreams(api_port, idp_port), workers=workers)
        self.running.append(gateway)
        listener = make_listener(config, WASM, SECRETS)
        if name == "without":
            without_filter(listener)
        # Of a slow server everyone waits as long as it takes: a time-out of the gateway's would hide how long that is.
        for route in connection_manager(listener)["route_config"]["virtual_hosts"][0]["routes"]:
            if "route" in route:
                route["route"]["timeout"] = "60s"
        gateway.start_listener(listener)
        return gateway

    def load(self, name: str, gateway: Envoy, idp: Idp, path: str, server_path: str = TOKEN_PATH, **options) -> Load:
        """Sends a load and says what it cost. `server_path` is the server's path whose calls are counted."""
        self.say(name)
        idp.reset_counts()
        before = [cpu_ns(gateway.child.pid), cpu_ns(idp.child.pid), time.monotonic()]
        options = {"connections": CONNECTIONS, "requests": 10**9, "timeout": 60, **options}
        report = load(gateway.base_url + path, timeout_s=1800, **options)
        gateway_ns, server_ns, seconds = (after - then for after, then in zip([cpu_ns(gateway.child.pid), cpu_ns(idp.child.pid), time.monotonic()], before))
        done = max(report["answers"], 1)
        found = Load(report, seconds, gateway_ns / seconds / 1e9, server_ns / seconds / 1e9, gateway_ns / done / 1000, server_ns / done / 1000, idp.requests(server_path), idp.open_max(server_path))
        self.loads.append((name, found))
        self.say(f"    {answers(report)}; mean {ms(found.latency('mean'))} ms, p99 {ms(found.latency('p99'))} ms; {found.server_calls} calls at the server")
        return found

    def stop(self, *ended) -> None:
        """Ends these, or all."""
        for one in reversed(ended or list(self.running)):
            one.stop()
            self.running.remove(one)


def without_filter(listener: dict) -> dict:
    """The shipped listener with its router alone."""
    manager = connection_manager(listener)
    manager["http_filters"] = copy.deepcopy(manager["http_filters"][-1:])
    return listener


def at(rate: float, seconds: float) -> dict:
    """A constant rate: every request that is due in this time is sent, however late."""
    return {"pace": f"{rate}:{seconds}"}


def generator(stage: Stage) -> Part:
    """The generator's own limit: what it sends to the API with no gateway between."""
    api = stage.api()
    stage.say("the generator alone, straight to the API")
    seconds = stage.choose(5, 1.5)
    paced = load(api.base + "/orders", connections=CONNECTIONS, requests=10**9, pace=f"1000:{seconds}")
    most = load(api.base + "/orders", connections=CONNECTIONS, requests=10**9, duration=seconds)
    stage.stop(api)
    part = Part("generator", "The generator's own limit", "The same generator, straight to the API that stands behind the gateway. "
                "A latency counts from when the request was due. What the generator itself adds is how late it sends; the API's own time is in the means.")
    part.tables.append(Table("Without a gateway", ["load", "requests a second", "mean ms", "p99", "late p50 us", "late p99 us"], [
        ["1,000 a second", f"{paced['rps']:,.0f}", ms(paced["latency_us"]["mean"]), ms(paced["latency_us"]["p99"]), str(paced["late_us"]["p50"]), str(paced["late_us"]["p99"])],
        [f"as fast as {CONNECTIONS} connections can", f"{most['rps']:,.0f}", ms(most["latency_us"]["mean"]), ms(most["latency_us"]["p99"]), "-", "-"],
    ]))
    return part


def lateness(stage: Stage) -> Check:
    """Whether the generator kept its rates; else its rows tell of itself, not of the gateway."""
    late = [(name, load.late_us) for name, load in stage.loads if load.late_us > LATE_US]
    found = "; ".join(f"{name}: {us / 1000:.1f} ms" for name, us in late) or f"at most {max((load.late_us for _, load in stage.loads), default=0) / 1000:.1f} ms"
    return Check(f"the generator was on time: 99 of 100 requests left within {LATE_US / 1000:.0f} ms of when they were due", not late, found, not stage.quick)


def machine() -> dict:
    """What the run ran on."""
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown")
    return {"cores": len(os.sched_getaffinity(0)), "model": model, "python": sys.version.split()[0]}
