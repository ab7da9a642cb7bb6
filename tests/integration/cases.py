"""The table of bearer cases: what is sent, what must come back, what the API must have seen. Pure data."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tokens import claims, device_issuer, forged
from world import OWN, World

ABSENT = None


@dataclass
class Case:
    """One request. `token` makes the bearer token from the world; `sees` is what the API must have received."""

    name: str
    status: int
    token: Callable[[World], str | None] = lambda _: None
    method: str = "GET"
    path: str = "/orders/1"
    headers: list = field(default_factory=list)
    # The error code of the challenge; "" for a challenge without one, None for no challenge at all.
    error: str | None = None
    reason: str | None = None
    sees: dict = field(default_factory=dict)
    scope: str | None = None
    # The same request also counts as this metric, if given.
    metric: str | None = None


GOOD = [
    Case("token of the real server, RS256", 200, lambda w: w.idp.token(), sees={"x-user": "client-a"}, metric="herdgate.bearer.accepted"),
    Case("token of the real server, ES256", 200, lambda w: w.idp.token(resource="https://orders.example/es256")),
    Case("EdDSA", 200, lambda w: w.own(w.ed)),
    Case("PS256", 200, lambda w: w.own(w.pss)),
    Case("ES256", 200, lambda w: w.own(w.ec)),
    Case("ES384", 200, lambda w: w.own(w.ec384)),
    Case("without kid", 200, lambda w: w.own(header={"alg": "RS256"})),
    Case("scheme in lower case", 200, headers=[("authorization", lambda w: "bearer " + w.own())]),
    Case("scheme in upper case", 200, headers=[("authorization", lambda w: "BEARER " + w.own())]),
    Case("expired within the leeway", 200, lambda w: w.own(lifetime_s=-5)),
    Case("audience in a list", 200, lambda w: w.own(audience=["other", "orders-api"])),
    Case("query after the path", 200, lambda w: w.own(), path="/orders?a=/../b&c=%2f"),
    Case("unreserved character encoded", 200, lambda w: w.own(), path="/%6Frders/1"),
    Case("token stays for the API by default", 200, lambda w: w.own(), sees={"authorization": True}),
]

TOKENS = [
    Case("no token", 401, error="", reason="no_token"),
    Case("another scheme", 401, headers=[("authorization", "Basic YTpi")], error="", reason="no_token"),
    Case("expired", 401, lambda w: w.own(lifetime_s=-120), error="invalid_token", reason="expired"),
    Case(
        "expired, of the real server",
        401,
        lambda w: w.idp.sign(claims(w.idp.issuer, lifetime_s=-120)),
        error="invalid_token",
        reason="expired",
    ),
    Case("no exp", 401, lambda w: w.own(exp=None), error="invalid_token"),
    Case("not yet valid", 401, lambda w: w.own(nbf=claims(OWN)["iat"] + 600), error="invalid_token", reason="not_yet_valid"),
    Case("issued in the future", 401, lambda w: w.own(iat=claims(OWN)["iat"] + 600, lifetime_s=1200), error="invalid_token", reason="not_yet_valid"),
    Case("lives too long", 401, lambda w: w.own(lifetime_s=90000), error="invalid_token", reason="lifetime_too_long"),
    Case("bound to a key", 401, lambda w: w.own(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}), error="invalid_token", reason="bound"),
    Case("bound to a certificate", 401, lambda w: w.own(cnf={"x5t#S256": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}), error="invalid_token", reason="bound"),
    Case("one bit of the signature changed", 401, lambda w: forged(w.own()), error="invalid_token", reason="bad_signature"),
    Case("signed with a stranger's key", 401, lambda w: w.own(w.stranger), error="invalid_token", reason="bad_signature"),
    Case("forged, of the real server", 401, lambda w: forged(w.idp.token()), error="invalid_token", reason="bad_signature"),
    Case("wrong audience", 401, lambda w: w.own(audience="other-api"), error="invalid_token", reason="wrong_audience"),
    Case(
        "wrong audience, of the real server",
        401,
        lambda w: w.idp.token(resource="https://other.example"),
        error="invalid_token",
        reason="wrong_audience",
    ),
    Case("no audience", 401, lambda w: w.own(audience=None), error="invalid_token", reason="wrong_audience"),
    Case("unknown kid", 401, lambda w: w.own(header={"alg": "RS256", "kid": "rsa-2"}), error="invalid_token", reason="unknown_key"),
    Case("not a token", 401, lambda w: "not-a-token", error="invalid_token", reason="malformed"),
    Case("alg none", 401, lambda w: w.own(header={"alg": "none"}), error="invalid_token", reason="algorithm"),
    Case("type required and right", 200, lambda w: w.rsa.token(claims("https://typed.example", audience=None)), path="/typed"),
    Case("type in capitals with its media type", 200, lambda w: w.rsa.token(claims("https://typed.example"), {"alg": "RS256", "typ": "application/AT+JWT"}), path="/typed"),
    Case(
        "type required and wrong",
        401,
        lambda w: w.rsa.token(claims("https://typed.example"), {"alg": "RS256", "typ": "JWT"}),
        path="/typed",
        error="invalid_token",
        reason="wrong_type",
    ),
    Case("two Authorization headers", 400, headers=[("authorization", lambda w: "Bearer " + w.own())] * 2, error="invalid_request", reason="two_tokens"),
    Case("Bearer without a token", 400, headers=[("authorization", "Bearer")], error="invalid_request"),
    Case("two tokens in one header", 400, headers=[("authorization", lambda w: f"Bearer {w.own()} {w.own()}")], error="invalid_request"),
]

DEVICES = [
    Case("device token", 200, lambda w: w.device(), path="/v1/x", sees={"x-consumer-username": "mobile"}),
    Case("device id with hyphens", 200, lambda w: w.device(device_issuer("a-b-c")), path="/v1"),
    Case("device token of a stranger", 401, lambda w: w.device(key=w.stranger), path="/v1/x", error="invalid_token", reason="bad_signature"),
    Case("first part alone", 401, lambda w: w.device("mobilev2"), path="/v1/x", error="invalid_token"),
    Case("one capture missing", 401, lambda w: w.device("mobilev2-x"), path="/v1/x", error="invalid_token"),
    Case("first part longer", 401, lambda w: w.device("mobilev2x-a-1"), path="/v1/x", error="invalid_token"),
    Case(
        "template match never falls through to another key",
        401,
        lambda w: w.hmac(w.legacy, device_issuer()),
        path="/v1/x",
        error="invalid_token",
    ),
    Case("embedded token registers", 200, lambda w: w.hmac(w.register, "mobile-app"), method="POST", path="/v1/device/register"),
    Case("embedded token elsewhere", 403, lambda w: w.hmac(w.register, "mobile-app"), path="/v1/x", error="insufficient_scope", reason="issuer_not_allowed"),
    Case("embedded token with another method", 403, lambda w: w.hmac(w.register, "mobile-app"), path="/v1/device/register", error="insufficient_scope"),
    Case("old credential, inline", 200, lambda w: w.hmac(w.legacy, "device-1"), path="/v1/x", sees={"x-consumer-username": "mobile_device"}),
    Case("old credential, looked up", 200, lambda w: w.hmac(w.looked_up, "device-9"), path="/v1/x"),
    Case("old credential, another's secret", 401, lambda w: w.hmac(w.legacy, "device-9"), path="/v1/x", error="invalid_token", reason="bad_signature"),
    Case("unknown credential", 401, lambda w: w.hmac(w.legacy, "device-404"), path="/v1/x", error="invalid_token"),
    Case("credential id that climbs out of its path", 401, lambda w: w.hmac(w.legacy, "../jwts/device-9"), path="/v1/x", error="invalid_token"),
    Case("empty credential id", 401, lambda w: w.hmac(w.legacy, ""), path="/v1/x", error="invalid_token"),
    Case(
        "issuer past its sunset",
        401,
        lambda w: w.rsa.token(claims("https://past.example", audience=None)),
        path="/v1/x",
        error="invalid_token",
        reason="sunset",
    ),
]

RULES = [
    Case("public", 200, path="/health"),
    Case("public reads no token", 200, lambda w: "rubbish", path="/health/live"),
    Case("public is by whole segments", 403, path="/healthy"),
    Case("optional without a token", 200, path="/maybe"),
    Case("optional with a good token", 200, lambda w: w.own(), path="/maybe", sees={"x-user": "user-1"}),
    Case("optional with a bad token", 401, lambda w: forged(w.own()), path="/maybe", error="invalid_token"),
    Case("no rule", 403, lambda w: w.own(), path="/nothing"),
    Case("no rule, no token", 403, path="/nothing"),
    Case("prefix is whole segments", 403, lambda w: w.own(), path="/orders2"),
    Case("case matters", 403, lambda w: w.own(), path="/Orders"),
    Case("scope missing", 403, lambda w: w.own(scope="orders:write"), error="insufficient_scope", scope="orders:read"),
    Case("no scope at all", 403, lambda w: w.own(scope=None), error="insufficient_scope", scope="orders:read"),
    Case("scope is a whole word", 403, lambda w: w.own(scope="orders:readonly"), error="insufficient_scope"),
    Case("one of two scopes", 403, lambda w: w.own(), method="POST", error="insufficient_scope", scope="orders:read orders:write"),
    Case("both scopes", 200, lambda w: w.own(scope="x orders:write orders:read"), method="POST"),
    Case("scp as a list", 200, lambda w: w.own(scope=None, scp=["orders:read"])),
    Case("any scope", 200, lambda w: w.own(scope="b"), path="/any"),
    Case("none of any scope", 403, lambda w: w.own(scope="c"), path="/any", error="insufficient_scope"),
    Case("template", 200, lambda w: w.own(), path="/items/7/parts"),
    Case("template takes one segment", 403, lambda w: w.own(), path="/items/7/8/parts"),
    Case("template needs its end", 403, lambda w: w.own(), path="/items/7"),
    Case("claim of the right value", 200, lambda w: w.own(acr="gold"), path="/gold"),
    Case("claim of another value", 403, lambda w: w.own(acr="silver"), path="/gold", error="insufficient_scope", reason="claim"),
    Case("claim missing", 403, lambda w: w.own(), path="/gold", error="insufficient_scope", reason="claim"),
    Case("rule's own audience", 200, lambda w: w.own(audience="special-api"), path="/special"),
    Case("not the rule's audience", 401, lambda w: w.own(), path="/special", error="invalid_token", reason="wrong_audience"),
    Case("host", 200, lambda w: w.own(), path="/hosted", headers=[("host", "admin.example")]),
    Case("host in another case and with a port", 200, lambda w: w.own(), path="/hosted", headers=[("host", "Admin.Example:8443")]),
    Case("another host", 403, lambda w: w.own(), path="/hosted", headers=[("host", "www.example")]),
    Case("rule in shadow refuses nothing", 200, path="/watched"),
]

PATHS = [
    Case(f"path {path}", 400, lambda w: w.own(), path=path, reason="bad_path")
    for path in [
        "/orders/../health",
        "/health/../orders",
        "/orders/./1",
        "/orders/..",
        "/./orders",
        "//orders",
        "/orders//1",
        "/orders/1//",
        "/orders%2f1",
        "/orders%2F1",
        "/orders/%2e%2e/health",
        "/orders/.%2E/health",
        "/orders/%2e",
        "/orders\\1",
        "/orders%5c1",
        "/orders%5C..%5Chealth",
        "/orders%3fx",
        "/orders%00",
        "/orders%252f1",
        "/orders/%25",
        "/health%2f..%2forders",
        "/health/..%2forders",
    ]
]

PREFLIGHT = [("origin", "https://app.example"), ("access-control-request-method", "GET")]
CORS = [
    Case("preflight needs no token", 200, method="OPTIONS", headers=PREFLIGHT),
    Case("OPTIONS without Origin", 401, method="OPTIONS", headers=PREFLIGHT[1:], error=""),
    Case("OPTIONS without the method asked for", 401, method="OPTIONS", headers=PREFLIGHT[:1], error=""),
    Case("preflight's headers on a GET", 401, headers=PREFLIGHT, error=""),
    Case("preflight of a request that a rule covers", 200, path="/submit", method="OPTIONS", headers=[*PREFLIGHT[:1], ("access-control-request-method", "POST")]),
    Case("preflight of a request that no rule covers", 403, path="/submit", method="OPTIONS", headers=PREFLIGHT),
    Case("OPTIONS where a rule covers POST alone", 403, path="/submit", method="OPTIONS", headers=PREFLIGHT[:1]),
]

# Headers that only the gateway may set, as a client would forge them. None may reach the API with this value.
FORGED = "forged-by-client"
RESERVED = [
    "x-user",
    "X-User",
    "x_user",
    "X_USER",
    "x-roles",
    "x-note",
    "x-consumer-id",
    "x-consumer-username",
    "X-Consumer-Custom-Id",
    "x_consumer_username",
    "X_Consumer-Username",
    "x-consumer-groups",
    "x-credential-identifier",
    "x_credential_identifier",
    "x-anonymous-consumer",
    "x-consumer-anything-else",
]
# Where a forged header could slip through: with a token, without one, and where tokens are not read.
RESERVED_PLACES: list[tuple[str, Callable[[World], str | None], str, str, list]] = [
    ("with a token", lambda w: w.own(), "GET", "/orders", []),
    ("with a token of the real server", lambda w: w.idp.token(), "GET", "/orders", []),
    ("public", lambda w: None, "GET", "/health", []),
    ("anonymous", lambda w: None, "GET", "/maybe", []),
    ("preflight", lambda w: None, "OPTIONS", "/orders", PREFLIGHT),
    ("device", lambda w: w.device(), "GET", "/v1/x", []),
]

# A forwarded claim and how the API must see it: (claim as JSON value, header value).
FORWARDED = [
    ("plain", "plain"),
    ("", ""),
    ("with space", "with space"),
    ("line\r\nx-admin: 1", "line%0D%0Ax-admin: 1"),
    ("nul\0byte", "nul%00byte"),
    ("tab\there", "tab%09here"),
    ("del\x7f", "del%7F"),
    ("grün", "gr%C3%BCn"),
    ("\U0001f600", "%F0%9F%98%80"),
    (42, "42"),
    (True, "true"),
    (["a", "b"], "a,b"),
    (["a", 1, False], "a,1,false"),
]

TABLE = GOOD + TOKENS + DEVICES + RULES + PATHS + CORS
