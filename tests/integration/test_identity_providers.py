"""What authorization servers and identity providers write, one folder of docs/identity-providers each: its configuration,
under the documents and tokens of that folder, does what stands there.

`herdgate.json` is loaded as it is; its clusters lead to the test's own server. `documents.json` has what that server gives,
by address, and `tokens.json` the tokens and what becomes of them. In both, `{NAME.n}` is a part of a key that is made here,
and `{now+60}` a time.
"""

import base64
import hashlib
import json
import re
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from envoy import plain_cluster
from gateway import Upstreams, kind, make_gateway
from http_client import request
from processes import ROOT, wait_until
from tokens import Key, b64, forged, unb64

FOLDERS = sorted(path.parent for path in (ROOT / "docs" / "identity-providers").glob("*/herdgate.json"))


class Provider:
    """One folder, and the keys that stand for its server's."""

    def __init__(self, folder: Path):
        read = lambda name: json.loads((folder / f"{name}.json").read_text())  # noqa: E731
        self.config, self.documents = read("herdgate"), read("documents")
        self.tokens = {token["name"]: token for token in read("tokens")}
        self.keys: dict[str, Key] = {}
        self.certificates: dict[str, str] = {}
        self.kids = {kid: key for document in self.documents.values() for kid, key in kids(document).items()}

    def filled(self, value):
        """A document or a token's part with keys and times in it."""
        if isinstance(value, dict):
            return {name: self.filled(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self.filled(member) for member in value]
        if not isinstance(value, str):
            return value
        if found := re.fullmatch(r"\{now([+-]\d+)?\}", value):
            return int(time.time()) + int(found[1] or 0)
        found = re.fullmatch(r"\{([a-z]+)\.(n|e|x5c|x5t|x5t#S256|pem)\}", value)
        return self.part(*found.groups()) if found else value

    def key(self, name: str) -> Key:
        if name not in self.keys:
            self.keys[name] = Key("RS256")
            self.certificates[name] = self.keys[name].certificate()
        return self.keys[name]

    def part(self, name: str, part: str) -> str:
        key, pem = self.key(name), self.certificates[name]
        der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
        made = {
            "x5c": lambda: base64.b64encode(der).decode(),
            "x5t": lambda: b64(hashlib.sha1(der).digest()),
            "x5t#S256": lambda: b64(hashlib.sha256(der).digest()),
            "pem": lambda: pem,
        }
        return made[part]() if part in made else key.jwk()[part]

    def whole(self, name: str) -> dict:
        """A token with what it has of another one."""
        token = self.tokens[name]
        if "like" not in token:
            return token
        base = self.whole(token["like"])
        claims = {claim: value for claim, value in base["claims"].items() if claim not in token.get("without", [])}
        return {**base, **token, "header": {**base["header"], **token.get("header", {})}, "claims": {**claims, **token.get("claims", {})}}

    def text(self, name: str, key: Key | None = None, **claims) -> str:
        """A token as its client sends it, signed by the key that its header names, or by another one."""
        token = self.whole(name)
        if "text" in token:
            return token["text"]
        key = key or self.key(self.kids[token["header"]["kid"]])
        signed = key.token({**self.filled(token["claims"]), **claims}, token["header"], "RS256")
        return signed.rpartition(".")[0] + "." if token.get("unsigned") else signed

    def accepted(self) -> list[str]:
        return [name for name in self.tokens if self.whole(name)["answer"]["status"] == 200]


def kids(document: dict) -> dict[str, str]:
    """Which key is meant by which `kid`: of a JWK Set, or of certificates by `kid`."""
    named = lambda text: re.match(r"\{([a-z]+)\.", text)[1]  # noqa: E731
    if "keys" in document:
        return {jwk["kid"]: named(jwk["n"]) for jwk in document["keys"]}
    return {kid: named(text) for kid, text in document.items() if str(text).endswith(".pem}")}


def with_nulls(document: dict) -> dict:
    """A JWK Set as some servers write it: each member that a key doesn't have is `null`."""
    names = ("alg", "key_ops", "x5u", "x5t", "x5t#S256", "x5c", "crv", "x", "y", "d", "p", "q", "dp", "dq", "qi", "oth", "k")
    return {**document, "keys": [dict.fromkeys(names) | jwk for jwk in document["keys"]]} if "keys" in document else document


def with_certificates_alone(document: dict) -> dict:
    """A JWK Set whose keys stand nowhere but in their certificates, where they have some."""
    bare = lambda jwk: {name: value for name, value in jwk.items() if name not in ("n", "e") or "x5c" not in jwk}  # noqa: E731
    return {**document, "keys": [bare(jwk) for jwk in document["keys"]]} if "keys" in document else document


def clusters(config) -> set[str]:
    members = config.items() if isinstance(config, dict) else enumerate(config if isinstance(config, list) else [])
    return {name for key, value in members for name in ([value] if key == "cluster" else clusters(value))}


def at(base: str, address: str) -> str:
    """Where the test's server has the document of an address, on a host that goes by the address."""
    return f"{base}/{address.removeprefix('https://')}"


def redirected(base: str, config: dict) -> dict:
    """The same configuration for a host that has no clusters."""
    issuers = []
    for issuer in config["issuers"]:
        if issuer.get("discovery") is True:
            issuer = {**issuer, "discovery": issuer["issuer"].removesuffix("/") + "/.well-known/openid-configuration"}
        addresses = {name: at(base, issuer[name]) for name in ("discovery", "jwks_uri") if name in issuer}
        issuers.append({**issuer, **addresses, "allow_http": True})
    return {**config, "issuers": issuers}


def as_written(document: dict) -> dict:
    return document


# Each folder as it is, and the keys of two of them in other hands.
VARIANTS = [(folder, as_written) for folder in FOLDERS]
VARIANTS += [(FOLDERS[0].parent / "keycloak", hand) for hand in (with_nulls, with_certificates_alone)]
VARIANTS += [(FOLDERS[0].parent / "azure-ad-b2c", with_nulls)]


def named(variant: tuple) -> str:
    folder, hand = variant
    return folder.name if hand is as_written else f"{folder.name}-{hand.__name__.replace('_', '-')}"


@pytest.fixture(scope="module", params=VARIANTS, ids=named)
def served(request, directory, idp, api, filter_wasm):
    """A provider, and a gateway under its configuration."""
    folder, hand = request.param
    provider, base, paths = Provider(folder), idp.issuer, []
    for address, document in provider.documents.items():
        document = hand(provider.filled(document))
        path = "/" + address.removeprefix("https://")
        if kind() == "envoy":
            path = "/" + path.split("/", 2)[2]
        elif "jwks_uri" in document:
            document["jwks_uri"] = at(base, document["jwks_uri"])
        assert path not in paths, "two documents at one path"
        paths.append(path)
        idp.document(path, json.dumps(document))
    options, config = {}, provider.config
    if kind() == "envoy":
        options["extra_clusters"] = [plain_cluster(name, idp.port) for name in sorted(clusters(config))]
    else:
        config = redirected(base, config)
    gateway = make_gateway(directory / f"provider-{named(request.param)}", Upstreams(api.port, idp.port), **options)
    gateway.start(config)
    yield provider, gateway
    gateway.stop()
    for path in paths:
        idp.document(path, None)


def ask(gateway, provider: Provider, name: str, text: str | None = None):
    method, path = provider.whole(name)["request"].split(" ")
    return request(gateway.base_url + path, method, {"authorization": f"Bearer {text or provider.text(name)}"})


def test_tokens_get_what_is_written(served):
    provider, gateway = served
    wrong = {}
    for name in provider.tokens:
        wanted = provider.whole(name)["answer"]
        counter = f"herdgate.bearer.rejected.{wanted.get('reason')}"
        before = gateway.metrics().get(counter)
        answer = ask(gateway, provider, name)
        if answer.status != wanted["status"]:
            wrong[name] = f"{answer.status} {answer.header('www-authenticate')}"
            continue
        if "reason" in wanted:
            wait_until(lambda: gateway.metrics().get(counter) == before + 1, 10, f"{counter} of {name}")
        sees = wanted.get("api_sees", {})
        headers = answer.json()["headers"] if sees else {}
        if {header: headers.get(header) for header in sees} != {header: [value] for header, value in sees.items()}:
            wrong[name] = headers
    assert wrong == {}


def test_forged_and_old_ones_are_refused(served):
    """Each token that is accepted, once it is another's or over: what is written there isn't for want of looking."""
    provider, gateway = served
    for name in provider.accepted():
        good = provider.text(name)
        assert ask(gateway, provider, name, good).status == 200
        bad = {
            "one bit of the signature": forged(good),
            "a stranger's key under the same kid": provider.text(name, Key("RS256")),
            "expired": provider.text(name, exp=int(time.time()) - 120),
            "not signed": good.rpartition(".")[0] + ".",
            "another payload under the signature": swapped(good, provider.text(name, sub="root")),
        }
        assert {what: ask(gateway, provider, name, text).status for what, text in bad.items()} == dict.fromkeys(bad, 401), name


def swapped(good: str, other: str) -> str:
    """The payload of one token under the signature of another."""
    assert unb64(good.split(".")[1]) != unb64(other.split(".")[1])
    return ".".join([good.split(".")[0], other.split(".")[1], good.split(".")[2]])


def test_each_provider_shows_what_can_go_wrong(served):
    provider, _ = served
    answers = [provider.whole(name)["answer"] for name in provider.tokens]
    assert {200, 401, 403} <= {answer["status"] for answer in answers}
    assert all(("reason" in answer) == (answer["status"] != 200) for answer in answers)
    assert "wrong_audience" in {answer.get("reason") for answer in answers} or not any("audiences" in issuer for issuer in provider.config["issuers"])
    assert any("ID token" in name or "access token" in name for name in provider.tokens)


def test_the_providers_are_there():
    assert len(FOLDERS) >= 10
