"""Devices by the thousand: one key for all of them, selected by a template of their issuer."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from load import token_file
from tokens import Key, claims, device_issuer

from gateway import SECRETS
from load_lab.results import Part, Plot, Series, Table, not_of
from load_lab.stage import HEAD, Stage, at

TEMPLATE = "mobilev2-{device_id}-{timestamp}"
BURST = 20
# No table has room for all of them.
TOKENS_MAX = 2_048
FLAT = 16 << 20
QUARTERS = 4
TEXT = f"""Published: 12 million devices with a credential each, which filled caches and hurt the database; then tokens whose
issuer is mobilev2-deviceid-timestamp, of which the first word selects the one key, and the whole issuer is the key of the
limit. Here {{devices:,}} devices send one request each, while one device sends more than its {BURST} a second. The tables of
the filter have room for {TOKENS_MAX:,} tokens, so that nearly each device is new to it. Then the gateway starts anew."""


def config(key: Key, register: Key, idp) -> dict:
    legacy = {"uri": idp.issuer + "/jwts/{key}", "consumer_uri": idp.issuer + "/jwts/{key}/consumer", "allow_http": True, "cluster": "kong_admin"}
    return {
        "issuers": [
            {"name": "mobile", "issuer": TEMPLATE, "algorithms": ["RS256"], "keys": [{"jwk": key.jwk()}], "consumer": "mobile"},
            {"name": "register", "issuer": "mobile-app", "algorithms": ["HS256"], "keys": [{"secret": {"env": "REGISTER_SECRET"}}]},
            {"name": "legacy", "issuer": "*", "algorithms": ["HS256"], "sunset": "2099-12-31", "credentials": {"lookup": legacy}},
        ],
        "rules": [
            {"match": {"path": "/v1/device/register", "methods": ["POST"]}, "issuers": ["register"]},
            {"match": {"path_prefix": "/v1"}, "issuers": ["mobile", "legacy"], "limits": ["per-device"]},
        ],
        "rate_limits": [{"name": "per-device", "key": ["issuer"], "limit": BURST, "per_s": 1}],
        "memory": {"tokens_max": 1_024},
        "shared": {"secret": SECRETS["HERDGATE_SECRET"], "tokens_max": TOKENS_MAX, "counters_max": 32_768},
    }


def minted(job: tuple[bytes, int, int]) -> list[str]:
    """Tokens of some devices; in a process of its own, since signing is all that it does."""
    pem, first, last = job
    key = Key.__new__(Key)
    key.alg, key.kid, key.secret = "RS256", None, None
    key.private = serialization.load_pem_private_key(pem, None)
    return [device_token(key, f"d{n}") for n in range(first, last)]


def device_token(key: Key, device: str) -> str:
    return key.token(claims(device_issuer(device), audience=None, lifetime_s=7200), {"alg": "RS256", "typ": "JWT"})


def resident_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def part(stage: Stage) -> Part:
    devices, rate = stage.choose((100_000, 1000), (2_000, 1000))
    out = Part("devices", "A device, a credential: millions of them", TEXT.format(devices=devices))
    api, idp = stage.api(), stage.idp(0)
    key, register = Key("RS256"), Key("HS256", secret=SECRETS["REGISTER_SECRET"].encode())
    stage.say(f"devices: signing {devices:,} tokens")
    folder, quarter = stage.folder(), devices // QUARTERS
    pem = key.private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with ProcessPoolExecutor(2) as pool:
        parts = list(pool.map(minted, [(pem, n * quarter, (n + 1) * quarter) for n in range(QUARTERS)]))
    files = [token_file(folder / str(n), tokens) for n, tokens in enumerate(parts)]
    gateway = stage.gateway(config(key, register, idp), api.port, idp.port)
    table = Table(f"{quarter:,} devices a row, at {rate} a second", ["devices", *HEAD, "gateway CPU us", "resident MB", "calls for a key"])
    out.tables.append(table)
    resident, wrong, calls = [resident_mb(gateway.child.pid)], 0, 0

    def row(title: str, file: Path) -> None:
        nonlocal wrong, calls
        found = stage.load(f"devices: {title}", gateway, idp, "/v1/content", "/jwks", tokens=file, **at(rate, quarter / rate))
        asked = idp.requests_below("/")
        resident.append(resident_mb(gateway.child.pid))
        wrong, calls = wrong + not_of(found.report, "200"), calls + asked
        table.rows.append([title, *found.cells(), f"{found.gateway_us:.0f}", f"{resident[-1]:.0f}", str(asked)])

    for number, file in enumerate(files):
        row(f"{number * quarter + 1:,} to {(number + 1) * quarter:,}", file)
    grown = (resident[QUARTERS] - resident[2]) * (1 << 20)
    out.plots.append(Plot("devices-memory", "Memory of the gateway, all of it", "devices", "MB", [Series("Herdgate", [(n * quarter, mb) for n, mb in enumerate(resident)], "with")]))
    out.check(f"memory stays flat: in the second half of the devices it grows by less than {FLAT >> 20} MiB", grown < FLAT, f"{grown / (1 << 20):.1f} MiB")
    loud = token_file(folder / "loud", [device_token(key, "loud")])
    seconds = stage.choose(10, 2)
    found = stage.load("devices: one that is loud, 200 a second", gateway, idp, "/v1/content", "/jwks", tokens=loud, **at(200, seconds))
    # The burst, what refills, and a second's worth for where the run began.
    most = BURST * (seconds + 2)
    out.check(f"one device gets its {BURST} a second and no more", 0 < found.status("200") <= most and not not_of(found.report, "200", "429"), f"{found.cells()[0]} in {seconds} s")
    register_token = token_file(folder / "register", [register.token(claims("mobile-app", audience=None), {"alg": "HS256", "typ": "JWT"})])
    found = stage.load("devices: the token that may register alone", gateway, idp, "/v1/content", "/jwks", tokens=register_token, **at(100, 0.5))
    out.check("the token that may register opens nothing else", found.status("403") == found.report["answers"] > 0, found.cells()[0])
    stage.stop(gateway)
    gateway = stage.gateway(config(key, register, idp), api.port, idp.port)
    row("after a restart, the last again", files[-1])
    out.check("no device costs a call, after a restart neither", calls == 0, f"{calls} calls")
    out.check("every device is served", wrong == 0, f"{wrong} are not")
    stage.stop(gateway, idp, api)
    return out

