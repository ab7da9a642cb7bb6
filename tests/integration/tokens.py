"""Mints tokens, good ones and every kind of bad one. Header and payload can be given as exact bytes.

Keys are made at run time; nothing here guards anything.
"""

import base64
import datetime
import hashlib
import hmac
import json
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1, "ES256K": ec.SECP256K1}
ML_DSA = {"ML-DSA-44": mldsa.MLDSA44PrivateKey, "ML-DSA-65": mldsa.MLDSA65PrivateKey, "ML-DSA-87": mldsa.MLDSA87PrivateKey}


def b64(data: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def as_bytes(part) -> bytes:
    """A JSON document from a dict; text and bytes as they are."""
    if isinstance(part, bytes):
        return part
    if isinstance(part, str):
        return part.encode()
    return json.dumps(part, separators=(",", ":")).encode()


class Key:
    """A signing key of one algorithm."""

    def __init__(self, alg: str, kid: str | None = None, secret: bytes | None = None, bits: int = 2048):
        self.alg = alg
        self.kid = kid
        self.secret = secret
        family = alg[:2]
        if family in ("RS", "PS"):
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        elif family == "ES":
            self.private = ec.generate_private_key(CURVES[alg]())
        elif alg in ML_DSA:
            self.private = ML_DSA[alg].generate()
        elif alg in ("EdDSA", "Ed25519"):
            self.private = ed25519.Ed25519PrivateKey.generate()
        elif family == "HS":
            self.private = None
            assert secret is not None, "an HMAC key needs a secret"
        else:
            raise ValueError(alg)

    def sign(self, message: bytes, alg: str | None = None) -> bytes:
        alg = alg or self.alg
        digest = HASHES.get(alg[2:].removesuffix("K"))
        match alg[:2]:
            case "RS":
                return self.private.sign(message, padding.PKCS1v15(), digest())
            case "PS":
                return self.private.sign(message, padding.PSS(padding.MGF1(digest()), digest().digest_size), digest())
            case "ES":
                r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(digest())))
                size = (self.private.curve.key_size + 7) // 8
                return r.to_bytes(size, "big") + s.to_bytes(size, "big")
            case "Ed" | "ML":
                return self.private.sign(message)
            case "HS":
                return hmac.new(self.secret, message, "sha" + alg[2:]).digest()
        raise ValueError(alg)

    # ---- the public half ------------------------------------------------------------------------------------------

    def pem(self) -> str:
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    def der(self) -> bytes:
        return self.private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def certificate(self) -> str:
        """The public half in a certificate that it signs itself."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "key")])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder(name, name, self.private.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(days=1))
        return builder.sign(self.private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def jwk(self, **more) -> dict:
        """The public key as a JWK (RFC 7517); the secret one of an HMAC key."""
        if self.secret is not None:
            jwk = {"kty": "oct", "k": b64(self.secret)}
        else:
            public = self.private.public_key()
            match public:
                case rsa.RSAPublicKey():
                    numbers = public.public_numbers()
                    jwk = {"kty": "RSA", "n": b64(_unsigned(numbers.n)), "e": b64(_unsigned(numbers.e))}
                case ec.EllipticCurvePublicKey():
                    numbers, size = public.public_numbers(), (public.curve.key_size + 7) // 8
                    name = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}.get(public.curve.name, public.curve.name)
                    jwk = {"kty": "EC", "crv": name, "x": b64(numbers.x.to_bytes(size, "big")), "y": b64(numbers.y.to_bytes(size, "big"))}
                case _:
                    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
                    jwk = {"kty": "AKP", "pub": b64(raw)} if self.alg in ML_DSA else {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
        return {**jwk, "alg": self.alg, "use": "sig", **({"kid": self.kid} if self.kid else {}), **more}

    # ---- tokens -----------------------------------------------------------------------------------------------------

    def header(self, **more) -> dict:
        return {"alg": self.alg, "typ": "at+jwt", **({"kid": self.kid} if self.kid else {}), **more}

    def token(self, claims, header=None, alg: str | None = None) -> str:
        """A token over exactly this header and these claims (dict, text or bytes), truly signed."""
        return self.sign_segments(b64(as_bytes(header if header is not None else self.header())), b64(as_bytes(claims)), alg)

    def sign_segments(self, header: str, payload: str, alg: str | None = None) -> str:
        """Signs two segments that are encoded already, well or badly."""
        message = f"{header}.{payload}"
        return f"{message}.{b64(self.sign(message.encode('latin-1'), alg))}"


def _unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def jwks(*keys: Key) -> str:
    return json.dumps({"keys": [key.jwk() for key in keys]})


def claims(issuer: str, audience: str | list | None = "orders-api", subject: str = "user-1", lifetime_s: float = 600, **more) -> dict:
    """Claims that everything accepts; a value of None leaves the claim out."""
    now = int(time.time())
    out = {"iss": issuer, "sub": subject, "iat": now, "exp": now + int(lifetime_s), "scope": "orders:read", "jti": _jti()}
    if audience is not None:
        out["aud"] = audience
    out.update(more)
    return {name: value for name, value in out.items() if value is not None}


_counter = 0


def _jti() -> str:
    global _counter
    _counter += 1
    return hashlib.sha256(f"{time.time_ns()}-{_counter}".encode()).hexdigest()[:16]


def forged(token: str) -> str:
    """The same token with one bit of its signature changed, still canonical base64url."""
    head, _, signature = token.rpartition(".")
    data = bytearray(unb64(signature))
    data[len(data) // 2] ^= 1
    return f"{head}.{b64(bytes(data))}"


def device_issuer(device: str = "device-42", timestamp: int | None = None) -> str:
    """The issuer of one device, as the template mobilev2-{device_id}-{timestamp} reads it."""
    return f"mobilev2-{device}-{timestamp or int(time.time())}"
