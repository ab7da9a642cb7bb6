"""Envoy's own jwt_authn beside the filter, in one Envoy, over the same tokens: what is refused here and accepted there has
its reason in docs/from-jwt-authn.md, and nothing else is."""

import json
import re
from pathlib import Path

import pytest

from attacks import CATALOGUE, Attack
from envoy import Envoy, connection_manager, make_listener
from gateway import Upstreams
from http_client import request
from processes import ROOT
from tokens import jwks
from world import OWN, World

pytestmark = pytest.mark.only("envoy")

PAGE = ROOT / "docs" / "from-jwt-authn.md"
CASES = {path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "field-cases").glob("*.json"))}
JWT_AUTHN = "envoy.filters.http.jwt_authn"
OFF = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {"@type": "type.googleapis.com/google.protobuf.Empty"}, "disabled": True}
# Requests with this header are jwt_authn's to judge, all others the filter's.
THEIRS = ("x-judge", "jwt_authn")


def inline(document: str) -> dict:
    return {"local_jwks": {"inline_string": document}}


def providers(world: World) -> dict:
    """As strict as jwt_authn can be told to be."""
    strict = {"require_expiration": True, "clock_skew_seconds": 30, "forward": True}
    keys = jwks(world.rsa, world.ec, world.ed, world.pss, world.ec384)
    headers = [{"header_name": "x-user", "claim_name": "sub"}, {"header_name": "x-note", "claim_name": "note"}]
    out = {
        "own": {"issuer": OWN, "audiences": ["orders-api"], **inline(keys), **strict, "claim_to_headers": headers, "max_lifetime": "86400s"},
        "typed": {"issuer": "https://typed.example", **inline(jwks(world.rsa)), **strict},
    }
    for name, case in comparable_cases().items():
        issuer = case["config"]["issuers"][0]
        sources = [source for source in case["config"].get("bearer", {}).get("sources", []) if "header" in source]
        named = [{"name": source["header"], "value_prefix": source.get("prefix", "")} for source in sources]
        at = world.idp.document(f"/case/{name}", key_set(case))
        remote = {"remote_jwks": {"http_uri": {"uri": at, "cluster": "idp", "timeout": "5s"}}}
        out[name] = {"issuer": issuer["issuer"], "audiences": issuer.get("audiences", []), **remote, **strict, **({"from_headers": named} if named else {})}
    return out


def key_set(case: dict) -> str:
    return next(iter(case["documents"].values()))["body"]


def comparable_cases() -> dict:
    """Cases whose keys are fetched from one address."""
    return {name: case for name, case in CASES.items() if len(case["documents"]) == 1}


def comparable_attacks() -> list[Attack]:
    """Those on issuers that jwt_authn can have: it knows neither templates nor single credentials."""
    return [attack for attack in CATALOGUE if attack.path in ("/orders", "/typed")]


@pytest.fixture(scope="module")
def both(directory, idp, api, filter_wasm, world):
    config = world.config(rules=[{"match": {"path_prefix": "/typed"}, "issuers": ["typed"]}, {"match": {}, "issuers": ["own", "idp"]}])
    envoy = Envoy(directory / "differential", Upstreams(api.port, idp.port))
    listener = make_listener(config, filter_wasm, envoy.upstreams.env)
    manager = connection_manager(listener)
    wasm = next(one["name"] for one in manager["http_filters"] if "Wasm" in one["typed_config"]["@type"])
    known = providers(world)
    rules = [{"match": {"prefix": f"/c/{name}/"}, "requires": {"provider_name": name}} for name in comparable_cases()]
    rules += [{"match": {"prefix": "/typed"}, "requires": {"provider_name": "typed"}}, {"match": {"prefix": "/"}, "requires": {"provider_name": "own"}}]
    theirs = {"@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", "providers": known, "rules": rules}
    manager["http_filters"].insert(0, {"name": JWT_AUTHN, "typed_config": theirs})
    to_api = {"cluster": "api"}
    judged = {"match": {"prefix": "/", "headers": [{"name": THEIRS[0], "string_match": {"exact": THEIRS[1]}}]}, "route": to_api, "typed_per_filter_config": {wasm: OFF}}
    ours = {"match": {"prefix": "/"}, "route": to_api, "typed_per_filter_config": {JWT_AUTHN: OFF}}
    manager["route_config"] = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [judged, ours]}]}
    envoy.start_listener(listener)
    yield envoy
    envoy.stop()


def documented() -> set[str]:
    """Names of the table; one that ends in `*` stands for all that begin so."""
    table = PAGE.read_text().partition("<!-- differential -->")[2].partition("<!-- end -->")[0]
    return {name.strip() for row in re.findall(r"^\| (.+?) \|", table, re.MULTILINE)[1:] for name in row.split("; ")}


@pytest.fixture(scope="module")
def differences(both, world) -> dict[str, set[str]]:
    """By name of attack or case: what only we refuse, and what only jwt_authn does."""
    out = {"ours": set(), "theirs": set(), "both": set()}
    for attack in comparable_attacks():
        with world.same_tokens():
            control, headers = attack.control_headers(world), attack.request_headers(world)
        url = both.base_url + attack.path
        if request(url, headers=[*control, THEIRS]).status != 200:
            out["theirs"].add(f"control of {attack.name}")
            continue
        assert request(url, headers=headers).status in attack.statuses, attack.name
        out["ours" if request(url, headers=[*headers, THEIRS]).status == 200 else "both"].add(attack.name)
    for name, case in comparable_cases().items():
        sent, want = case["request"], case["want"]
        headers = [tuple(header) for header in sent["headers"]]
        status = request(f"{both.base_url}/c/{name}{sent['path']}", sent["method"], [*headers, THEIRS]).status
        we_admit, they_admit = want["status"] == 200 and want.get("grpc_status", 0) == 0, status == 200
        if we_admit != they_admit:
            out["ours" if they_admit else "theirs"].add(name)
    return out


def test_what_only_we_refuse_has_its_reason(differences):
    print("\nonly we refuse:", *sorted(differences["ours"]), sep="\n  ")
    print("only jwt_authn refuses:", *sorted(differences["theirs"]), sep="\n  ")
    names = documented()
    kinds = tuple(name.removesuffix("*") for name in names if name.endswith("*"))
    found = {next((f"{kind}*" for kind in kinds if name.startswith(kind)), name) for name in differences["ours"]}
    assert found == names


def test_most_is_refused_by_both(differences):
    """The comparison compares something: jwt_authn is no filter that lets all through."""
    assert len(differences["both"]) > 100
