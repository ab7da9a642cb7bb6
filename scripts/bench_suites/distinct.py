"""A million different good tokens, with a hundred that come again and again in between: what these keep, and what memory
all of it takes."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from envoy import Envoy
from gateway import Upstreams
from load import load, token_file
from processes import cpu_ns
from tokens import Key, claims

from bench_suites import configs, measure
from bench_suites.configs import ISSUER, Stock
from bench_suites.measure import Wrong, herdgate, say, started_api

GOOD = 100
# Of ten requests one has a token that comes again.
EACH = 10
PARTS = 20
HOW = """One worker with the default configuration gets {count:,} different tokens (EdDSA), each once, as fast as four connections can; every tenth
request has one of {good} that come again and again. A hit is an answer from the worker's own memory or the shared one."""


def minted(job: tuple[bytes, int, int]) -> list[str]:
    """Tokens in a process of its own, since signing is all that it does."""
    raw, first, last = job
    key = Key.__new__(Key)
    key.alg, key.kid, key.secret = "EdDSA", "bench-2", None
    key.private = serialization.load_pem_private_key(raw, None)
    return [key.token(claims(ISSUER, subject=f"user-{n}", lifetime_s=configs.FOREVER_S)) for n in range(first, last)]


def resident_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def between(tokens: list[str], good: list[str]) -> list[str]:
    """After each nine different tokens one of those that come again, in turn."""
    out = []
    for number, token in enumerate(tokens, 1):
        out.append(token)
        if number % (EACH - 1) == 0:
            out.append(good[number // (EACH - 1) % len(good)])
    return out


def hits(gateway: Envoy) -> float:
    metrics = gateway.metrics()
    return metrics.get("herdgate.bearer.l1_hit") + metrics.get("herdgate.bearer.l2_hit")


def run(quick: bool, stock: Stock, directory: Path) -> dict:
    count = 20_000 if quick else 1_000_000
    part, rows, bars = count // PARTS, [], []
    directory.mkdir(parents=True)
    pem = stock.ed.private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    good = minted((pem, -GOOD, 0))
    running: list[Envoy] = []
    try:
        port = started_api(directory, running, configs.TOLD)
        gateway = Envoy(directory / "gateway", Upstreams(port, port), workers=1)
        running.append(gateway)
        gateway.start_listener(herdgate(configs.plain(stock.ed)))
        measure.pin(gateway.child.pid, measure.cores()[0])
        begun = resident_mb(gateway.child.pid)
        with ProcessPoolExecutor(2) as pool:
            # Few at a time: a million tokens are hundreds of megabytes.
            for number in range(PARTS):
                half = part // 2
                spans = [(pem, number * part, number * part + half), (pem, number * part + half, (number + 1) * part)]
                tokens = [token for tokens in pool.map(minted, spans) for token in tokens]
                mixed = between(tokens, good)
                file = token_file(directory / "tokens", mixed)
                before, cpu = hits(gateway), cpu_ns(gateway.child.pid)
                report = load(gateway.base_url + measure.PATH, connections=measure.CONNECTIONS, requests=len(mixed), tokens=file, timeout_s=600)
                if report["statuses"] != {"200": len(mixed)}:
                    raise Wrong(f"distinct: {report['statuses']} {report['error_kinds']}")
                again = len(mixed) - len(tokens)
                share = 100 * (hits(gateway) - before) / again
                spent, memory = (cpu_ns(gateway.child.pid) - cpu) / len(mixed) / 1000, resident_mb(gateway.child.pid)
                if (number + 1) % (PARTS // 5) == 0 or number == 0:
                    rows.append([f"{(number + 1) * part:,}", f"{share:.1f} %", f"{memory:.0f}", f"{memory - begun:.0f}", f"{spent:.0f}"])
                    bars.append([f"after {(number + 1) * part:,} tokens", *[round(memory - begun, 1)] * 3])
                say(f"distinct: {(number + 1) * part:,} tokens, hits {share:.1f} %, {memory:.0f} MB resident")
    finally:
        for one in running:
            one.stop()
    head = ["different tokens so far", "hits of those that come again", "resident MB", "more than at the start", "CPU us a request"]
    return {"title": "A million different tokens", "how": HOW.format(count=count, good=GOOD), "head": head, "rows": rows, "one": "", "unit": "MB more than at the start", "bars": bars}
