"""The attack catalogue: inputs that must never be accepted, each with a control that must be.

An attack makes the whole Authorization value, or all headers. Unless said otherwise its token is truly signed with the
issuer's own key, so that nothing but the one defect can be the reason for a refusal. Its control is the same without
the defect.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tokens import Key, as_bytes, b64, claims, device_issuer, forged, unb64
from world import OWN, World

Maker = Callable[[World], str | bytes]


@dataclass
class Attack:
    name: str
    token: Maker | None = None
    # Instead of a token: all the headers.
    headers: Callable[[World], list] | None = None
    control: Maker | None = None
    path: str = "/orders"
    # 431 and 414 are the host's own, for headers over its limit.
    statuses: set = field(default_factory=lambda: {400, 401})

    def request_headers(self, world: World) -> list:
        if self.headers:
            return self.headers(world)
        token = self.token(world)
        return [("authorization", b"Bearer " + (token if isinstance(token, bytes) else token.encode()))]

    def control_headers(self, world: World) -> list:
        return [("authorization", f"Bearer {(self.control or good)(world)}")]


def good(world: World) -> str:
    return world.own()


def text_claims(**more) -> str:
    """The good claims as JSON text without its closing brace, to be continued by hand."""
    return json.dumps(claims(OWN, **more))[:-1]


def signed(payload, header=None) -> Maker:
    """Exactly this payload (or what the function makes of nothing), truly signed."""
    return lambda w: w.rsa.token(payload() if callable(payload) else payload, header)


def with_header(**members) -> Maker:
    return lambda w: w.own(header={"alg": "RS256", "kid": "rsa-1", **members})


def raw_header(text: str) -> Maker:
    return lambda w: w.own(header=text)


def with_claim(text: str, **drop) -> Maker:
    """The good claims without those dropped, and one more member as JSON text."""
    return lambda w: w.rsa.token(f"{text_claims(**dropped(drop))},{text}}}")


def dropped(names: dict) -> dict:
    return {name: None for name in names}


def hmac_with(secret: Callable[[World], bytes], kid: str | None = "rsa-1") -> Maker:
    """HS256 under something that an attacker knows (CVE-2016-5431 and its many kin)."""
    def make(w: World) -> str:
        key = Key("HS256", kid, secret=secret(w))
        return key.token(claims(OWN))

    return make


def mangle(change: Callable[[list[str]], str]) -> Maker:
    """The three segments of a good token, put together some other way."""
    return lambda w: change(w.own().split("."))


def ec_signature(change: Callable[[bytes], bytes]) -> Maker:
    def make(w: World) -> str:
        head, _, signature = w.own(w.ec).rpartition(".")
        return f"{head}.{b64(change(unb64(signature)))}"

    return make


def der(signature: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def trailing_bits(segment: str) -> str:
    """The same bytes, spelt with unused bits set: another text that a lax decoder reads alike."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(segment) % 4 in (2, 3)
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) + 1]


def loose_payload(w: World) -> list[str]:
    """A good token whose payload leaves unused bits in its last character."""
    for length in range(3):
        token = w.own(pad="x" * length)
        if len(token.split(".")[1]) % 4:
            return token.split(".")
    raise AssertionError


def resigned_payload(change: Callable[[str], str]) -> Maker:
    """A payload segment spelt badly, and signed as it is spelt."""

    def make(w: World) -> str:
        header, payload, _ = loose_payload(w)
        return w.rsa.sign_segments(header, change(payload))

    return make


def nested(depth: int) -> str:
    return text_claims() + ',"deep":' + "[" * depth + "]" * depth + "}"


def es_control(w: World) -> str:
    return w.own(w.ec)


ALGORITHMS = [
    Attack(f"alg {value}", raw_header('{"alg":%s,"kid":"rsa-1"}' % value))
    for value in ['"none"', '"None"', '"NONE"', '"nOnE"', '""', "null", "256", '["RS256"]', '{"alg":"RS256"}', '"RS256 "', '"rs256"', '"RS256\\u0000"', '"HS256"', '"RS384"', '"RSA1_5"']
] + [
    Attack("alg missing", raw_header('{"kid":"rsa-1"}')),
    Attack("alg none, no signature", mangle(lambda s: f"{b64(as_bytes({'alg': 'none'}))}.{s[1]}.")),
    Attack("alg none, two segments", mangle(lambda s: f"{b64(as_bytes({'alg': 'none'}))}.{s[1]}")),
    Attack("key of another algorithm of its family", lambda w: w.rsa.token(claims(OWN), {"alg": "PS256", "kid": "rsa-1"}, alg="PS256")),
    Attack("key of a stronger hash than pinned", lambda w: w.rsa.token(claims(OWN), {"alg": "RS512", "kid": "rsa-1"}, alg="RS512")),
    Attack("EC algorithm under an RSA kid", lambda w: w.ec.token(claims(OWN), {"alg": "ES256", "kid": "rsa-1"}), control=es_control),
]

CONFUSION = [
    Attack("HMAC under the public key's PEM", hmac_with(lambda w: w.rsa.pem().encode())),
    Attack("HMAC under the PEM without its last line break", hmac_with(lambda w: w.rsa.pem().strip().encode())),
    Attack("HMAC under the public key's DER", hmac_with(lambda w: w.rsa.der())),
    Attack("HMAC under the modulus", hmac_with(lambda w: unb64(w.rsa.jwk()["n"]))),
    Attack("HMAC under the modulus as text", hmac_with(lambda w: w.rsa.jwk()["n"].encode())),
    Attack("HMAC under the JWK", hmac_with(lambda w: as_bytes(w.rsa.jwk()))),
    Attack("HMAC under the Ed25519 key", hmac_with(lambda w: unb64(w.ed.jwk()["x"]), "ed-1"), control=lambda w: w.own(w.ed)),
    Attack("HMAC under nothing", hmac_with(lambda w: b"", None)),
    Attack("a device's PEM as HMAC secret", lambda w: hmac_device(w), path="/v1/x", control=lambda w: w.device()),
    Attack("legacy secret for a device's issuer", lambda w: w.hmac(w.legacy, device_issuer()), path="/v1/x", control=lambda w: w.hmac(w.legacy, "device-1")),
]


def hmac_device(w: World) -> str:
    return Key("HS256", secret=w.mobile.pem().encode()).token(claims(device_issuer(), audience=None), {"alg": "HS256"})


SIGNATURES = [
    Attack("no signature", mangle(lambda s: f"{s[0]}.{s[1]}.")),
    Attack("one bit of the signature", lambda w: forged(w.own())),
    Attack("signature cut short", mangle(lambda s: f"{s[0]}.{s[1]}.{b64(unb64(s[2])[:-1])}")),
    Attack("signature with a byte before", mangle(lambda s: f"{s[0]}.{s[1]}.{b64(bytes(1) + unb64(s[2]))}")),
    Attack("signature of zeros", mangle(lambda s: f"{s[0]}.{s[1]}.{b64(bytes(256))}")),
    Attack("signature of another token", lambda w: w.own().rpartition(".")[0] + "." + w.own(subject="another").rpartition(".")[2]),
    Attack("claims changed after signing", mangle(lambda s: f"{s[0]}.{b64(as_bytes(claims(OWN, subject='admin')))}.{s[2]}")),
    Attack("header changed after signing", mangle(lambda s: f"{b64(as_bytes({'alg': 'RS256', 'kid': 'rsa-1', 'x': 1}))}.{s[1]}.{s[2]}")),
    Attack("ECDSA of zeros (CVE-2022-21449)", ec_signature(lambda s: bytes(64)), control=es_control),
    Attack("ECDSA with r of zero", ec_signature(lambda s: bytes(32) + s[32:]), control=es_control),
    Attack("ECDSA in DER", ec_signature(der), control=es_control),
    Attack("ECDSA with a byte behind", ec_signature(lambda s: s + b"\0"), control=es_control),
    Attack("ECDSA half", ec_signature(lambda s: s[:32]), control=es_control),
]

KID = [
    Attack(f"kid {name}", raw_header('{"alg":"RS256","kid":%s}' % value))
    for name, value in {
        "path": '"../../../../../dev/null"',
        "SQL": "\"x' UNION SELECT 'k';--\"",
        "command": '"rsa-1|sleep 10"',
        "address": '"http://127.0.0.1:9/jwks"',
        "of 8 KiB": '"%s"' % ("k" * 8192),
        "number": "1",
        "null": "null",
        "list": '["rsa-1"]',
        "object": '{"kid":"rsa-1"}',
        "true": "true",
        "with NUL": '"rsa-1\\u0000"',
        "with a blank": '"rsa-1 "',
        "in capitals": '"RSA-1"',
        "of another key": '"pss-1"',
        "with line break": '"rsa-1\\r\\nx: y"',
    }.items()
]

HEADERS = [
    Attack("crit of a known claim", with_header(crit=["exp"], exp=1)),
    Attack("crit empty", with_header(crit=[])),
    Attack("crit unknown", with_header(crit=["x-unknown"], **{"x-unknown": 1})),
    Attack("crit is text", with_header(crit="exp")),
    Attack("crit null", raw_header('{"alg":"RS256","kid":"rsa-1","crit":null}')),
    Attack("b64 false", with_header(b64=False, crit=["b64"])),
    Attack("b64 false without crit", with_header(b64=False)),
    Attack("zip", with_header(zip="DEF")),
    Attack("header is a list", raw_header('["RS256"]')),
    Attack("header is text", raw_header('"RS256"')),
    Attack("header is not JSON", raw_header("{alg:RS256}")),
    Attack("header with a byte order mark", raw_header('\ufeff{"alg":"RS256","kid":"rsa-1"}')),
    Attack("header with a second document", raw_header('{"alg":"RS256","kid":"rsa-1"}{}')),
    Attack("header in UTF-16", lambda w: w.own(header='{"alg":"RS256","kid":"rsa-1"}'.encode("utf-16"))),
    Attack("attacker's key in jwk", lambda w: w.own(w.stranger, header={"alg": "RS256", "kid": "rsa-1", "jwk": w.stranger.jwk()})),
    Attack("attacker's key in jwk, no kid", lambda w: w.own(w.stranger, header={"alg": "RS256", "jwk": w.stranger.jwk()})),
    Attack("attacker's key behind jku", lambda w: w.own(w.stranger, header={"alg": "RS256", "kid": "rsa-1", "jku": f"{w.idp.issuer}/evil-jwks"})),
    Attack("attacker's key behind x5u", lambda w: w.own(w.stranger, header={"alg": "RS256", "kid": "rsa-1", "x5u": f"{w.idp.issuer}/evil-x5u"})),
    Attack("attacker's key in x5c", lambda w: w.own(w.stranger, header={"alg": "RS256", "kid": "rsa-1", "x5c": [b64(w.stranger.der())]})),
    Attack("another type", lambda w: w.rsa.token(claims("https://typed.example"), {"alg": "RS256", "typ": "secevent+jwt"}), path="/typed", control=lambda w: w.rsa.token(claims("https://typed.example"))),
    Attack("type missing", lambda w: w.rsa.token(claims("https://typed.example"), {"alg": "RS256"}), path="/typed", control=lambda w: w.rsa.token(claims("https://typed.example"))),
]

DUPLICATES = [
    Attack("alg twice", raw_header('{"alg":"none","alg":"RS256","kid":"rsa-1"}')),
    Attack("alg twice, the same", raw_header('{"alg":"RS256","alg":"RS256","kid":"rsa-1"}')),
    Attack("alg twice by an escape", raw_header('{"alg":"RS256","\\u0061lg":"RS256","kid":"rsa-1"}')),
    Attack("unknown header member twice", raw_header('{"alg":"RS256","kid":"rsa-1","x":1,"x":2}')),
    Attack("header members twice in a member", raw_header('{"alg":"RS256","kid":"rsa-1","x":{"a":1,"a":2}}')),
    Attack("sub twice", with_claim('"sub":"admin"')),
    Attack("sub twice by an escape", with_claim('"s\\u0075b":"admin"')),
    Attack("exp twice", with_claim('"exp":9999999999')),
    Attack("aud twice", with_claim('"aud":"orders-api"')),
    Attack("unknown claim twice", with_claim('"x":1,"x":1')),
    Attack("twice one level down", with_claim('"realm":{"roles":["user"],"roles":["admin"]}')),
    Attack("twice inside a list", with_claim('"x":[{"a":[{"b":1,"b":2}]}]')),
]

NUMBERS = [
    Attack(f"exp {name}", with_claim(f'"exp":{value}', exp=1))
    for name, value in {
        "as text": '"9999999999"',
        "null": "null",
        "true": "true",
        "in a list": "[9999999999]",
        "1e400": "1e400",
        "negative": "-1",
        "negative zero": "-0",
        "zero": "0",
        "a fraction long ago": "1000000000.5",
        "over 64 bits": "99999999999999999999999",
        "2^64": "18446744073709551616",
        "2^63": "9223372036854775808",
        "1e308": "1e308",
        "with a leading zero": "01999999999",
        "with a plus": "+1999999999",
        "in hex": "0x7fffffff",
        "NaN": "NaN",
        "Infinity": "Infinity",
    }.items()
] + [
    Attack("exp missing", lambda w: w.own(exp=None)),
    Attack("nbf as text", with_claim('"nbf":"0"')),
    Attack("nbf 1e400", with_claim('"nbf":1e400')),
    Attack("nbf null", with_claim('"nbf":null')),
    Attack("iat as text", with_claim('"iat":"0"', iat=1)),
    Attack("iat in the future", with_claim('"iat":9999999999', iat=1)),
]

BASE64 = [
    Attack("padded signature", lambda w: w.own(w.ec) + "==", control=es_control),
    Attack("padded payload", resigned_payload(lambda p: p + "=" * (-len(p) % 4))),
    Attack("unused bits in the payload", resigned_payload(trailing_bits)),
    Attack("unused bits in the signature", mangle(lambda s: f"{s[0]}.{s[1]}.{trailing_bits(s[2])}")),
    Attack("standard alphabet in the signature", lambda w: standard_alphabet(w)),
    Attack("blank in the payload", resigned_payload(lambda p: f"{p[:8]} {p[8:]}")),
    Attack("tab in the payload", resigned_payload(lambda p: f"{p[:8]}\t{p[8:]}")),
    Attack("percent escape in the payload", resigned_payload(lambda p: f"%{ord(p[0]):02x}{p[1:]}")),
    Attack("one character too many", resigned_payload(lambda p: p[: len(p) // 4 * 4] + "A")),
    Attack("not ASCII in the payload", lambda w: (w.own()[:-1] + "\xe9").encode("latin-1")),
    Attack("bytes that are no text", lambda w: w.own().encode() + b"\xff\xfe"),
    Attack("quotes around the token", lambda w: f'"{w.own()}"'),
    Attack("comma behind the token", lambda w: f"{w.own()},"),
]


def standard_alphabet(w: World) -> str:
    """A good signature that holds - or _, spelt with + and /."""
    while True:
        head, _, signature = w.own().rpartition(".")
        if "-" in signature or "_" in signature:
            return f"{head}.{signature.replace('-', '+').replace('_', '/')}"


FRAMING = [
    Attack("one segment", mangle(lambda s: s[0])),
    Attack("two segments", mangle(lambda s: f"{s[0]}.{s[1]}")),
    Attack("four segments", mangle(lambda s: f"{'.'.join(s)}.{s[2]}")),
    Attack("four segments, the last empty", mangle(lambda s: f"{'.'.join(s)}.")),
    Attack("five segments", mangle(lambda s: f"{'.'.join(s)}.{s[1]}.{s[2]}")),
    Attack("empty header", mangle(lambda s: f".{s[1]}.{s[2]}")),
    Attack("empty payload", mangle(lambda s: f"{s[0]}..{s[2]}")),
    Attack("empty payload, signed", lambda w: w.rsa.sign_segments(w.own().split(".")[0], "")),
    Attack("only dots", lambda w: ".."),
    Attack("one dot", lambda w: "."),
    Attack("1,000 dots", lambda w: "." * 1000),
    Attack("dot before", lambda w: f".{w.own()}"),
    Attack("payload is a list", signed("[]")),
    Attack("payload is null", signed("null")),
    Attack("payload is text", signed('"sub"')),
    Attack("payload is empty JSON", signed("{}")),
    Attack("payload with trailing bytes", signed(lambda: text_claims() + "}x")),
    Attack("payload with a trailing NUL", signed(lambda: (text_claims() + "}").encode() + b"\0")),
    Attack("payload with a comment", signed(lambda: text_claims() + "/**/}")),
    Attack("payload with a trailing comma", signed(lambda: text_claims() + ",}")),
    Attack("payload in bad UTF-8", signed(lambda: (text_claims() + ',"x":"').encode() + b'\xff\xfe"}')),
    Attack("payload with half a surrogate pair", with_claim('"note":"\\ud800"')),
    Attack("payload with a raw line break in a string", with_claim('"note":"a\nb"')),
    Attack("nested 100 deep", signed(lambda: nested(100))),
    Attack("nested 10,000 deep", signed(lambda: nested(10_000)), statuses={400, 401, 431}),
    Attack("40 KB of token", lambda w: w.own(pad="p" * 30_000), statuses={400, 401, 431}),
    Attack("90 KB of token", lambda w: w.own(pad="p" * 68_000), statuses={400, 401, 431}),
]

CLAIMS = [
    Attack("aud missing", lambda w: w.own(audience=None)),
    Attack("aud of another", lambda w: w.own(audience="orders-api2")),
    Attack("aud is a prefix", lambda w: w.own(audience="orders")),
    Attack("aud in capitals", lambda w: w.own(audience="Orders-API")),
    Attack("aud of two in one text", lambda w: w.own(audience="orders-api other")),
    Attack("aud a number", with_claim('"aud":1', audience=1)),
    Attack("aud an object", with_claim('"aud":{"orders-api":1}', audience=1)),
    Attack("aud an empty list", with_claim('"aud":[]', audience=1)),
    Attack("aud a list in a list", with_claim('"aud":[["orders-api"]]', audience=1)),
    Attack("iss missing", lambda w: w.own(iss=None)),
    Attack("iss with a slash behind", lambda w: w.own(iss=OWN + "/")),
    Attack("iss in capitals", lambda w: w.own(iss=OWN.upper())),
    Attack("iss in a list", lambda w: w.own(iss=[OWN])),
    Attack("iss with NUL", lambda w: w.own(iss=OWN + "\0")),
    Attack("iss of another issuer with other keys", lambda w: w.own(iss=w.idp.issuer), control=lambda w: w.idp.token()),
    Attack("iss a star", lambda w: w.own(iss="*")),
    Attack("template's capture empty", lambda w: w.device("mobilev2--1"), path="/v1/x", control=lambda w: w.device()),
    Attack("template's last capture empty", lambda w: w.device("mobilev2-a-"), path="/v1/x", control=lambda w: w.device()),
    Attack("sub is an object where it is forwarded", lambda w: w.own(subject={"a": 1})),
    Attack("forwarded claim of 60 KB", lambda w: w.own(note="n" * 20_000), statuses={400, 401, 431}),
]

def bound(cnf: str) -> Attack:
    """A token that is bound to a key, stolen: sent as a plain bearer token."""
    return Attack(f"bound by {cnf}", with_claim(f'"cnf":{cnf}'))


THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"

BOUND = [
    bound(cnf)
    for cnf in (
        '{"jkt":"%s"}' % THUMBPRINT,
        '{"x5t#S256":"%s"}' % THUMBPRINT,
        '{"jkt":"%s","x5t#S256":"%s"}' % (THUMBPRINT, THUMBPRINT),
        '{"jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}',
        '{"kid":"rsa-1"}',
        '{"jkt":null}',
        '{"jkt":""}',
        "{}",
        "[]",
        '""',
        "1",
        "false",
    )
]

PRESENTATION = [
    Attack("two Authorization headers, one good", headers=lambda w: [("authorization", f"Bearer {w.own()}"), ("authorization", "Basic YTpi")]),
    Attack("two Authorization headers, both good", headers=lambda w: [("authorization", f"Bearer {w.own()}")] * 2),
    Attack("a list of tokens", headers=lambda w: [("authorization", f"Bearer {w.own()}, Bearer {w.own()}")]),
    Attack("two tokens after one Bearer", headers=lambda w: [("authorization", f"Bearer {w.own()} {w.own()}")]),
    Attack("Bearer without a blank", headers=lambda w: [("authorization", f"Bearer{w.own()}")]),
    Attack("Bearer and a tab", headers=lambda w: [("authorization", f"Bearer\t{w.own()}")]),
    Attack("Bearer with a colon", headers=lambda w: [("authorization", f"Bearer: {w.own()}")]),
    Attack("Bearer and nothing", headers=lambda w: [("authorization", "Bearer ")]),
    Attack("Bearer as auth-param", headers=lambda w: [("authorization", f"Bearer token={w.own()}")]),
    Attack("another scheme", headers=lambda w: [("authorization", f"Token {w.own()}")]),
    Attack("DPoP scheme", headers=lambda w: [("authorization", f"DPoP {w.own()}")]),
    Attack("no scheme", headers=lambda w: [("authorization", w.own())]),
    Attack("scheme in other bytes", headers=lambda w: [("authorization", b"Be\xc3\xa4rer " + w.own().encode())]),
    Attack("only odd bytes", headers=lambda w: [("authorization", bytes(range(128, 256)))]),
    Attack("empty Authorization header", headers=lambda w: [("authorization", "")]),
    Attack("token in another header", headers=lambda w: [("x-authorization", f"Bearer {w.own()}")]),
    Attack("token in Proxy-Authorization", headers=lambda w: [("proxy-authorization", f"Bearer {w.own()}")]),
    Attack("token in a header with _", headers=lambda w: [("authorization_", f"Bearer {w.own()}")]),
]

CATALOGUE = (
    ALGORITHMS + CONFUSION + SIGNATURES + KID + HEADERS + DUPLICATES + NUMBERS + BASE64 + FRAMING + CLAIMS + BOUND + PRESENTATION
)
