"""The configuration that the demo starts with."""

from token_calls import TOKEN_PATH


def idp_issuer(scene, **changed) -> dict:
    return {
        "name": "idp",
        "issuer": scene.idp.issuer,
        "jwks_uri": scene.idp.jwks_uri,
        "allow_http": True,
        "cluster": "idp",
        "audiences": ["orders-api"],
        "algorithms": ["RS256", "ES256"],
        "jwks": {"ttl_s": 2, "refetch_s": 1},
        "forward": {"claims": {"sub": "x-user"}},
        **changed,
    }


def rules() -> list[dict]:
    return [
        {"match": {"path_prefix": "/health"}, "access": "public"},
        {"match": {"path_prefix": "/v1"}, "issuers": ["mobile"], "limits": ["per-device"]},
        {"match": {"path_prefix": "/orders"}, "issuers": ["idp"], "scopes_all": ["orders:read"]},
    ]


def config(scene, token_limit: int = 10_000, **changed) -> dict:
    """The configuration, with other parts in place of some of its own."""
    return {
        "realm": "demo",
        "issuers": [
            idp_issuer(scene),
            {
                "name": "mobile",
                "issuer": "mobilev2-{device_id}-{timestamp}",
                "algorithms": ["RS256"],
                "keys": [{"pem": scene.mobile.pem()}],
                "consumer": "mobile",
            },
        ],
        "rules": rules(),
        "token_endpoints": [
            {
                "path": TOKEN_PATH,
                "revocation_path": "/oauth2/revoke",
                "limits": ["token-calls", "token-address"],
            },
        ],
        "rate_limits": [
            {
                "name": "token-calls",
                "key": ["client_id", "address"],
                "limit": token_limit,
                "per_s": 1,
            },
            {"name": "token-address", "key": ["address"], "limit": 10_000, "per_s": 1},
            {"name": "per-device", "key": ["issuer"], "limit": 5, "per_s": 60},
        ],
        # Shows herdgate-cache: hit, miss, shared or bypass.
        "debug_headers": True,
        "shared": {"secret": {"env": "HERDGATE_SECRET"}},
        **changed,
    }
