"""Configurations: the contract's document loads; a bad one is refused with every mistake named and no secret shown."""

import copy
import json

import pytest

from gateway import Refused, kind
from http_client import request
from tokens import claims
from world import World

INLINE_SECRET = "hunter2-hunter2-hunter2-hunter2-hunter2"


def bad_config(world: World) -> dict:
    config = copy.deepcopy(world.config())
    config["realmm"] = "typo"
    config["issuers"][0]["algorithms"] = ["RS256", "none"]
    config["issuers"][0]["jwks_uri"] = "http://idp.example/jwks"
    del config["issuers"][0]["allow_http"]
    config["issuers"][1]["exp"] = "sometimes"
    config["issuers"][5]["credentials"]["inline"].append({"key": "device-2", "secret": INLINE_SECRET[:9]})
    config["issuers"][5]["credentials"]["inline"].append({"key": "device-3", "secrett": INLINE_SECRET})
    config["rules"][2]["issuers"] = ["nobody"]
    config["rules"][3]["match"] = {"path_prefix": "v1"}
    config["errors"] = "html"
    return config


# Each mistake of bad_config, by what its message must begin with.
MISTAKES = [
    "realmm",
    "issuers[0].algorithms",
    'issuers[0].jwks_uri: expected an https URL, got "http://idp.example/jwks"',
    "issuers[1].exp",
    "issuers[5].credentials.inline[1].secret",
    "issuers[5].credentials.inline[2].secrett",
    "rules[2].issuers",
    "rules[3].match.path_prefix",
    "errors",
]


def test_bad_configuration_is_refused_with_all_mistakes(start_gateway, world: World):
    gateway = start_gateway(None)
    world.api.reset()
    log = gateway.refuses(bad_config(world))
    for mistake in MISTAKES:
        assert mistake in log, f"{mistake} is not named in:\n{log}"
    for secret in (INLINE_SECRET, INLINE_SECRET[:9], *gateway.upstreams.env.values()):
        assert secret not in log
    assert world.api.seen() == 0


@pytest.mark.only("envoy")
def test_envoy_does_not_start_with_a_bad_configuration(start_gateway, world: World):
    """One that runs keeps what it has: Gateway.refuses."""
    log = start_gateway(None).starts_not(bad_config(world))
    assert all(mistake in log for mistake in MISTAKES), log


def test_bad_configuration_at_reload_opens_nothing(start_gateway, world: World):
    """Envoy keeps the old configuration; Kong has replaced it by then, so the filter denies everything."""
    gateway = start_gateway(world.config())
    token = {"authorization": f"Bearer {world.own()}"}
    with pytest.raises(Refused):
        gateway.reload(bad_config(world))
    world.api.reset()
    good, without = request(gateway.base_url + "/orders", headers=token).status, request(gateway.base_url + "/orders").status
    assert (good, without) == ((200, 401) if kind() == "envoy" else (503, 503))
    assert world.api.seen() == (1 if kind() == "envoy" else 0)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '"text"', '{"issuers": 5}', '{"mode":"enforce","mode":"shadow"}'])
def test_not_a_configuration(text, start_gateway):
    gateway = start_gateway(None)
    assert gateway.refuses(text)


@pytest.mark.only("envoy")
def test_struct_configuration(start_gateway, world: World):
    """Envoy hands a Struct over as JSON; whole numbers must survive that."""
    from envoy import make_listener, wasm_config

    gateway = start_gateway(None)
    config = world.config(issuers=[world.own_issuer()], rules=[], shared={"secret": {"env": "HERDGATE_SECRET"}, "tokens_max": 65536, "counters_max": 1048576})
    listener = make_listener(config, gateway.wasm, gateway.upstreams.env)
    wasm_config(listener)["configuration"] = {"@type": "type.googleapis.com/google.protobuf.Struct", "value": config}
    base = gateway.start_listener(listener)
    assert request(base + "/x", headers={"authorization": f"Bearer {world.own()}"}).status == 200
    assert request(base + "/x").status == 401


@pytest.mark.only("envoy")
def test_two_filters_in_one_virtual_machine(start_gateway, world: World):
    """Each request is held against the configuration of each filter that it meets, in one virtual machine."""
    from envoy import connection_manager, make_listener

    gateway = start_gateway(None)

    def listener(first: dict, second: dict) -> dict:
        one, two = (make_listener({"shared": {"secret": {"env": "HERDGATE_SECRET"}}, **config}, gateway.wasm, gateway.upstreams.env) for config in (first, second))
        filters = connection_manager(one)["http_filters"]
        filters.insert(1, connection_manager(two)["http_filters"][0] | {"name": "second"})
        return one

    def statuses() -> list[set[int]]:
        own, other = world.own(), world.rsa.token(claims("https://other.example"))
        pairs = [(own, other), (other, own), (own, own), (other, other), (own, None), (None, other)]
        sent = [{name: value for name, value in (("x-token", a), ("authorization", b and f"Bearer {b}")) if value} for a, b in pairs]
        # Each worker has met each of them.
        return [{request(base + "/x", headers=headers).status for _ in range(8)} for headers in sent]

    by_header = {"issuers": [world.own_issuer()], "bearer": {"sources": [{"header": "x-token"}]}}
    by_scheme = {"issuers": [{"name": "other", "issuer": "https://other.example", "algorithms": ["RS256"], "keys": [{"jwk": world.rsa.jwk()}]}]}
    base = gateway.start_listener(listener(by_header, by_scheme))
    assert statuses() == [{200}, {401}, {401}, {401}, {401}, {401}]
    # The same again after an update, in the same machine.
    by_scheme["issuers"][0]["issuer"] = world.own_issuer()["issuer"]
    gateway.replace_listener(listener(by_header, by_scheme))
    assert statuses() == [{401}, {401}, {200}, {401}, {401}, {401}]


@pytest.mark.only("envoy")
def test_shipped_example_configuration_loads(start_gateway):
    from envoy import shipped, wasm_config

    text = wasm_config(shipped()["static_resources"]["listeners"][0])["configuration"]["value"]
    gateway = start_gateway(json.loads(text))
    assert request(gateway.base_url + "/health").status == 200
    assert request(gateway.base_url + "/orders").status == 401


def contract_document(world: World) -> dict:
    """A document with nearly every field, with a real public key where it shows dots."""
    from processes import ROOT

    text = (ROOT / "tests" / "integration" / "full-document.json").read_text()
    document = json.loads(text)
    document["issuers"][1]["keys"][0]["pem"] = world.mobile.pem()
    return document


def test_contract_document_loads(start_gateway, world: World):
    gateway = start_gateway(contract_document(world))
    assert request(gateway.base_url + "/health").status == 200
    assert request(gateway.base_url + "/orders").status == 401
    assert request(gateway.base_url + "/v1", headers={"authorization": f"Bearer {world.device()}"}).status == 200

