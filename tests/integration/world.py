"""The keys, issuers and rules that the integration cases share: one configuration, the same on every host."""

import json
from contextlib import contextmanager

from gateway import SECRETS
from servers import Api, Idp
from tokens import Key, claims, device_issuer

OWN = "https://own.example"
TEMPLATE = "mobilev2-{device_id}-{timestamp}"
LEGACY_SECRET = "legacy-device-secret-of-32-bytes-or-more"
LOOKUP_SECRET = "looked-up-device-secret-of-32-bytes-or-more"


class World:
    """Everything outside the gateway: servers, keys, and the configuration that names them."""

    def __init__(self, idp: Idp, api: Api):
        self.idp = idp
        self.api = api
        self._made: dict | None = None
        # An issuer of our own, with a key of each kind, so that a test can sign whatever it likes.
        self.rsa = Key("RS256", "rsa-1")
        self.ec = Key("ES256", "ec-1")
        self.ed = Key("EdDSA", "ed-1")
        self.pss = Key("PS256", "pss-1")
        self.ec384 = Key("ES384", "ec384-1")
        # The devices' one key, the registration secret, and two credentials of the old kind.
        self.mobile = Key("RS256")
        self.register = Key("HS256", secret=SECRETS["REGISTER_SECRET"].encode())
        self.legacy = Key("HS256", secret=LEGACY_SECRET.encode())
        self.looked_up = Key("HS256", secret=LOOKUP_SECRET.encode())
        # An attacker's key, which nothing trusts.
        self.stranger = Key("RS256", "rsa-1")
        self._serve_credential("device-9", LOOKUP_SECRET)

    def own(self, key: Key | None = None, header=None, **more) -> str:
        """A good token of our own issuer, but for what `more` and `header` say."""
        return self._once(("own", id(key), repr(header), repr(more)), lambda: (key or self.rsa).token(claims(OWN, **more), header))

    def device(self, issuer: str | None = None, key: Key | None = None, **more) -> str:
        """A token of one device; there is one issuer for each."""
        make = lambda: (key or self.mobile).token(claims(issuer or device_issuer(), audience=None, **more), {"alg": "RS256", "typ": "JWT"})  # noqa: E731
        return self._once(("device", issuer, id(key), repr(more)), make)

    def hmac(self, key: Key, issuer: str, **more) -> str:
        make = lambda: key.token(claims(issuer, audience=None, **more), {"alg": "HS256", "typ": "JWT"})  # noqa: E731
        return self._once(("hmac", id(key), issuer, repr(more)), make)

    @contextmanager
    def same_tokens(self):
        """Who asks for the same token twice in here gets the very same bytes, and not a new one of its kind."""
        self._made = {}
        try:
            yield
        finally:
            self._made = None

    def _once(self, name: tuple, make) -> str:
        if self._made is None:
            return make()
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def idp_issuer(self, **more) -> dict:
        return {
            "name": "idp",
            "issuer": self.idp.issuer,
            "jwks_uri": self.idp.jwks_uri,
            "allow_http": True,
            "cluster": "idp",
            "audiences": ["orders-api"],
            "algorithms": ["RS256", "ES256"],
            "forward": {"claims": {"sub": "x-user"}},
            **more,
        }

    def own_issuer(self, **more) -> dict:
        return {
            "name": "own",
            "issuer": OWN,
            "algorithms": ["RS256", "ES256", "ES384", "EdDSA", "PS256"],
            "keys": [{"jwk": key.jwk()} for key in (self.rsa, self.ec, self.ed, self.pss, self.ec384)],
            "audiences": ["orders-api", "special-api"],
            "lifetime_s_max": 86400,
            "forward": {"claims": {"sub": "x-user", "realm.roles": "x-roles", "note": "x-note"}},
            **more,
        }

    def config(self, **more) -> dict:
        """The configuration of the main table of cases."""
        return {
            "realm": "api",
            "issuers": [
                self.idp_issuer(),
                self.own_issuer(),
                {"name": "typed", "issuer": "https://typed.example", "algorithms": ["RS256"], "keys": [{"jwk": self.rsa.jwk()}], "typ": "at+jwt"},
                {"name": "mobile", "issuer": TEMPLATE, "algorithms": ["RS256"], "keys": [{"pem": self.mobile.pem()}], "consumer": "mobile"},
                {"name": "register", "issuer": "mobile-app", "algorithms": ["HS256"], "keys": [{"secret": {"env": "REGISTER_SECRET"}}]},
                {
                    "name": "legacy",
                    "issuer": "*",
                    "algorithms": ["HS256"],
                    "sunset": "2099-06-30",
                    "credentials": {
                        "inline": [{"key": "device-1", "secret": LEGACY_SECRET, "consumer": "mobile_device"}],
                        "lookup": {
                            "uri": f"{self.idp.issuer}/jwts/{{key}}",
                            "allow_http": True,
                            "cluster": "kong_admin",
                            "ttl_s": 600,
                            "negative_ttl_s": 1,
                        },
                    },
                },
                {
                    "name": "past",
                    "issuer": "https://past.example",
                    "algorithms": ["RS256"],
                    "keys": [{"jwk": self.rsa.jwk()}],
                    "sunset": "2020-01-01",
                },
            ],
            "rules": [
                {"match": {"path_prefix": "/health"}, "access": "public"},
                {"match": {"path_prefix": "/maybe"}, "access": "optional", "issuers": ["own"]},
                {"match": {"path": "/v1/device/register", "methods": ["POST"]}, "issuers": ["register"]},
                {"match": {"path_prefix": "/v1"}, "issuers": ["mobile", "legacy", "past"]},
                {"match": {"path_prefix": "/orders", "methods": ["POST"]}, "issuers": ["idp", "own"], "scopes_all": ["orders:read", "orders:write"]},
                {"match": {"path_prefix": "/orders"}, "issuers": ["idp", "own"], "scopes_all": ["orders:read"]},
                {"match": {"path_prefix": "/any"}, "scopes_any": ["a", "b"]},
                {"match": {"path_template": "/items/{id}/parts"}, "issuers": ["own"]},
                {"match": {"path_prefix": "/gold"}, "claims": {"acr": ["gold", "platinum"]}},
                {"match": {"path_prefix": "/special"}, "audiences": ["special-api"]},
                {"match": {"path_prefix": "/hosted", "hosts": ["admin.example"]}, "issuers": ["own"]},
                {"match": {"path_prefix": "/typed"}, "issuers": ["typed"]},
                {"match": {"path": "/submit", "methods": ["POST"]}, "issuers": ["own"]},
                {"match": {"path_prefix": "/watched"}, "issuers": ["own"], "shadow": True},
            ],
            "shared": {"secret": {"env": "HERDGATE_SECRET"}},
            **more,
        }

    def _serve_credential(self, key: str, secret: str) -> None:
        """What Kong's Admin API answers at /jwts/{key}."""
        credential = {"id": "1b6f2f2e-0000-4000-8000-000000000001", "key": key, "secret": secret, "algorithm": "HS256", "tags": None}
        self.idp.document(f"/jwts/{key}", json.dumps({**credential, "consumer": {"id": "1b6f2f2e-0000-4000-8000-000000000002"}}))
