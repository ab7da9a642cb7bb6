"""What people reported of gateways in public trackers, each with inputs of our own: one file of field-cases/ a case.

A file has the `config`, the `documents` that the issuer's server gives (by path), one `request`, and what is right
(`want`: the status; where it is refused the reason; `headers` that the API must see; a `grpc_status`). `source` is where it was met.
"""

import json
from pathlib import Path

import pytest

from gateway import Gateway, kind
from http_client import request
from processes import wait_until
from world import World

CASES = sorted((Path(__file__).parent / "field-cases").glob("*.json"))
# Fields of a configuration that name a document's address.
ADDRESSES = ("jwks_uri", "discovery", "uri", "consumer_uri")


def served_by(base: str, config):
    """The same configuration, whose documents are at the test's own server: a host's calls go there."""
    if isinstance(config, list):
        return [served_by(base, part) for part in config]
    if not isinstance(config, dict):
        return config
    out = {name: served_by(base, part) for name, part in config.items()}
    for name in ADDRESSES:
        if isinstance(text := out.get(name), str):
            _, _, path = text.removeprefix("https://").partition("/")
            out |= {name: f"{base}/{path}", "allow_http": True}
    return out


@pytest.fixture
def documents(world: World):
    """Serves documents for one test."""
    served = []

    def serve(by_path: dict) -> None:
        for path, document in by_path.items():
            served.append(path)
            world.idp.document(path, document["body"], document.get("headers"), document.get("status", 200))

    yield serve
    for path in served:
        world.idp.document(path, None)


def counted(gateway: Gateway, reason: str) -> bool:
    return gateway.metrics().get(f"herdgate.bearer.rejected.{reason}", 0) == 1


@pytest.mark.parametrize("file", CASES, ids=lambda path: path.stem)
def test_case(file: Path, start_gateway, world: World, documents):
    case = json.loads(file.read_text())
    documents(case["documents"])
    config = served_by(world.idp.issuer, case["config"])
    gateway = start_gateway({"shared": {"secret": {"env": "HERDGATE_SECRET"}}, **config})
    sent, want = case["request"], case["want"]
    answer = request(gateway.base_url + sent["path"], sent["method"], [tuple(header) for header in sent["headers"]], sent.get("body"))
    status = want["status"]
    if "grpc_status" in want and kind() != "envoy":
        # Envoy alone makes a gRPC status of ours.
        status = {7: 403, 16: 401}[want["grpc_status"]]
    assert answer.status == status, f"{answer.status} {answer.header('www-authenticate')} {answer.body[:300]!r}"
    if "grpc_status" in want and kind() == "envoy":
        assert answer.header("grpc-status") == str(want["grpc_status"])
    if reason := want.get("reason"):
        wait_until(lambda: counted(gateway, reason), 10, f"herdgate.bearer.rejected.{reason} to count")
    for name, value in want.get("headers", {}).items():
        assert answer.json()["headers"].get(name) == [value], name


def test_the_cases_are_there():
    assert len(CASES) >= 10
