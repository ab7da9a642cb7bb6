"""A mixed day in fast motion: all kinds of traffic at once, by the hour, with what a day brings."""

import json
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from load import load, token_file
from processes import cpu_ns
from servers import token_headers
from token_calls import TOKEN_PATH, body_of
from tokens import Key, claims

from gateway import SECRETS
from load_lab.results import Part, Plot, Series, Table, answers, ms, not_of
from load_lab.stage import Stage

ISSUER = "https://day.example"
HOURS = 24
FORM = "content-type: application/x-www-form-urlencoded"
FEED = "/revoked.json"
CLIENTS = 20
# By hour: new keys, the token server is down for an hour, one user's token is revoked.
ROTATES, DOWN, REVOKES = 3, 13, 18
TEXT = f"""A day of {{hour:g}} s an hour: people's calls rise and fall, clients fetch tokens, some tokens have ended, some are
no tokens. At {ROTATES}:00 the issuer begins to sign with a new key, at {DOWN}:00 the token server is down for an hour, at
{REVOKES}:00 a token is revoked by a feed that is read every second."""


@dataclass
class Kind:
    name: str
    path: str
    # What all of its answers must be; one that is in `turns` may change to 401 from REVOKES on.
    status: str
    pace: str
    how: dict
    starts: int = 0


def curve(hour: int, low: float, high: float) -> float:
    """Requests a second: least at four in the morning, most at four in the afternoon."""
    return low + (high - low) * (1 - math.cos((hour - 4) / HOURS * 2 * math.pi)) / 2


def pace(hour_s: float, low: float, high: float, starts: int = 0) -> str:
    return ",".join(f"{curve(hour, low, high) if hour >= starts else 0:.2f}:{hour_s}" for hour in range(HOURS))


def config(old: Key, idp) -> dict:
    return {
        "issuers": [{"name": "day", "issuer": ISSUER, "algorithms": ["RS256"], "jwks_uri": idp.issuer + "/day-jwks", "allow_http": True, "cluster": "idp",
                     "audiences": ["orders-api"], "jwks": {"refetch_s": 1}}],
        "rules": [{"match": {"path_prefix": "/oauth2"}, "access": "public"}, {"match": {"path_prefix": "/orders"}, "issuers": ["day"]}],
        "token_endpoints": [{"path": TOKEN_PATH}],
        "revocation": {"feeds": [{"uri": idp.issuer + FEED, "allow_http": True, "cluster": "idp", "every_s": 1}]},
        "shared": {"secret": SECRETS["HERDGATE_SECRET"]},
    }


def kinds(stage: Stage, old: Key, new: Key, doomed: str, hour_s: float) -> list[Kind]:
    folder, now = stage.folder(), int(time.time())
    most = stage.choose(400, 200)

    def tokens(name: str, values: list[str]) -> dict:
        return {"tokens": token_file(folder / name.replace(" ", "-"), values)}

    def good(key: Key) -> list[str]:
        return [key.token(claims(ISSUER, subject=f"user-{n}", lifetime_s=7200)) for n in range(200)]

    ended = [old.token(claims(ISSUER, subject=f"user-{n}", iat=now - 3600, exp=now - 1800)) for n in range(100)]
    clients = token_file(folder / "clients", [f"authorization: {token_headers(f'c{n:04}')['authorization']}" for n in range(1, CLIENTS + 1)])
    return [
        Kind("valid", "/orders", "200", pace(hour_s, most / 8, most), tokens("valid", good(old))),
        Kind("valid, new key", "/orders", "200", pace(hour_s, most / 16, most / 2, ROTATES), tokens("new", good(new)), ROTATES),
        Kind("token calls", TOKEN_PATH, "200", pace(hour_s, most / 16, most / 2), {"header_lines": clients, "header": FORM, "body": body_of()}),
        Kind("expired", "/orders", "401", pace(hour_s, most / 40, most / 10), tokens("expired", ended)),
        Kind("malformed", "/orders", "401", pace(hour_s, most / 40, most / 20), tokens("malformed", [token[: len(token) // 2] for token in ended])),
        Kind("revoked at 18:00", "/orders", "", pace(hour_s, 20, 20), tokens("doomed", [doomed])),
    ]


def part(stage: Stage) -> Part:
    # A feed is read every second: an hour is long enough for that in the long form, and in the short one nearly.
    hour_s = stage.choose(10.0, 0.6)
    out = Part("day", "A mixed day in fast motion", TEXT.format(hour=hour_s))
    api, idp = stage.api(), stage.idp(CLIENTS)
    old, new = Key("RS256", "day-1"), Key("RS256", "day-2")
    doomed = claims(ISSUER, subject="user-doomed", lifetime_s=7200)
    rows = kinds(stage, old, new, old.token(doomed), hour_s)
    idp.document("/day-jwks", json.dumps({"keys": [old.jwk()]}))
    idp.document(FEED, json.dumps({"sequence": 1, "revoked": []}))
    gateway = stage.gateway(config(old, idp), api.port, idp.port)

    def revoke() -> None:
        entry = {"iss": ISSUER, "jti": doomed["jti"], "exp": doomed["exp"]}
        idp.document(FEED, json.dumps({"sequence": 2, "revoked": [entry]}))

    events = [
        # The new key is published a little before anyone signs with it.
        (ROTATES - 0.5, lambda: idp.document("/day-jwks", json.dumps({"keys": [new.jwk(), old.jwk()]}))),
        (DOWN, lambda: idp.fault(TOKEN_PATH, "status", status=503)),
        (DOWN + 1, lambda: idp.fault(TOKEN_PATH, "none")),
        (REVOKES, revoke),
        *[(hour, lambda hour=hour: stage.say(f"day: {hour:02}:00")) for hour in range(0, HOURS, 6)],
    ]
    idp.reset_counts()
    cpu = {name: cpu_ns(child.pid) for name, child in (("gateway", gateway.child), ("server", idp.child))}
    timers = [threading.Timer(hour * hour_s, do) for hour, do in events]
    for timer in timers:
        timer.start()
    with ThreadPoolExecutor(len(rows)) as pool:
        reports = list(pool.map(lambda kind: load(gateway.base_url + kind.path, connections=16, requests=10**9, pace=kind.pace, slot=hour_s, timeout_s=1800, **kind.how), rows))
    cores = {name: (cpu_ns(child.pid) - cpu[name]) / 1e9 / (HOURS * hour_s) for name, child in (("gateway", gateway.child), ("server", idp.child))}
    described(out, rows, reports)
    token_calls, at_server = sum(reports[2]["statuses"].values()), idp.requests(TOKEN_PATH)
    out.tables.append(Table("Beside it", ["what", "how much"], [["token calls that reached the server", f"{at_server:,} of {token_calls:,}"],
                                                                ["gateway", f"{cores['gateway']:.2f} cores"], ["server", f"{cores['server']:.2f} cores"]]))
    for kind, report in zip(rows, reports):
        if kind.status:
            out.check(f"{kind.name}: all day {kind.status}", not not_of(report, kind.status), answers(report))
    late = refused_late(reports[5]["slots"], hour_s)
    out.check("the revoked token is good until 18:00, and refused two seconds later at the latest", late == 0, f"{late} wrong; {answers(reports[5])}")
    stage.stop(gateway, idp, api)
    return out


def refused_late(slots: list[dict], hour_s: float) -> int:
    """Wrong answers to the token that is revoked: refused before its hour, or accepted after what a feed may take."""
    sure = REVOKES + math.ceil(2 / hour_s)
    early = sum(count for slot in slots[:REVOKES] for code, count in slot["statuses"].items() if code != "200")
    return early + sum(slot["statuses"].get("200", 0) for slot in slots[sure:])


def described(out: Part, rows: list[Kind], reports: list[dict]) -> None:
    table = Table("The day", ["traffic", "requests", "answers", "mean ms", "p99 ms", "late p99 us"])
    for kind, report in zip(rows, reports):
        table.rows.append([kind.name, f"{report['answers']:,}", answers(report), ms(report["latency_us"]["mean"]), ms(report["latency_us"]["p99"]), str(report["late_us"]["p99"])])
    out.tables.append(table)

    def by_hour(value) -> list[Series]:
        return [Series(kind.name, [(hour, value(slot)) for hour, slot in enumerate(report["slots"]) if slot["statuses"]]) for kind, report in zip(rows, reports)]

    out.plots.append(Plot("day-requests", "Requests by hour", "hour", "requests", by_hour(lambda slot: sum(slot["statuses"].values()))))
    out.plots.append(Plot("day-p99", "99 of 100 within, by hour", "hour", "ms", by_hour(lambda slot: slot["latency_us"]["p99"] / 1000), log=True))
    refused = [Series(kind.name, [(hour, 100 * sum(n for code, n in slot["statuses"].items() if code != "200") / sum(slot["statuses"].values()))
                                  for hour, slot in enumerate(report["slots"]) if slot["statuses"]]) for kind, report in zip(rows, reports)]
    out.plots.append(Plot("day-refused", "Refused, in percent, by hour", "hour", "%", refused))
