#!/usr/bin/env python3
"""How long a real Envoy takes to refuse an encrypted token, by what is wrong with it.

    .tools/venv/bin/python -B tests/integration/decryption_times.py [ROUNDS]

One worker, one connection; in each round every kind is sent once, in shuffled order. Prints medians and quartiles in
microseconds: what differs here is what a client with a clock could learn. docs/encrypted-tokens.md has the figures.
"""

import hashlib
import hmac
import http.client
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from joserfc import jwe
from joserfc.jwk import ECKey, OctKey, RSAKey

from envoy import Envoy, make_listener
from gateway import SECRETS, WASM, Upstreams
from tokens import Key, as_bytes, b64, claims, unb64

ISSUER, BARE = "https://own.example", "https://bare.example"
RSA = RSAKey.generate_key(2048, private=True)
EC = ECKey.generate_key("P-256", private=True)
SECRET = bytes(range(32))
REFUSAL = b"encryption is not accepted"


def sealed(inside, key, alg: str, enc: str, kid: str) -> str:
    header = {"alg": alg, "enc": enc, "kid": kid}
    return jwe.encrypt_compact(header, inside, key, algorithms=[alg, enc])


def flipped(token: str, at: int) -> str:
    parts = token.split(".")
    changed = bytearray(unb64(parts[at]))
    changed[-1] ^= 1
    parts[at] = b64(bytes(changed))
    return ".".join(parts)


def with_cbc(text: bytes) -> str:
    """A128CBC-HS256 under the shared secret, with a good tag, of whole blocks as they are given (RFC 7518, section 5.2)."""
    header = b64(as_bytes({"alg": "dir", "enc": "A128CBC-HS256", "kid": "shared"}))
    iv = bytes(16)
    encryptor = Cipher(algorithms.AES(SECRET[16:]), modes.CBC(iv)).encryptor()
    sealed_text = encryptor.update(text) + encryptor.finalize()
    bits = (len(header) * 8).to_bytes(8, "big")
    tag = hmac.new(SECRET[:16], header.encode() + iv + sealed_text + bits, hashlib.sha256).digest()[:16]
    return ".".join([header, "", b64(iv), b64(sealed_text), b64(tag)])


def rsa_padded(first: int, label: bytes, key: bytes) -> bytes:
    """What is encrypted so to the RSA key (RFC 8017, section 7.1.1)."""
    def mask(seed: bytes, size: int) -> bytes:
        blocks = (hashlib.sha256(seed + n.to_bytes(4, "big")).digest() for n in range(size // 32 + 1))
        return b"".join(blocks)[:size]

    def xor(a: bytes, b: bytes) -> bytes:
        return bytes(x ^ y for x, y in zip(a, b))

    block = hashlib.sha256(label).digest() + bytes(256 - 66 - len(key)) + b"\x01" + key
    seed = random.randbytes(32)
    masked = xor(block, mask(seed, len(block)))
    encoded = bytes([first]) + xor(seed, mask(masked, 32)) + masked
    numbers = RSA.public_key.public_numbers()
    return pow(int.from_bytes(encoded, "big"), numbers.e, numbers.n).to_bytes(256, "big")


def with_key(token: str, encrypted_key: bytes) -> str:
    parts = token.split(".")
    return ".".join([parts[0], b64(encrypted_key), *parts[2:]])


def kinds(signer: Key, stranger: Key) -> dict[str, dict[str, str]]:
    """Tokens by algorithm and by what is wrong with them."""
    inside = signer.token(claims(ISSUER))
    text = as_bytes(claims(BARE))
    whole = text + b" " * (-len(text) % 16)
    agreed, rsa = ("ECDH-ES+A256KW", "A256GCM"), ("RSA-OAEP-256", "A256GCM")
    good_agreed, good_rsa = sealed(inside, EC, *agreed, "ec"), sealed(inside, RSA, *rsa, "rsa")
    padded = whole + bytes([16] * 16)
    return {
        "ECDH-ES+A256KW, A256GCM": {
            "another tag": flipped(good_agreed, 4),
            "another ciphertext": flipped(good_agreed, 3),
            "a key wrapped wrongly": flipped(good_agreed, 1),
            "made for another key": sealed(inside, ECKey.generate_key("P-256"), *agreed, "ec"),
            "no signature inside": sealed(as_bytes(claims(ISSUER)), EC, *agreed, "ec"),
            "a kid that no key has": sealed(inside, EC, *agreed, "gone"),
            "a bad signature inside (told as such)": sealed(stranger.token(claims(ISSUER)), EC, *agreed, "ec"),
        },
        "dir, A128CBC-HS256": {
            "another tag": flipped(with_cbc(padded), 4),
            "padding of zeros under a good tag": with_cbc(whole + bytes(16)),
            "padding of 17 under a good tag": with_cbc(whole + bytes([17] * 16)),
            "claims of another issuer": with_cbc(as_bytes(claims(ISSUER)).ljust(len(whole)) + bytes([16] * 16)),
        },
        "RSA-OAEP-256, A256GCM": {
            "another tag": flipped(good_rsa, 4),
            "a ciphertext of chance": with_key(good_rsa, b"\x00" + random.randbytes(255)),
            "a first byte that isn't zero": with_key(good_rsa, rsa_padded(1, b"", bytes(32))),
            "another label": with_key(good_rsa, rsa_padded(0, b"label", bytes(32))),
            "a key of another length": with_key(good_rsa, rsa_padded(0, b"", bytes(16))),
            "padded rightly, another key": with_key(good_rsa, rsa_padded(0, b"", bytes(32))),
            "made for another key": sealed(inside, RSAKey.generate_key(2048), *rsa, "rsa"),
            "not below the modulus": with_key(good_rsa, b"\xff" * 256),
            "a kid that no key has": sealed(inside, RSA, *rsa, "gone"),
        },
    }


def config(signer: Key) -> dict:
    own = {"name": "own", "issuer": ISSUER, "algorithms": ["RS256"], "keys": [{"jwk": signer.jwk()}], "encrypted": "allow"}
    bare = {"name": "bare", "issuer": BARE, "encrypted": "authenticates"}
    secret = {"kty": "oct", "k": b64(SECRET), "kid": "shared"}
    keys = [
        {"jwk": {**EC.as_dict(private=True), "kid": "ec"}, "issuers": ["own"], "algorithms": ["ECDH-ES+A256KW"]},
        {"jwk": {**RSA.as_dict(private=True), "kid": "rsa"}, "issuers": ["own"], "algorithms": ["RSA-OAEP-256"], "allow_rsa_oaep": True},
        {"jwk": secret, "issuers": ["bare"], "algorithms": ["dir"]},
    ]
    return {"issuers": [own, bare], "decryption": {"keys": keys}, "shared": {"secret": SECRETS["HERDGATE_SECRET"]}}


def ask(connection: http.client.HTTPConnection, token: str) -> tuple[float, bytes]:
    """Microseconds until the answer is there, and its challenge."""
    started = time.perf_counter_ns()
    connection.request("GET", "/orders/1", headers={"authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read()
    took = (time.perf_counter_ns() - started) / 1000
    assert answer.status == 401, (answer.status, token)
    return took, (answer.getheader("www-authenticate") or "").encode()


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    signer, stranger = Key("RS256", "rsa-1"), Key("RS256", "rsa-1")
    tokens = {(alg, kind): token for alg, of in kinds(signer, stranger).items() for kind, token in of.items()}
    took: dict[tuple[str, str], list[float]] = {name: [] for name in tokens}
    with tempfile.TemporaryDirectory() as directory:
        gateway = Envoy(Path(directory), Upstreams(0, 0), workers=1)
        try:
            gateway.start_listener(make_listener(config(signer), WASM, SECRETS))
            connection = http.client.HTTPConnection(gateway.base_url.removeprefix("http://"))
            for _ in range(rounds + 20):
                for name in random.sample(sorted(tokens), len(tokens)):
                    us, challenge = ask(connection, tokens[name])
                    assert (REFUSAL in challenge) != ("told as such" in name[1]), (name, challenge)
                    took[name].append(us)
        finally:
            gateway.stop()
    for alg in dict.fromkeys(alg for alg, _ in tokens):
        print(f"{alg}\n\n| what is wrong | median us | quartiles |\n|---|---|---|")
        for (of, kind), all_us in took.items():
            if of == alg:
                low, middle, high = statistics.quantiles(all_us[20:], n=4)
                print(f"| {kind} | {middle:.0f} | {low:.0f}-{high:.0f} |")
        print()


if __name__ == "__main__":
    main()
