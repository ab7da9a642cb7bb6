"""Forged tokens at 1,000 a second, in percent of a core over an empty filter that answers 401."""

import json
import random
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from envoy import Envoy, make_listener
from gateway import SECRETS, Upstreams
from load import load, token_file
from processes import cpu_ns
from tokens import Key, b64, claims

from bench_suites import configs, measure
from bench_suites.configs import ISSUER, Stock
from bench_suites.measure import EMPTY, Wrong, herdgate, say, started_api
from bench_suites.tables import of_values

RATE = 1000
FORGED = 2_000
# What the empty filter's configuration is, if it is to answer 401 itself.
REFUSING = "401"
HOW = """A gateway with one worker gets 1,000 requests a second with a token that is refused, each with another signature or id. What is told is
the CPU that this takes over what an empty filter takes that answers 401 itself, in percent of a core; {rounds} rounds of
{seconds:g} s by turns, the median with the least and the greatest. Negative figures are noise around nothing."""


def signature(key: Key) -> str:
    """Bytes that are well formed as a signature of this key's, and not one."""
    match key.private:
        case rsa.RSAPrivateKey():
            return b64(b"\0" + secrets.token_bytes(key.private.key_size // 8 - 1))
        case ec.EllipticCurvePrivateKey():
            size = (key.private.curve.key_size + 7) // 8
            return b64(b"".join(b"\x01" + secrets.token_bytes(size - 1) for _ in range(2)))
        case ed25519.Ed25519PrivateKey():
            return b64(key.private.public_key().public_bytes_raw() + secrets.token_bytes(31) + b"\x01")
    return b64(secrets.token_bytes(32))


def forged(key: Key, header: dict | None = None, **more) -> list[str]:
    out = []
    for number in range(FORGED):
        body = claims(ISSUER, subject=f"user-{number}", lifetime_s=3600, **more)
        out.append(f"{b64(json.dumps(header or key.header()).encode())}.{b64(json.dumps(body).encode())}.{signature(key)}")
    return out


def kinds(stock: Stock) -> dict[str, tuple[Key, list[str]]]:
    """By name: the key that the gateway trusts, and tokens that it refuses."""
    rs, ec_key, ed = stock.rs, stock.ec, stock.ed
    ps, ec384, hs = Key("PS256", "bench-4"), Key("ES384", "bench-5"), Key("HS256", "bench-6", secret=b"s" * 32)
    ended = [rs.token(claims(ISSUER, subject=f"user-{n}", iat=1_600_000_000, exp=1_600_003_600)) for n in range(200)]
    return {
        "no token": (rs, []),
        "malformed": (rs, [token[: len(token) // 2] for token in forged(rs)]),
        "unknown issuer": (rs, forged(rs, iss="https://nobody.example")),
        "unknown kid": (rs, forged(rs, {"alg": "RS256", "kid": "nobody"})),
        "expired, truly signed": (rs, ended),
        "forged RS256, verified by Envoy": (rs, forged(rs)),
        "forged ES256": (ec_key, forged(ec_key)),
        "forged ES384": (ec384, forged(ec384)),
        "forged PS256": (ps, forged(ps)),
        "forged EdDSA": (ed, forged(ed)),
        "forged HS256": (hs, forged(hs)),
    }


def refusing_listener() -> dict:
    return make_listener(REFUSING, EMPTY, SECRETS)


def run(quick: bool, stock: Stock, directory: Path) -> dict:
    seconds, rounds = (1.0, 3) if quick else (10.0, 5)
    directory.mkdir(parents=True)
    running: list[Envoy] = []
    say("forging tokens")
    chosen = kinds(stock)
    files = {name: token_file(directory / f"tokens-{n}", tokens) if tokens else None for n, (name, (_, tokens)) in enumerate(chosen.items())}
    try:
        port = started_api(directory, running, configs.TOLD)

        def gateway(name: str, listener: dict) -> Envoy:
            made = Envoy(directory / name, Upstreams(port, port), workers=1)
            running.append(made)
            made.start_listener(listener)
            measure.pin(made.child.pid, measure.cores()[0])
            return made

        empty = gateway("empty", refusing_listener())
        by_key: dict[int, Envoy] = {}
        for number, (key, _) in enumerate(chosen.values()):
            by_key[id(key)] = by_key.get(id(key)) or gateway(str(number), herdgate(configs.plain(key)))
        figures: dict[str, list[float]] = {name: [] for name in chosen}
        for number in range(rounds + 1):
            base = percent(empty, None, seconds)
            for name in random.sample(list(chosen), len(chosen)):
                spent = percent(by_key[id(chosen[name][0])], files[name], seconds)
                # The first round warms up.
                if number:
                    figures[name].append(spent - base)
            say(f"flood: round {number} of {rounds}")
    finally:
        for one in running:
            one.stop()
    return of_values("A flood of refused tokens, 1,000 a second", HOW.format(rounds=rounds, seconds=seconds), "percent of a core over an empty filter that answers 401", figures)


def percent(gateway: Envoy, tokens: Path | None, seconds: float) -> float:
    """CPU of the gateway while the flood comes, in percent of a core."""
    what = {"tokens": tokens} if tokens else {}
    before = cpu_ns(gateway.child.pid)
    report = load(gateway.base_url + measure.PATH, connections=8, requests=10**9, pace=f"{RATE}:{seconds}", **what)
    if set(report["statuses"]) != {"401"} or report["errors"]:
        raise Wrong(f"flood: expected 401 alone, got {report['statuses']} {report['error_kinds']}")
    return (cpu_ns(gateway.child.pid) - before) / 1e7 / report["seconds"]
