"""The examples that are files of gateways: what they mount is there, images are named by version, and what a compose file
starts does its work."""

import copy
import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

import doc_tables
from envoy import connection_manager, loopback, plain_cluster, wasm_config
from gateway import WASM
from http_client import form, request
from kong import KongHost
from processes import ROOT
from servers import token_headers

EXAMPLES = ROOT / "examples"
COMPOSE = [ROOT / "kong/compose.yaml", EXAMPLES / "compose-envoy/compose.yaml", EXAMPLES / "kong-hybrid/compose.yaml"]
# Made by certificates.sh, and never in the repository.
MADE = {EXAMPLES / "kong-hybrid/certificates", ROOT / "dist/herdgate.wasm"}
envoy_alone = pytest.mark.only("envoy")
compose_files = pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.parent.name)


def services(file) -> dict:
    return yaml.safe_load(file.read_text())["services"]


@envoy_alone
@compose_files
def test_what_is_mounted_is_there(file):
    mounts = [mount.split(":") for service in services(file).values() for mount in service.get("volumes", [])]
    assert mounts
    for source, target, mode in mounts:
        assert mode == "ro" and target.startswith("/")
        path = (file.parent / source).resolve()
        assert path in MADE or path.exists(), source
    for service in services(file).values():
        if "env_file" in service:
            assert (file.parent / service["env_file"]).exists()


@envoy_alone
@compose_files
def test_images_are_named_by_version(file):
    for name, service in services(file).items():
        assert re.search(r"@sha256:[0-9a-f]{64}$|:v?\d+\.\d+(\.\d+)?$", service["image"]), name


@envoy_alone
@compose_files
def test_ports_are_those_of_loopback(file):
    for service in services(file).values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@envoy_alone
@compose_files
def test_compose_reads_it(file):
    # It is docker's own command, or one by itself (the packages docker-compose-plugin and docker-compose).
    tools = (tool for tool in (["docker", "compose"], ["docker-compose"]) if shutil.which(tool[0]))
    compose = next((tool for tool in tools if subprocess.run([*tool, "version"], capture_output=True).returncode == 0), None)
    if not compose:
        pytest.skip("docker compose is missing: the files were read as YAML alone")
    env = {"PATH": os.environ["PATH"], "HERDGATE_SECRET": "s" * 32, "KONG_PG_PASSWORD": "p", "HOME": "/root"}
    done = subprocess.run([*compose, "-f", file, "config", "--services"], env=env, capture_output=True, text=True)
    # Not by its code alone: one that comes as a Python package ends with 0 whatever it found.
    assert (done.returncode, set(done.stdout.split())) == (0, set(services(file))), done.stderr


@envoy_alone
def test_the_dashboard_asks_for_metrics_that_exist():
    text = (EXAMPLES / "compose-envoy/grafana/herdgate.json").read_text()
    known = {re.sub(r"\.(REASON|NAME)\b", "", name).replace(".", "_") for name, _ in doc_tables.metrics()}
    asked = set(re.findall(r"\bherdgate_\w+", text))
    assert len(asked) >= 6 and asked <= known


@envoy_alone
def test_the_document_for_service_extensions_loads(tmp_path):
    [block] = re.findall(r"^```json\n(.*?)^```", (ROOT / "docs/service-extensions.md").read_text(), re.DOTALL | re.MULTILINE)
    file = tmp_path / "herdgate.json"
    file.write_text(block)
    done = subprocess.run([ROOT / "scripts/check", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@envoy_alone
def test_compose_envoy_does_its_work(start_gateway, idp, world, counted):
    """Its listener, with this run's server in Keycloak's place."""
    document = yaml.safe_load((EXAMPLES / "compose-envoy/envoy.yaml").read_text())
    listener = copy.deepcopy(document["static_resources"]["listeners"][0])
    listener["address"] = loopback(0)
    plugin = wasm_config(listener)
    plugin["vm_config"]["code"]["local"]["filename"] = str(WASM)
    config = json.loads(plugin["configuration"]["value"])
    config["issuers"][0].update(issuer=idp.issuer, jwks_uri=idp.jwks_uri)
    # Keycloak's path leads to this server's.
    path = config["token_endpoints"][0]["path"]
    token_route = connection_manager(listener)["route_config"]["virtual_hosts"][0]["routes"][0]
    token_route["match"] = {"path": path}
    token_route["route"]["regex_rewrite"] = {"pattern": {"regex": "^.*$"}, "substitution": "/oauth2/token"}
    plugin["configuration"]["value"] = json.dumps(config)
    gateway = start_gateway(None, extra_clusters=[plain_cluster("server", idp.port, per_connection_buffer_limit_bytes=32768)])
    gateway.start_listener(listener)
    judge(gateway.base_url, path, idp)


def judge(base: str, path: str, idp) -> None:
    """A token call, answered from memory the second time; the token is good, a forged one isn't, and keys don't come with each."""
    fields = {"grant_type": "client_credentials", "scope": "orders:read", "resource": "https://orders.example"}
    answers = [request(base + path, "POST", token_headers("client-a"), form(**fields)) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    token = answers[0].json()["access_token"]
    assert answers[1].json()["access_token"] == token
    assert idp.requests("/oauth2/token") == 1
    for sent, status in [(token, 200), (token[:-20] + "A" * 20, 401), (token, 200)]:
        assert request(base + "/orders", headers={"authorization": f"Bearer {sent}"}).status == status
    assert request(base + "/orders").status == 401
    assert idp.requests("/jwks") in (1, 2)


@pytest.mark.only("kong-host")
def test_what_a_control_plane_pushes_does_its_work(directory, idp, api, counted, filter_wasm):
    """kong/kong.yml as a data plane gets it: by a push, into a running Kong that has nothing yet."""
    from gateway import Upstreams

    document = yaml.safe_load((ROOT / "kong/kong.yml").read_text())
    gateway = KongHost(directory / "hybrid", Upstreams(api.port, idp.port))
    services = {service["name"]: service for service in document["services"]}
    del document["upstreams"]
    services["api"].update(host="127.0.0.1", port=api.port)
    services["idp"].pop("tls_verify")
    services["idp"]["url"] = f"http://127.0.0.1:{idp.port}"
    for service in services.values():
        config = service["filter_chains"][0]["filters"][0]["config"]
        config["issuers"][0].update(issuer=idp.issuer, jwks_uri=idp.jwks_uri, allow_http=True)
        config["kong"]["wait_uri"] = f"unix:{gateway.wait_socket}"
    empty = {"_format_version": "3.0", "services": []}
    gateway.launch_document(yaml.safe_dump(empty))
    try:
        assert request(gateway.base_url + "/orders").status == 404
        gateway._push(yaml.safe_dump(document, sort_keys=False).encode())
        judge(gateway.base_url, "/oauth2/token", idp)
        # Pushed again, nothing is forgotten.
        gateway._push(yaml.safe_dump(document, sort_keys=False).encode())
        assert request(gateway.base_url + "/orders").status == 401
        assert gateway.deaths() == 0
    finally:
        gateway.stop()
