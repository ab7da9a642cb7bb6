"""Makes DPoP proofs (RFC 9449), good ones and every kind of bad one."""

import hashlib
import json
import time

from tokens import Key, _jti, b64

REQUIRED = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n"), "AKP": ("alg", "kty", "pub")}
ORIGIN = "https://api.example"


def thumbprint(jwk: dict) -> str:
    """RFC 7638."""
    members = {name: jwk[name] for name in REQUIRED[jwk["kty"]]}
    return b64(hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest())


def ath(token: str) -> str:
    return b64(hashlib.sha256(token.encode()).digest())


class Prover:
    """A client with a key of its own."""

    def __init__(self, alg: str = "ES256"):
        self.key = Key(alg)
        self.jwk = {name: value for name, value in self.key.jwk().items() if name not in ("use", "kid")}
        if alg not in ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87"):
            self.jwk.pop("alg")
        self.jkt = thumbprint(self.jwk)

    @property
    def cnf(self) -> dict:
        return {"jkt": self.jkt}

    def proof(self, token: str | None, path: str = "/orders", method: str = "GET", header: dict | None = None, origin: str = ORIGIN, key: Key | None = None, **more) -> str:
        """A proof for this request; a claim that is None is left out."""
        claims = {"jti": _jti(), "htm": method, "htu": origin + path, "iat": int(time.time())}
        if token is not None:
            claims["ath"] = ath(token)
        claims = {name: value for name, value in {**claims, **more}.items() if value is not None}
        head = {"typ": "dpop+jwt", "alg": self.key.alg, "jwk": self.jwk, **(header or {})}
        return (key or self.key).token(claims, {name: value for name, value in head.items() if value is not None})

    def headers(self, token: str, path: str = "/orders", method: str = "GET", **more) -> dict:
        return {"authorization": f"DPoP {token}", "dpop": self.proof(token, path, method, **more)}
