"""The configurations and native filters that are measured, and tokens for them."""

import functools
import json
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from gateway import SECRETS
from joserfc import jwe
from joserfc.jwk import ECKey
from load import token_file
from proofs import ORIGIN, Prover
from tokens import Key, claims, jwks, unb64

from bench_suites.measure import TOKENS, TURNS, say

ISSUER = "https://bench.example"
MANY = 100_000
# What is said of every opaque token.
TOLD = json.dumps({"active": True, "iss": ISSUER, "aud": "orders-api", "sub": "user-1", "client_id": "app", "scope": "orders:read"})
FOREVER_S = 86400


class Stock:
    """Keys and tokens, made when a variant first asks for them."""

    def __init__(self, directory: Path, quick: bool = False):
        self.directory = directory
        self.quick = quick
        self.rs = Key("RS256", "bench-1")
        self.ed = Key("EdDSA", "bench-2")
        self.ec = Key("ES256", "bench-3")
        self.prover = Prover("ES256")

    def single(self, name: str, token: str) -> list[Path]:
        return [token_file(self.directory / name, [token])] * TURNS

    @functools.cached_property
    def token(self) -> str:
        return self.rs.token(claims(ISSUER, lifetime_s=FOREVER_S, plan="gold"))

    @functools.cached_property
    def one(self) -> list[Path]:
        return self.single("one", self.token)

    @functools.cached_property
    def opaque(self) -> list[Path]:
        # As long as the JWT, so that it isn't cheaper for being short.
        return self.single("opaque", secrets.token_hex(len(self.token) // 2))

    @functools.cached_property
    def sealed(self) -> list[Path]:
        return self.single("sealed", sealed(self.token))

    @functools.cached_property
    def bound(self) -> list[Path]:
        return self.single("bound", self.rs.token(claims(ISSUER, lifetime_s=FOREVER_S, cnf=self.prover.cnf)))

    @functools.cache  # noqa: B019 (there is one stock in a run)
    def many(self, key: Key, count: int = TOKENS, finish=str) -> list[Path]:
        """A file of different tokens for each turn."""
        say(f"minting {count:,} tokens, {key.alg}")
        tokens = [finish(key.token(claims(ISSUER, subject=f"user-{n}", lifetime_s=FOREVER_S))) for n in range(count)]
        return [token_file(self.directory / f"{key.alg}-{finish.__name__}-{count}-{turn}", tokens[turn::TURNS]) for turn in range(TURNS)]


# ---- Herdgate ----------------------------------------------------------------------------------------------------


def issuer(key: Key, **more) -> dict:
    return {"name": "bench", "issuer": ISSUER, "algorithms": [key.alg], "keys": [{"jwk": key.jwk()}], "audiences": ["orders-api"], **more}


def plain(key: Key, **more) -> dict:
    return {"issuers": [issuer(key)], "shared": {"secret": SECRETS["HERDGATE_SECRET"]}, **more}


def full(key: Key) -> dict:
    return {
        "issuers": [issuer(key, forward={"claims": {"sub": "x-user"}})],
        "rules": [
            {"match": {"path_prefix": "/health"}, "access": "public"},
            {"match": {"path": "/v1/device/register", "methods": ["POST"]}, "issuers": ["bench"]},
            {"match": {"path_prefix": "/v1"}, "issuers": ["bench"]},
            {"match": {"path_prefix": "/orders"}, "issuers": ["bench"], "scopes_all": ["orders:read"]},
        ],
        "revocation": {"feeds": [{"uri": "http://127.0.0.1/revoked.json", "allow_http": True, "cluster": "api", "every_s": 10}]},
        "shared": {"secret": SECRETS["HERDGATE_SECRET"]},
    }


def full_and_limited(key: Key) -> dict:
    """All of that, and a limit for each subject that is never reached."""
    config = full(key)
    *others, orders = config["rules"]
    limit = {"name": "per-user", "key": ["issuer", "subject"], "limit": 1_000_000, "per_s": 1}
    return {**config, "rules": [*others, {**orders, "limits": ["per-user"]}], "rate_limits": [limit]}


def asked_of() -> dict:
    """The API's own Envoy says of every token that it is active."""
    return {"uri": "http://127.0.0.1/introspect", "allow_http": True, "cluster": "api", "client_id": "gateway", "client_secret": "secret", "ttl_s_max": 3600}


def opaque() -> dict:
    made = {"name": "bench", "issuer": ISSUER, "tokens": "opaque", "audiences": ["orders-api"], "introspection": asked_of()}
    return {"issuers": [made], "shared": {"secret": SECRETS["HERDGATE_SECRET"]}}


def introspected(key: Key) -> dict:
    rules = [{"match": {"path_prefix": "/orders"}, "issuers": ["bench"], "introspect": True}]
    return plain(key, rules=rules, introspection=asked_of())


def token_calls() -> dict:
    limits = [{"name": "address", "key": ["address"], "limit": 1_000_000, "per_s": 1}]
    return {"issuers": [], "token_endpoints": [{"path": "/oauth2/token", "limits": ["address"]}], "rate_limits": limits, "shared": {"secret": SECRETS["HERDGATE_SECRET"]}}


def bound(key: Key) -> dict:
    dpop = {"origins": [ORIGIN], "algorithms": ["ES256"], "leeway_s": 60}
    # One key's proofs find room in half of a slot: with so many, each of them does.
    return {**plain(key), "issuers": [issuer(key, dpop=dpop)], "replay": {"ids_max": 4_000_000}}


# What opens the encrypted tokens of the benchmark, and the algorithms that they come under.
RECIPIENT = json.loads(SECRETS["DECRYPTION_JWK"])
SEALED = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "kid": RECIPIENT["kid"], "cty": "JWT"}


def encrypted(key: Key, **more) -> dict:
    opens = {"jwk": RECIPIENT, "issuers": ["bench"], "algorithms": [SEALED["alg"]], "encryptions": [SEALED["enc"]]}
    return {**plain(key), "issuers": [issuer(key, encrypted="allow")], "decryption": {"keys": [opens]}, **more}


def sealed(token: str) -> str:
    public = ECKey.import_key({name: value for name, value in RECIPIENT.items() if name != "d"})
    return jwe.encrypt_compact(SEALED, token, public, algorithms=[SEALED["alg"], SEALED["enc"]])


def host_calls(key: Key) -> str:
    """The empty filter's: the host calls of new tokens that the host verifies, without any of the filter's work. Several
    tokens, since the processor would learn the way of one signature by heart."""
    return "verify:" + ",".join(verification(key, key.token(claims(ISSUER, subject=f"user-{n}", lifetime_s=FOREVER_S))) for n in range(50))


def verification(key: Key, token: str) -> str:
    signed, _, signature = token.rpartition(".")
    raw = unb64(signature)
    if key.alg == "ES256":
        raw = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    spki = key.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    # VerifySignatureArguments: hash_function = 1, public_key = 2, signature = 3, text = 4.
    fields = [b"sha256", spki, raw, signed.encode()]
    return b"".join(bytes([number << 3 | 2]) + varint(len(field)) + field for number, field in enumerate(fields, 1)).hex()


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def small_memory(key: Key, **shared) -> dict:
    """No worker remembers a token; shared memory remembers them all unless told otherwise."""
    config = plain(key)
    return {**config, "memory": {"tokens_max": 1}, "shared": {**config["shared"], **shared}}


def roomy(key: Key) -> dict:
    return plain(key, memory={"tokens_max": 2 * MANY, "bytes_max": 512 << 20})


def limited(key: Key, *keys: list[str], **more) -> dict:
    """A limit for each of these keys, none of which is ever reached."""
    names = [f"limit-{number}" for number in range(len(keys))]
    limits = [{"name": name, "key": parts, "limit": 1_000_000, "per_s": 1, **more} for name, parts in zip(names, keys)]
    rule = {"match": {"path_prefix": "/orders"}, "issuers": ["bench"]}
    return plain(key, rules=[{**rule, "limits": names} if names else rule], rate_limits=limits)


TIERS = {"tiers": [{"when": {"claims": {"plan": ["silver"]}}, "limit": 900_000, "per_s": 1}, {"when": {"claims": {"plan": ["gold"]}}, "limit": 1_000_000, "per_s": 1}]}


# ---- Envoy's own -------------------------------------------------------------------------------------------------


def native(name: str, kind: str, **config) -> dict:
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.filters.http.{name}.v3.{kind}", **config}}


def jwt_authn(key: Key, cache_size: int | None = None) -> dict:
    provider = {"issuer": ISSUER, "audiences": ["orders-api"], "local_jwks": {"inline_string": jwks(key)}, "forward": True}
    if cache_size:
        provider["jwt_cache_config"] = {"jwt_cache_size": cache_size}
    rules = [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}]
    return native("jwt_authn", "JwtAuthentication", providers={"bench": provider}, rules=rules)


def local_ratelimit() -> dict:
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    bucket = {"max_tokens": 1_000_000, "tokens_per_fill": 1_000_000, "fill_interval": "1s"}
    return native("local_ratelimit", "LocalRateLimit", stat_prefix="bench", token_bucket=bucket, filter_enabled=always, filter_enforced=always)


def lua() -> dict:
    code = 'function envoy_on_request(handle)\n  if handle:headers():get("authorization") == nil then\n    handle:respond({[":status"] = "401"}, "no token")\n  end\nend\n'
    return native("lua", "Lua", default_source_code={"inline_string": code})


def ext_authz() -> dict:
    service = {"server_uri": {"uri": "http://127.0.0.1", "cluster": "api", "timeout": "1s"}, "path_prefix": "/authorised"}
    return native("ext_authz", "ExtAuthz", http_service=service)
