"""Suites that are ratios: each variant beside no filter and an empty one, in one run."""

from envoy import make_listener
from gateway import SECRETS
from servers import token_headers
from token_calls import body_of

from bench_suites import configs
from bench_suites.configs import MANY, Stock
from bench_suites.measure import BEARER, EMPTY, EMPTY_CALLBACKS, EMPTY_CALLS, TOKENS, Variant, filtered, herdgate

HIT = "herdgate.bearer.l1_hit"
SHARED_HIT = "herdgate.bearer.l2_hit"
VERIFIED = "herdgate.bearer.verified"
VERIFIED_BY_HOST = "herdgate.bearer.verified_by_host"
TOKEN_HIT = "herdgate.token.hit"
# Of the module that makes the same host calls and nothing else.
CALLED = "calls.accepted"
LIMITED = "calls.limited"


def yardsticks(stock: Stock) -> list[Variant]:
    return [Variant("none", filtered(None), stock.one), Variant("empty filter", make_listener({}, EMPTY, SECRETS), stock.one)]


def hot(stock: Stock) -> list[Variant]:
    rs, one, many = stock.rs, stock.one, stock.many(stock.rs)
    return [
        *yardsticks(stock),
        Variant("empty filter with Herdgate's callbacks", make_listener({}, EMPTY_CALLBACKS, SECRETS), one),
        Variant("Herdgate's host calls alone", make_listener({}, EMPTY_CALLS, SECRETS), one, CALLED),
        Variant("herdgate, one token", herdgate(configs.plain(rs)), one, HIT),
        Variant("herdgate-bearer, one token", herdgate(configs.plain(rs), BEARER), one, HIT),
        Variant("herdgate, 10,000 tokens", herdgate(configs.plain(rs)), many, HIT),
        Variant("herdgate, rules, claim, revocation", herdgate(configs.full(rs)), one, HIT),
        Variant("herdgate, rules, claim, revocation, a limit", herdgate(configs.full_and_limited(rs)), one, HIT),
        *([] if stock.quick else [Variant("herdgate, known to another worker, EdDSA", herdgate(configs.small_memory(stock.ed)), stock.many(stock.ed), SHARED_HIT, long=True)]),
        Variant("herdgate, opaque, hot", herdgate(configs.opaque()), stock.opaque, HIT),
        Variant("herdgate, encrypted, hot", herdgate(configs.encrypted(rs)), stock.sealed, HIT),
        # Its tokens are made in a long form alone: sealing them takes half a minute.
        *([] if stock.quick else [Variant("herdgate, encrypted, opened anew", herdgate(configs.encrypted(rs, memory={"tokens_max": 1})), stock.many(rs, TOKENS, configs.sealed), VERIFIED_BY_HOST, long=True)]),
        Variant("herdgate, DPoP, ES256 by Envoy", herdgate(configs.bound(rs)), stock.bound, HIT, prover=stock.prover),
        Variant("jwt_authn", filtered(configs.jwt_authn(rs)), one),
        Variant("jwt_authn with its cache", filtered(configs.jwt_authn(rs, 100)), one),
        Variant("jwt_authn with its cache, 10,000 tokens", filtered(configs.jwt_authn(rs, TOKENS)), many),
    ]


def cold(stock: Stock) -> list[Variant]:
    """Each token is new, or was forgotten since."""
    out = yardsticks(stock)
    for key, by, way in [(stock.rs, " by Envoy", VERIFIED_BY_HOST), (stock.ec, "", VERIFIED), (stock.ed, "", VERIFIED)]:
        tokens = stock.many(key)
        out.append(Variant(f"herdgate, new tokens, {key.alg}{by}", herdgate(configs.small_memory(key, tokens_max=16)), tokens, way))
        if key.alg != "EdDSA":
            out.append(Variant(f"the same host calls alone, {key.alg}", make_listener(configs.host_calls(key), EMPTY, SECRETS), tokens))
        out.append(Variant(f"jwt_authn, {key.alg}", filtered(configs.jwt_authn(key)), tokens))
    return out


def many(stock: Stock) -> list[Variant]:
    tokens = stock.many(stock.ec, MANY)
    return [
        *yardsticks(stock),
        Variant("herdgate, 100,000 tokens", herdgate(configs.roomy(stock.ec)), tokens, HIT),
        Variant("jwt_authn with its cache, 100,000 tokens", filtered(configs.jwt_authn(stock.ec, MANY)), tokens),
    ]


def limits(stock: Stock) -> list[Variant]:
    rs, one = stock.rs, stock.one
    subject, address, issuer = ["issuer", "subject"], ["address"], ["issuer"]
    return [
        *yardsticks(stock),
        Variant("Herdgate's host calls alone", make_listener({}, EMPTY_CALLS, SECRETS), one, CALLED),
        Variant("herdgate, no limit", herdgate(configs.limited(rs)), one, HIT),
        Variant("Herdgate's host calls alone, one limit", make_listener({"limit": True}, EMPTY_CALLS, SECRETS), one, LIMITED),
        Variant("herdgate, one limit", herdgate(configs.limited(rs, subject)), one, HIT),
        Variant("herdgate, three limits", herdgate(configs.limited(rs, subject, address, issuer)), one, HIT),
        Variant("herdgate, a limit with two tiers", herdgate(configs.limited(rs, subject, **configs.TIERS)), one, HIT),
        Variant("local_ratelimit", filtered(configs.local_ratelimit()), one),
    ]


def paths(stock: Stock) -> list[Variant]:
    """What is answered or known from memory, beside a hot JWT."""
    call = {"header": [f"authorization: {token_headers('client-a')['authorization']}", "content-type: application/x-www-form-urlencoded"], "body": body_of()}
    return [
        *yardsticks(stock),
        Variant("herdgate, one token", herdgate(configs.plain(stock.rs)), stock.one, HIT),
        Variant("herdgate, introspected, hot", herdgate(configs.introspected(stock.rs)), stock.one, HIT),
        Variant("herdgate, opaque, hot", herdgate(configs.opaque()), stock.opaque, HIT),
        Variant("none, token call", filtered(None), stock.one, path="/oauth2/token", send=call),
        Variant("herdgate, token call, hit", herdgate(configs.token_calls()), stock.one, TOKEN_HIT, path="/oauth2/token", send=call),
    ]


def others(stock: Stock) -> list[Variant]:
    return [
        *yardsticks(stock),
        Variant("herdgate, one token", herdgate(configs.plain(stock.rs)), stock.one, HIT),
        Variant("lua, a header looked at", filtered(configs.lua()), stock.one),
        Variant("ext_authz, a service that says yes", filtered(configs.ext_authz()), stock.one),
        Variant("jwt_authn with its cache", filtered(configs.jwt_authn(stock.rs, 100)), stock.one),
    ]


# Name: (variants, title, requests a round; None: as the command says).
SUITES = {
    "hot": (hot, "Hot tokens", None),
    "cold": (cold, "New tokens", None),
    "many": (many, "100,000 tokens", MANY),
    "limits": (limits, "Limits", None),
    "paths": (paths, "Introspection, opaque tokens, token calls", None),
    "others": (others, "Beside other ways", None),
}
