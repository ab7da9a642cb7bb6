"""The resources of examples/ for Istio, Envoy Gateway and Higress: their fields are those of the CRDs, and the listener
that each control plane would make of them does its work in a real Envoy."""

import copy
import json

import pytest
import yaml

from control_planes import SPECS, configuration_of, http_filter, unknown_fields
from envoy import connection_manager, loopback, plain_cluster, shipped
from gateway import WASM
from http_client import form, request
from processes import ROOT, wait_until
from servers import token_headers

# They are Envoys all.
pytestmark = pytest.mark.only("envoy")

EXAMPLES = ROOT / "examples"
PLUGINS = [
    "istio/traffic-extension.yaml",
    "istio/wasm-plugin.yaml",
    "envoy-gateway/herdgate.yaml",
    "higress/herdgate.yaml",
]
ENVOY_FILTER = "istio/token-endpoints.yaml"


def resources(file: str) -> list[dict]:
    return list(yaml.safe_load_all((EXAMPLES / file).read_text()))


def plugin(file: str) -> dict:
    [resource] = resources(file)
    return resource


def here(configuration: dict, idp) -> str:
    """The example's configuration with this run's server in the place of idp.example. Gives its cluster's name."""
    [issuer] = configuration["issuers"]
    issuer.update(issuer=idp.issuer, jwks_uri=idp.jwks_uri, allow_http=True)
    return issuer["cluster"]


def listener_with(http_filter: dict, of_routes: dict) -> dict:
    """The shipped listener with the control plane's filter in the place of its own."""
    listener = copy.deepcopy(shipped()["static_resources"]["listeners"][0])
    listener["address"] = loopback(0)
    manager = connection_manager(listener)
    manager["http_filters"] = [http_filter, manager["http_filters"][-1]]
    if of_routes:
        for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
            route["typed_per_filter_config"] = of_routes
    return listener


@pytest.fixture
def start(start_gateway, idp):
    """start(listener, cluster): Envoy with that listener, a cluster of that name, and the secret in its environment."""

    def run(listener: dict, cluster: str):
        gateway = start_gateway(None, extra_clusters=[plain_cluster(cluster, idp.port)])
        gateway.start_listener(listener)
        return gateway

    return run


def bearer(token: str) -> dict:
    return {"authorization": f"Bearer {token}"}


def token_call(gateway):
    fields = {"grant_type": "client_credentials", "scope": "orders:read", "resource": "https://orders.example"}
    return request(gateway.base_url + "/oauth2/token", "POST", token_headers("client-a"), form(**fields), timeout=20)


@pytest.mark.parametrize("file", PLUGINS)
def test_fields_are_those_of_the_crd(file):
    resource = plugin(file)
    assert resource.keys() == {"apiVersion", "kind", "metadata", "spec"}
    allowed = SPECS[resource["apiVersion"], resource["kind"]]
    assert unknown_fields(resource["spec"], allowed) == []
    resource["spec"]["failureStrategy"] = "FAIL_RELOAD"
    assert unknown_fields(resource["spec"], allowed) == ["spec.failureStrategy"]


@pytest.mark.parametrize("file", PLUGINS)
def test_tokens_are_judged(file, start, world, idp, counted):
    resource = plugin(file)
    cluster = here(configuration_of(resource), idp)
    gateway = start(listener_with(*http_filter(resource, WASM)), cluster)
    good = world.idp.token()
    # The first of all waits for the JWK Set, and its body with it, although the filter can't hold a body back.
    first = request(gateway.base_url + "/orders", "POST", bearer(good), b"x" * 5000)
    assert (first.status, first.json()["body_bytes"]) == (200, 5000)
    assert first.json()["headers"]["x-user"] == ["client-a"]
    assert idp.requests("/jwks") == 1
    assert request(gateway.base_url + "/orders", headers=bearer(good)).status == 200
    assert request(gateway.base_url + "/orders").status == 401
    assert request(gateway.base_url + "/orders", headers=bearer(good[:-20] + "A" * 20)).status == 401
    assert request(gateway.base_url + "/orders/1", headers=bearer(world.idp.token(scope="orders:write"))).status == 403
    assert request(gateway.base_url + "/nothing", headers=bearer(good)).status == 403
    assert request(gateway.base_url + "/health").status == 200
    # A token call passes.
    answer = token_call(gateway)
    assert answer.status == 200 and answer.json()["access_token"]


def test_without_the_flag_no_body_comes_and_that_is_said(start, world, idp):
    """What happens to who configures a token endpoint there all the same: nobody hangs."""
    resource = plugin("istio/wasm-plugin.yaml")
    configuration = configuration_of(resource)
    cluster = here(configuration, idp)
    configuration["token_endpoints"] = [{"path": "/oauth2/token"}]
    gateway = start(listener_with(*http_filter(resource, WASM)), cluster)
    answer = token_call(gateway)
    assert (answer.status, answer.json()["error"]) == (408, "invalid_request")
    wait_until(lambda: "allow_on_headers_stop_iteration" in gateway.log(), 5, "a line of the log")


def test_an_envoy_filter_answers_token_calls_from_memory(start, world, idp, counted):
    [resource] = resources(ENVOY_FILTER)
    [patch] = resource["spec"]["configPatches"]
    http_filter = patch["patch"]["value"]
    config = http_filter["typed_config"]["config"]
    configuration = json.loads(config["configuration"]["value"])
    cluster = here(configuration, idp)
    config["configuration"]["value"] = json.dumps(configuration)
    config["vm_config"]["code"]["local"]["filename"] = str(WASM)
    gateway = start(listener_with(http_filter, {}), cluster)
    answers = [token_call(gateway) for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert len({answer.json()["access_token"] for answer in answers}) == 1
    assert idp.requests("/oauth2/token") == 1
    token = answers[0].json()["access_token"]
    assert request(gateway.base_url + "/orders", headers=bearer(token)).status == 200
    assert request(gateway.base_url + "/orders", headers=bearer(token[:-20] + "A" * 20)).status == 401
