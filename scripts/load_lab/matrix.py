"""Good, expired, malformed and introspected tokens, and token calls, at three rates."""

import secrets
import time

from gateway import SECRETS
from load import token_file
from servers import token_headers
from token_calls import TOKEN_PATH, body_of
from tokens import Key, claims

from load_lab.published import EXPIRED_ACCEPTED, MEANS_MS, RANGES, RATES
from load_lab.results import Part, Plot, Series, Table, not_of
from load_lab.stage import HEAD, Stage, at

ISSUER = "https://load.example"
TOKENS = 500
OPAQUE = 50
CLIENTS = 20
FORM = "content-type: application/x-www-form-urlencoded"
TEXT = """Each row is an open loop at a constant rate: a request is sent when it is due, whether or not the one before was
answered, and its latency counts from when it was due. The published means are another gateway's on another machine, which
let all expired tokens through ({expired}). Token calls come from {clients} clients, and a token costs the server {token_ms:g} ms."""


def config(key: Key, idp) -> dict:
    endpoint = {"uri": idp.issuer + "/introspect", "allow_http": True, "cluster": "idp", "client_id": "gateway", "client_secret": {"env": "GATEWAY_SECRET"}, "ttl_s_max": 60}
    return {
        "issuers": [
            {"name": "load", "issuer": ISSUER, "algorithms": ["RS256"], "keys": [{"jwk": key.jwk()}], "audiences": ["orders-api"]},
            {"name": "opaque", "issuer": idp.issuer, "tokens": "opaque", "audiences": ["orders-api"], "introspection": endpoint},
        ],
        "rules": [{"match": {"path_prefix": "/oauth2"}, "access": "public"}, {"match": {"path_prefix": "/asked"}, "issuers": ["opaque"]},
                  {"match": {"path_prefix": "/orders"}, "issuers": ["load"]}],
        "token_endpoints": [{"path": TOKEN_PATH}],
        "shared": {"secret": SECRETS["HERDGATE_SECRET"]},
    }


def opaque_tokens(idp) -> tuple[list[str], list[str]]:
    """Tokens of the real server that are good, and some that have ended."""
    resource = "https://orders.example/opaque"
    idp.settings(lifetime_s=1)
    ended = [idp.token(resource=resource) for _ in range(OPAQUE)]
    idp.settings(lifetime_s=7200)
    good = [idp.token(resource=resource) for _ in range(OPAQUE)]
    time.sleep(1.1)
    return good, ended


def kinds(stage: Stage, key: Key, idp) -> list[tuple[str, str, str, dict]]:
    """(name, path, the status that is right, how to load) of each row."""
    folder, now = stage.folder(), int(time.time())

    def tokens(name: str, values: list[str]) -> dict:
        return {"tokens": token_file(folder / name, values)}

    good = [key.token(claims(ISSUER, subject=f"user-{n}", lifetime_s=7200)) for n in range(TOKENS)]
    ended = [key.token(claims(ISSUER, subject=f"user-{n}", iat=now - 3600, exp=now - 1800)) for n in range(TOKENS)]
    opaque_good, opaque_ended = opaque_tokens(idp)
    clients = token_file(folder / "clients", [f"authorization: {token_headers(f'c{n:04}')['authorization']}" for n in range(1, CLIENTS + 1)])
    made_up = [secrets.token_urlsafe(32) for _ in range(OPAQUE)]
    return [
        ("token", TOKEN_PATH, "200", {"header_lines": clients, "header": FORM, "body": body_of()}),
        ("valid", "/orders", "200", tokens("good", good)),
        ("expired", "/orders", "401", tokens("expired", ended)),
        ("malformed", "/orders", "401", tokens("malformed", [token[: len(token) // 2] for token in ended])),
        ("introspect, valid", "/asked", "200", tokens("opaque", opaque_good)),
        ("introspect, expired", "/asked", "401", tokens("opaque-ended", opaque_ended)),
        ("introspect, invalid", "/asked", "401", tokens("made-up", made_up)),
    ]


def published(kind: str, index: int) -> str:
    return RANGES.get(kind) or (f"{MEANS_MS[kind][index]:g}" if kind in MEANS_MS else "-")


def part(stage: Stage) -> Part:
    api, idp = stage.api(), stage.idp()
    key = Key("RS256", "load-1")
    stage.say("matrix: making tokens")
    rows = kinds(stage, key, idp)
    gateway = stage.gateway(config(key, idp), api.port, idp.port)
    idp.fault(TOKEN_PATH, "slow", delay_ms=stage.token_ms)
    seconds = stage.choose(30, 1)
    out = Part("matrix", "Tokens of each kind at three rates", TEXT.format(expired=EXPIRED_ACCEPTED, clients=CLIENTS, token_ms=stage.token_ms))
    table = Table(f"{seconds:g} s a row", ["token", "a second", *HEAD, "published mean", "kB/s out", "kB/s in", "late p99 us", "server calls", "gateway CPU us", "server CPU us"])
    out.tables.append(table)
    means: dict[str, list[float]] = {}
    wrong, accepted, slower = [], 0, []
    for kind, path, status, how in rows:
        calls_of = "/introspect" if kind.startswith("introspect") else TOKEN_PATH
        for index, rate in enumerate(RATES):
            found = stage.load(f"matrix: {kind} at {rate} a second", gateway, idp, path, calls_of, **at(rate, seconds), **how)
            report, whole = found.report, found.report["seconds"] or 1
            table.rows.append([kind, str(rate), *found.cells(), published(kind, index), f"{report['bytes_out'] / whole / 1000:,.0f}", f"{report['bytes_in'] / whole / 1000:,.0f}",
                               str(found.late_us), f"{found.server_calls:,}", f"{found.gateway_us:.0f}", f"{found.server_us:.0f}"])
            means.setdefault(kind, []).append(found.latency("mean") / 1000)
            if not_of(report, status):
                wrong.append(f"{kind} at {rate}: {not_of(report, status)}")
            accepted += found.status("200") if "expired" in kind else 0
            if kind in MEANS_MS and means[kind][index] >= MEANS_MS[kind][index]:
                slower.append(f"{kind} at {rate}: {means[kind][index]:.2f} ms, published {MEANS_MS[kind][index]:g}")
    for kind, values in means.items():
        series = [Series("Herdgate", list(enumerate(values)), "with")]
        if kind in MEANS_MS:
            series.append(Series("published, at most" if kind in RANGES else "published", list(enumerate(MEANS_MS[kind])), "published"))
        out.plots.append(Plot(f"matrix-{kind.replace(', ', '-')}", f"{kind}: mean latency", "requests a second", "ms", series, "bars", groups=[str(rate) for rate in RATES]))
    out.check("no expired token is accepted at any rate", accepted == 0, f"{accepted} accepted")
    out.check("each answer is the one that its token calls for", not wrong, "; ".join(wrong) or "all are")
    dearer = [f"{kind} at {rate}: {means[kind][n]:.2f} ms, valid {means['valid'][n]:.2f}" for kind in ("expired", "malformed") for n, rate in enumerate(RATES) if means[kind][n] >= means["valid"][n]]
    out.check("a refusal takes less time than an acceptance", not dearer, "; ".join(dearer) or "at every rate", not stage.quick)
    out.check("each mean is below the published one at its rate", not slower, "; ".join(slower) or "all are", not stage.quick)
    stage.stop(gateway, idp, api)
    return out
