"""Callers that fetch a new token for each of their calls, from a real OAuth2 server, with the filter and without."""

from pathlib import Path

from load import token_file
from servers import token_headers
from token_calls import TOKEN_PATH, body_of, config, endpoint

from load_lab.published import AFTER, BEFORE, SECONDS, SLOW_RATE, SLOW_SECONDS, THREADS
from load_lab.results import Part, Plot, Series, Table, ms, not_of
from load_lab.stage import HEAD, Load, Stage, at

CLIENTS = 10
FORM = "content-type: application/x-www-form-urlencoded"
# The slow database: what it does in a second is connections / hold, a third less than comes.
DATABASE = {"connections": 20, "hold_ms": 60}
RATE = AFTER["rate"]
TEXT = f"""Published: {THREADS} threads for two minutes against Kong with its oauth2 plugin and a database, before and after
answers were kept in the gateway. Here {THREADS} callers of {CLIENTS} clients ask through Envoy, first as fast as they are
answered, then at the published rate ({RATE} a second, open loop); a token costs the real server {{token_ms:g}} ms. Then the
server gets a slow database ({DATABASE['connections']} connections, each busy for {DATABASE['hold_ms']} ms with a token) and
{SLOW_RATE} calls a second, at which a token was said to take {SLOW_SECONDS}. What the leg without the filter gets wrong is a result."""


def part(stage: Stage) -> Part:
    out = Part("callers", "Callers that fetch a token for each call", TEXT.format(token_ms=stage.token_ms))
    table = Table("Token calls", ["load", "filter", "a second", *HEAD, "calls at the server", "gateway cores", "server cores", "CPU us a call, both"])
    table.rows += [published("published, before", BEFORE), published("published, after", AFTER)]
    out.tables.append(table)
    seconds = stage.choose(SECONDS, 5)
    loads = {
        "as fast as they can": ({"duration": seconds, "connections": THREADS}, ("slow", {"delay_ms": stage.token_ms})),
        f"{RATE} a second": ({**at(RATE, seconds), "connections": THREADS}, ("slow", {"delay_ms": stage.token_ms})),
        f"slow database, {SLOW_RATE} a second": ({**at(SLOW_RATE, stage.choose(20, 3)), "connections": 500}, ("database", DATABASE)),
    }
    found: dict[tuple[str, str], Load] = {}
    idp = stage.idp(CLIENTS * len(loads))
    gateways = {name: stage.gateway(config(endpoint(waiters_max=5000, wait_ms_max=5000)), idp.port, idp.port, name) for name in ("without", "with")}
    for number, (load, (how, fault)) in enumerate(loads.items()):
        idp.fault(TOKEN_PATH, fault[0], **fault[1])
        clients = clients_of(number, gateways["with"].directory)
        for name, gateway in gateways.items():
            title = f"callers: {load}, {name} the filter"
            found[load, name] = stage.load(title, gateway, idp, TOKEN_PATH, header_lines=clients, header=FORM, body=body_of(), **how)
            table.rows.append(row(load, name, found[load, name]))
    stage.stop(*gateways.values(), idp)
    names = list(loads)
    for quantile, log in (("mean", True), ("p99", True)):
        series = [Series(f"{name} the filter", [(n, found[load, name].latency(quantile) / 1000) for n, load in enumerate(names)], name) for name in ("without", "with")]
        out.plots.append(Plot(f"callers-{quantile}", f"Token calls: {'mean' if quantile == 'mean' else '99 of 100 within'}", "", "ms", series, "bars", log, names))
    calls = [Series(f"{name} the filter", [(n, found[load, name].server_calls) for n, load in enumerate(names)], name) for name in ("without", "with")]
    out.plots.append(Plot("callers-calls", "Calls that reached the server", "", "calls", calls, "bars", True, names))
    checks(out, stage, names, found)
    return out


def checks(out: Part, stage: Stage, names: list[str], found: dict[tuple[str, str], Load]) -> None:
    for load in names:
        ours, theirs = found[load, "with"], found[load, "without"]
        out.check(f"{load}: every call gets its token", not not_of(ours.report, "200"), f"{not_of(ours.report, '200')} do not")
        out.check(f"{load}: one call at the server for each client", 0 < ours.server_calls <= CLIENTS, f"{ours.server_calls} of {CLIENTS} clients")
        both, without = cpu(ours), cpu(theirs)
        out.check(f"{load}: less CPU a call than without the filter, gateway and server together", both < without, f"{both:.0f} us, without {without:.0f}", not stage.quick)
    ours, theirs = found[names[1], "with"], found[names[1], "without"]
    fewer = 1 - ours.server_calls / max(theirs.server_calls, 1)
    out.check(f"{names[1]}: calls at the server are down by 99 %", fewer >= 0.99, f"{100 * fewer:.2f} %", not stage.quick)
    # The first call of each client waits for the server; there are fewer of them than one in a hundred.
    out.check(f"{names[1]}: 99 of 100 calls within 5 ms", ours.latency("p99") <= 5000, f"{ms(ours.latency('p99'))} ms, without {ms(theirs.latency('p99'))}", not stage.quick)


def clients_of(number: int, folder: Path) -> Path:
    """Clients that no load before has used: none of their answers is kept yet."""
    ids = range(number * CLIENTS + 1, (number + 1) * CLIENTS + 1)
    return token_file(folder / f"clients-{number}", [f"authorization: {token_headers(f'c{n:04}')['authorization']}" for n in ids])


def cpu(load: Load) -> float:
    return load.gateway_us + load.server_us


def row(load: str, name: str, found: Load) -> list[str]:
    return [load, name, f"{found.report['rps']:,.0f}", *found.cells(), f"{found.server_calls:,}", f"{found.gateway_cores:.2f}", f"{found.server_cores:.2f}", f"{cpu(found):.0f}"]


def published(title: str, of: dict) -> list[str]:
    return [title, "", str(of["rate"]), f"{of['tokens']:,} tokens", f"{of['mean_ms']:g}", "", f"{of['p99_ms']:g}", f"{of['max_ms']:,}", "", f"{of['cores']:g}", "", ""]
