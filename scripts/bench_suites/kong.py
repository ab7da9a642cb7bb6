"""A real Kong with one worker: its own plugins and Herdgate, each beside no plugin, by turns in one run."""

import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import kong as hosts
import yaml
from gateway import Upstreams
from http_client import request
from load import load
from processes import cpu_ns

from bench_suites import configs, measure
from bench_suites.configs import ISSUER, Stock
from bench_suites.measure import CONNECTIONS, PATH, TURNS, Wrong, say, started_api, took_its_way
from bench_suites.ratios import HIT, VERIFIED
from bench_suites.tables import of_ratios

HOW = """Kong {version} with one worker, in front of an Envoy that answers at once; {rounds} rounds of {requests:,} requests, CPU per request of the
worker: the median with the least and the greatest."""
BASE = "no plugin"


@dataclass
class Variant:
    """A Kong of its own: plugins of the service, or the filter with a configuration."""

    name: str
    tokens: list[Path]
    plugins: list[dict] | None = None
    config: dict | None = None
    way: str | None = None
    more: dict | None = None
    send: dict | None = None


def variants(stock: Stock) -> list[Variant]:
    key, one = stock.rs, stock.one
    consumer = {"username": "bench"}
    jwt = {"consumers": [{**consumer, "jwt_secrets": [{"key": ISSUER, "algorithm": "RS256", "rsa_public_key": key.pem()}]}]}
    key_auth = {"consumers": [{**consumer, "keyauth_credentials": [{"key": "a-key-of-the-benchmark"}]}]}
    often = {"second": 1_000_000, "policy": "local", "limit_by": "ip"}
    return [
        Variant(BASE, one, []),
        Variant("Kong's jwt", one, [{"name": "jwt", "config": {"claims_to_verify": ["exp"]}}], more=jwt),
        Variant("Kong's key-auth", one, [{"name": "key-auth"}], more=key_auth, send={"header": "apikey: a-key-of-the-benchmark"}),
        Variant("Kong's rate-limiting, local", one, [{"name": "rate-limiting", "config": often}]),
        Variant("herdgate, hot", one, config=configs.plain(key), way=HIT),
        Variant("herdgate, new tokens, RS256", stock.many(key), config=configs.small_memory(key, tokens_max=16), way=VERIFIED),
        Variant("herdgate, hot, a limit", one, config=configs.limited(key, ["issuer", "subject"]), way=HIT),
    ]


def document(variant: Variant, gateway: hosts.Kong, api: int) -> str:
    if variant.config is not None:
        # No guard: it is a plugin, and would be measured too.
        return hosts.kong_yml(variant.config, api, api, gateway.wait_socket, hosts.Around(guard=False))
    service = {"name": "api", "url": f"http://127.0.0.1:{api}", "routes": [{"name": "api", "paths": ["/"], "strip_path": False, "preserve_host": True}], "retries": 0}
    return yaml.safe_dump({"_format_version": "3.0", "services": [{**service, "plugins": variant.plugins}], **(variant.more or {})}, sort_keys=False)


def spend(gateway: hosts.Kong, variant: Variant, tokens: Path, requests: int) -> int:
    def spent() -> int:
        return sum(cpu_ns(pid) for pid in gateway.pids())

    before = spent()
    report = load(gateway.base_url + PATH, connections=CONNECTIONS, requests=requests, **(variant.send or {"tokens": tokens}))
    if report["statuses"] != {"200": requests}:
        raise Wrong(f"{variant.name}: expected {requests} answers of 200, got {report['statuses']} {report['error_kinds']}")
    return spent() - before


def run(quick: bool, stock: Stock, directory: Path) -> dict:
    if not shutil.which(os.environ.get("KONG_BIN", "kong")):
        raise SystemExit("bench: no Kong to measure in: set KONG_BIN to a kong 3.9 command.")
    requests = 2_000 if quick else measure.TOKENS
    directory.mkdir(parents=True)
    running, gateways, chosen = [], {}, variants(stock)
    try:
        api = started_api(directory, running, configs.TOLD)
        for number, variant in enumerate(chosen):
            gateway = hosts.Kong(directory / str(number), Upstreams(api, api), workers=1, around=hosts.Around(guard=False))
            running.append(gateway)
            gateway.launch_document(document(variant, gateway, api))
            gateways[variant.name] = gateway
            for pid in gateway.pids():
                measure.pin(pid, measure.cores()[0])
            say(f"warming up {variant.name}")
            for tokens in variant.tokens:
                spend(gateway, variant, tokens, requests // TURNS)
        version = request(f"{gateways[BASE].admin}/").json()["version"]
        figures: dict[str, list[float]] = {variant.name: [] for variant in chosen}
        for number in range(measure.ROUNDS):
            before = {variant.name: gateways[variant.name].metrics() for variant in chosen if variant.way}
            spent = dict.fromkeys(gateways, 0)
            for turn in range(TURNS):
                for variant in random.sample(chosen, len(chosen)):
                    spent[variant.name] += spend(gateways[variant.name], variant, variant.tokens[turn], requests // TURNS)
            for variant in chosen:
                figures[variant.name].append(spent[variant.name] / requests)
                if variant.way:
                    took_its_way(variant, before[variant.name], gateways[variant.name].metrics(), requests)
            say(f"kong: round {number + 1} of {measure.ROUNDS}")
    finally:
        for one in running:
            one.stop()
    return of_ratios("In Kong", HOW.format(version=version, rounds=measure.ROUNDS, requests=requests), figures, BASE)
