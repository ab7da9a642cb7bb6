"""CPU per request of real gateways, by turns: what is common to all suites."""

import json
import os
import random
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from envoy import Envoy, connection_manager, loopback, make_listener
from gateway import SECRETS, WASM, Upstreams
from http_client import request
from load import load, token_file
from processes import ROOT, cpu_ns
from proofs import Prover

EMPTY = ROOT / "dist" / "empty.wasm"
EMPTY_CALLBACKS = ROOT / "dist" / "empty-callbacks.wasm"
# The host calls of a hot request and nothing else.
EMPTY_CALLS = ROOT / "dist" / "empty-calls.wasm"
BEARER = ROOT / "dist" / "herdgate-bearer.wasm"
TOKENS = 10_000
ROUNDS = 7
TURNS = 20
CONNECTIONS = 4
PATH = "/orders/1"
# What the revocation feed of the benchmark holds: nothing revoked.
FEED = json.dumps({"sequence": 1, "revoked": []})
TOKEN = json.dumps({"access_token": "of-the-benchmark-and-about-as-long-as-one", "token_type": "Bearer", "expires_in": 3600})


class Wrong(SystemExit):
    """A figure that would not be of what its name says."""

    def __init__(self, text: str):
        super().__init__(f"bench: {text}")


@dataclass
class Variant:
    name: str
    listener: dict
    # One file of bearer tokens for each turn of a round.
    tokens: list[Path]
    # The counter of Herdgate's that must count (nearly) each request.
    way: str | None = None
    # Left out with --quick.
    long: bool = False
    # The client whose proofs go with the one token of the variant: each is for one request.
    prover: Prover | None = None
    path: str = PATH
    # What is sent in place of a bearer token: options of herdgate-load.
    send: dict = field(default_factory=dict)


def say(text: str) -> None:
    print(f"bench: {text}", flush=True)


def herdgate(config: dict, module: Path = WASM) -> dict:
    return make_listener(config, module, SECRETS)


def filtered(first: dict | None) -> dict:
    """The shipped listener with another filter, or none, in Herdgate's place."""
    listener = make_listener({}, WASM, SECRETS)
    manager = connection_manager(listener)
    manager["http_filters"] = ([first] if first else []) + manager["http_filters"][-1:]
    return listener


def api_listener(told: str) -> dict:
    """An Envoy that answers everything at once: the API, the token endpoint, who introspects tokens and who authorises."""
    listener = filtered(None)
    listener["address"] = loopback(0)
    as_json = [{"header": {"key": "content-type", "value": "application/json"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]

    def answer(match: dict, body: str, **more) -> dict:
        return {"match": match, "direct_response": {"status": 200, "body": {"inline_string": body}}, **more}

    routes = [answer({"path": "/revoked.json"}, FEED), answer({"path": "/introspect"}, told), answer({"path": "/oauth2/token"}, TOKEN, response_headers_to_add=as_json), answer({"prefix": "/"}, "ok")]
    connection_manager(listener)["route_config"]["virtual_hosts"][0]["routes"] = routes
    return listener


def pin(pid: int, cpu: int) -> None:
    """Keeps a process on one core, so that moving between cores is not part of what is measured."""
    if len(os.sched_getaffinity(0)) < 2:
        return
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            os.sched_setaffinity(int(task.name), {cpu})
        except OSError:
            continue


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def started_api(directory: Path, running: list, told: str) -> int:
    """The API on the last core; its port."""
    api = Envoy(directory / "api", Upstreams(0, 0), workers=1)
    running.append(api)
    api.start_listener(api_listener(told))
    pin(api.child.pid, cores()[-1])
    return int(api.base_url.rpartition(":")[2])


def started(directory: Path, running: list, variant: Variant, api_port: int) -> Envoy:
    """The variant's gateway on the first core, which has answered once as it must."""
    gateway = Envoy(directory, Upstreams(api_port, api_port), workers=1)
    running.append(gateway)
    gateway.start_listener(variant.listener)
    pin(gateway.child.pid, cores()[0])
    token = variant.tokens[0].read_text().split("\n", 1)[0]
    headers = {"authorization": f"Bearer {token}"}
    if variant.prover:
        # What was made in the second in which the gateway started is refused.
        time.sleep(1.1)
        headers = variant.prover.headers(token, PATH)
    if not variant.send:
        answer = request(gateway.base_url + variant.path, headers=headers)
        if answer.status != 200:
            raise Wrong(f"{variant.name} answers {answer.status}: {answer.body[:200]!r}")
    return gateway


def spend(gateway: Envoy, variant: Variant, tokens: Path, requests: int) -> int:
    """Sends requests; returns the CPU nanoseconds that they cost the gateway."""
    what: dict = variant.send or {"tokens": tokens}
    if variant.prover:
        token = tokens.read_text().strip()
        lines = [f"dpop: {variant.prover.proof(token, PATH)}" for _ in range(requests)]
        what = {"header": f"authorization: DPoP {token}", "header_lines": token_file(gateway.directory / "proofs", lines)}
    before = cpu_ns(gateway.child.pid)
    report = load(gateway.base_url + variant.path, connections=CONNECTIONS, requests=requests, **what)
    if report["statuses"] != {"200": requests}:
        raise Wrong(f"{variant.name}: expected {requests} answers of 200, got {report}")
    return cpu_ns(gateway.child.pid) - before


def one_round(chosen: list[Variant], gateways: dict[str, Envoy], requests: int) -> dict[str, float]:
    """CPU nanoseconds per request of each variant."""
    spent = dict.fromkeys(gateways, 0)
    for turn in range(TURNS):
        for variant in random.sample(chosen, len(chosen)):
            spent[variant.name] += spend(gateways[variant.name], variant, variant.tokens[turn], requests // TURNS)
    return {name: ns / requests for name, ns in spent.items()}


def took_its_way(variant: Variant, before: dict, after: dict, requests: int) -> None:
    """Refuses a figure of requests that went another way than the variant's name says."""
    if variant.way is None:
        return
    counted = after.get(variant.way) - before.get(variant.way)
    # A few new tokens are known still from the round before.
    if not 0.98 * requests <= counted <= requests:
        raise Wrong(f"{variant.name}: {variant.way} counted {counted:,} of {requests:,} requests")


def by_turns(chosen: list[Variant], directory: Path, told: str, requests: int, after_round) -> dict[str, list[float]]:
    """All variants at once, round by round: CPU nanoseconds per request of each."""
    running: list[Envoy] = []
    directory.mkdir(parents=True, exist_ok=True)
    try:
        api_port = started_api(directory, running, told)
        gateways = {}
        for number, variant in enumerate(chosen):
            gateways[variant.name] = started(directory / str(number), running, variant, api_port)
            say(f"warming up {variant.name}")
            for tokens in variant.tokens:
                spend(gateways[variant.name], variant, tokens, max(TOKENS // TURNS, lines_of(tokens)))
        figures: dict[str, list[float]] = {variant.name: [] for variant in chosen}
        for number in range(ROUNDS):
            begun = time.monotonic()
            before = {name: gateway.metrics() for name, gateway in gateways.items()}
            for name, figure in one_round(chosen, gateways, requests).items():
                figures[name].append(figure)
            for variant in chosen:
                took_its_way(variant, before[variant.name], gateways[variant.name].metrics(), requests)
            after_round(figures)
            say(f"round {number + 1} of {ROUNDS} in {time.monotonic() - begun:.0f} s")
        return figures
    finally:
        for gateway in running:
            gateway.stop()


def lines_of(file: Path) -> int:
    with open(file, "rb") as lines:
        return sum(1 for _ in lines)


# ---- figures -----------------------------------------------------------------------------------------------------


def ratio(figures: dict[str, list[float]], name: str, base: str) -> list[float]:
    return [a / b for a, b in zip(figures[name], figures[base])]


def spread(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def three(values: list[float]) -> list[float]:
    """Median, least, greatest."""
    return [round(value, 4) for value in (statistics.median(values), min(values), max(values))]


def environment() -> dict:
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown")
    return {"made": time.strftime("%Y-%m-%d", time.gmtime()), "cores": len(cores()), "model": model, "python": sys.version.split()[0]}
