"""Shadow mode changes nothing: byte for byte, the API and the client get what they would get without the filter."""

import re
from dataclasses import dataclass

import pytest

from envoy import connection_manager, make_listener
from gateway import SECRETS, Upstreams, kind, make_gateway
from kong import Around
from raw_server import CHUNKED, RawServer, exchange, joined
from servers import token_headers
from tokens import forged, jwks
from world import World

FORM = "application/x-www-form-urlencoded"
# What a filter that enforces takes out, blanks or replaces; more than one of a name is refused on Kong.
RESERVED = [("x-user", "of-the-client"), ("X-User", "twice"), ("x_user", "with _"), ("X-Consumer-Username", "root"), ("x-anonymous-consumer", "true")]


@dataclass
class Sent:
    name: str
    headers: list
    method: str = "GET"
    path: str = "/orders"
    body: bytes = b""
    # Whether a rule decides of it; a path that is refused before, and a token call, know none.
    has_rule: bool = True

    def head(self) -> str:
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: api.example", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in [*self.headers, *RESERVED]]
        if self.body and ("Transfer-Encoding", "chunked") not in self.headers:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""])


def bearer(token: str) -> list:
    return [("Authorization", f"Bearer {token}")]


def strange(good: str) -> dict[str, str]:
    """What is no token, or nearly one."""
    header, payload, signature = good.split(".")
    return {
        "no case": f"bEaReR {good}",
        "nothing": "Bearer .",
        "dots": "Bearer ..",
        "no signature": f"Bearer {header}.{payload}.",
        "five segments": f"Bearer {good}.{payload}.{signature}",
        "padding": f"Bearer {good}=",
        "a word after it": f"Bearer {good} twice",
        "a comma": f"Bearer {good}, Bearer {good}",
        "a tab": f"Bearer\t{good}",
        "not ASCII": f"Bearer {good}\xe9",
        "long": "Bearer " + "x" * 4000,
    }


def requests(world: World) -> list[Sent]:
    good, form = world.own(), [*token_headers().items(), ("Accept-Encoding", "gzip")]
    grant = b"grant_type=client_credentials&scope=orders%3Aread"
    call = {"method": "POST", "path": "/oauth2/token", "has_rule": False}
    in_chunks = [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")]
    return [
        Sent("a good token", bearer(good)),
        Sent("a good token, with a body", bearer(good), method="POST", body=b"x" * 3000),
        Sent("a good token, with a body in chunks", [*bearer(good), ("Transfer-Encoding", "chunked")], method="POST", body=b"5\r\nhello\r\n0\r\n\r\n"),
        Sent("a body with a trailer", [*bearer(good), *in_chunks], method="POST", body=b"5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n"),
        Sent("a forged token, with a body with a trailer", [*bearer(forged(good)), *in_chunks], method="POST", body=b"1\r\nx\r\n0\r\nX-Sum: 7\r\n\r\n"),
        Sent("an answer in chunks", bearer(good), path=f"/orders{CHUNKED}"),
        Sent("no token, an answer in chunks", [], path=f"/orders{CHUNKED}"),
        Sent("no token", []),
        Sent("a forged token", bearer(forged(good))),
        Sent("a token of a stranger", bearer(world.own(world.stranger))),
        Sent("a token of an unknown issuer", bearer(world.own(iss="https://other.example"))),
        Sent("an expired token", bearer(world.own(lifetime_s=-600))),
        Sent("a token without the scope", bearer(world.own(scope="none"))),
        Sent("a token whose keys never come", bearer(world.own(iss="https://gone.example")), path="/gone"),
        Sent("two tokens", bearer(good) * 2),
        Sent("no token at all in the header", [("Authorization", "Bearer")]),
        Sent("another scheme", [("Authorization", "Basic YTpi")]),
        *[Sent(f"a strange token: {name}", [("Authorization", value)]) for name, value in strange(good).items()],
        Sent("two tokens, one of them forged", [*bearer(good), *bearer(forged(good))]),
        Sent("a token in a cookie", [("Cookie", "a=1"), ("Cookie", f"at={good}; b=2")], path="/orders?jwt=not-this"),
        Sent("anonymous", [], path="/maybe"),
        Sent("public", [], path="/open"),
        Sent("a preflight", [("Origin", "https://app.example"), ("Access-Control-Request-Method", "GET")], method="OPTIONS"),
        Sent("a path in two readings", bearer(good), path="/orders//1", has_rule=False),
        Sent("a path without a rule", bearer(good), path="/nothing", has_rule=False),
        Sent("many headers", [*bearer(good), *[(f"X-Filler-{number}", "1") for number in range(95)]], has_rule=False),
        Sent("a token call", form, body=grant, **call),
        Sent("a refresh", form, body=b"grant_type=refresh_token&refresh_token=r", **call),
        Sent("a token call with another body", form, body=b"a" * 9000, **call),
        Sent("a token call in chunks", [*form, ("Transfer-Encoding", "chunked")], body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(grant), grant), **call),
        Sent("a revocation", form, method="POST", path="/oauth2/revoke", body=b"token=of-nobody", has_rule=False),
    ]


def config(world: World, server: RawServer, whole: bool) -> dict:
    """All of it in shadow, or its rules and limits."""
    shadow = {} if whole else {"shadow": True}
    base = f"http://127.0.0.1:{server.port}"
    gone = {"name": "gone", "issuer": "https://gone.example", "jwks_uri": f"{base}/no-keys", "allow_http": True, "cluster": "idp", "algorithms": ["RS256"]}
    own = world.own_issuer(jwks_uri=f"{base}/keys", allow_http=True, cluster="idp", forward={"claims": {"sub": "x-user"}, "token": False})
    del own["keys"]
    rules = [
        {"match": {"path_prefix": "/maybe"}, "access": "optional", **shadow},
        {"match": {"path_prefix": "/open"}, "access": "public", "limits": ["few"], **shadow},
        {"match": {"path_prefix": "/gone"}, "issuers": ["gone"], **shadow},
        {"match": {"path_prefix": "/orders"}, "issuers": ["own"], "scopes_all": ["orders:read"], "limits": ["few"], **shadow},
    ]
    endpoint = {"path": "/oauth2/token", "revocation_path": "/oauth2/revoke", "jitter": 0.5, "coalesce_refresh": True, "upstream_calls_max": 1, "limits": ["few"]}
    return {
        "mode": "shadow" if whole else "enforce",
        "issuers": [own, gone],
        "rules": rules,
        "bearer": {"sources": [{"header": "authorization"}, {"cookie": "at"}, {"query": "jwt"}]},
        "token_endpoints": [endpoint] if whole else [],
        "rate_limits": [{"name": "few", "key": ["address"], "limit": 2, "per_s": 3600, "headers": True}],
        "debug_headers": True,
        "shared": {"secret": {"env": "HERDGATE_SECRET"}},
    }


# What hosts put in by themselves and draw anew for each request, or measure.
DRAWN = rb"(?im)^(x-request-id|date|x-envoy-upstream-service-time|x-kong-\S+|x-forwarded-port|server|via): .*\r\n"
# Kong's own pages of errors end in one, too.
DRAWN_IN_BODY = rb"request_id: [0-9a-f]{32}\n$"


def settled(raw: bytes) -> bytes:
    return re.sub(DRAWN_IN_BODY, b"", re.sub(DRAWN, b"", raw))


@pytest.fixture
def server(world):
    server = RawServer({"/keys": jwks(world.rsa), "/no-keys": "no JSON"})
    yield server
    server.stop()


@pytest.fixture
def gateways(directory, server, filter_wasm):
    """Makes gateways in front of the raw server; they end with the test."""
    made = []

    def make(**options):
        number = len(list(directory.iterdir()))
        made.append(make_gateway(directory / f"gateway-{number}", Upstreams(server.port, server.port, dict(SECRETS)), **options))
        return made[-1]

    yield make
    deaths = [gateway.deaths() for gateway in made]
    for gateway in made:
        gateway.stop()
    assert not any(deaths), f"workers crashed: {deaths}"


def without_filter(listener: dict) -> dict:
    filters = connection_manager(listener)["http_filters"]
    filters[:] = [one for one in filters if one["name"] != "herdgate"]
    return listener


def pair(gateways, document: dict):
    """A gateway without the filter, and one with it."""
    if kind() == "envoy":
        bare, shadowed = gateways(), gateways()
        bare.start_listener(without_filter(make_listener(document, bare.wasm, bare.upstreams.env)))
    else:
        bare, shadowed = gateways(around=Around(chain=False)), gateways()
        bare.launch(document)
    shadowed.start(document)
    return bare, shadowed


def compare(bases: list[str], server: RawServer, sent: list[Sent]) -> None:
    """The first is without the filter. Each twice, so that the second meets what the first has left."""
    for one in sent:
        for turn in range(2):
            seen = []
            for base in bases:
                server.take()
                answer = settled(joined(exchange(base, one.head(), one.body)))
                seen.append(([settled(request) for request in server.take()], answer))
            assert seen[0][1], one.name
            for number, other in enumerate(seen[1:], 1):
                assert other == seen[0], f"{one.name}, turn {turn}, at {number}"


@pytest.mark.parametrize("whole", [True, False], ids=["mode", "rule"])
def test_nothing_is_changed(whole, gateways, server, world: World):
    document = config(world, server, whole)
    bare, shadowed = pair(gateways, document)
    sent = [one for one in requests(world) if whole or one.has_rule]
    at_start = shadowed.metrics()
    compare([bare.base_url, shadowed.base_url], server, sent)
    counts = shadowed.metrics()
    for reason in ["no_token", "bad_signature", "two_tokens", "expired", "scope", "limited", "unknown_issuer", "keys_unavailable"]:
        assert counts.get(f"herdgate.bearer.shadowed.{reason}") > 0, reason
    assert counts.get("herdgate.bearer.accepted") > 0
    refused = {name: count for name, count in counts.items() if "rejected" in name and count > at_start.get(name)}
    assert not refused, "a refusal was answered"
