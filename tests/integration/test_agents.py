"""The official MCP SDK's client finds its way: from a 401 by the resource's metadata (RFC 9728) to the real server's tokens, and
through the gateway to the SDK's own server behind it."""

import json
import subprocess

import pytest

from gateway import Upstreams, make_gateway
from processes import SERVERS, start_node
from world import World


@pytest.fixture
def mcp(directory, world: World, filter_wasm):
    """An MCP server behind a gateway that knows its address."""
    server, about = start_node("mcp_server.mjs", [], directory / "mcp.log")
    gateway = make_gateway(directory / "gateway-mcp", Upstreams(about["port"], world.idp.port))
    gateway.start(world.config(rules=[]))
    gateway.reload(config(world, gateway.base_url))
    yield gateway
    gateway.stop()
    server.stop()


def config(world: World, base_url: str) -> dict:
    resource = {"resource": f"{base_url}/mcp", "authorization_servers": [world.idp.issuer], "scopes_supported": ["orders:read"], "allow_http": True}
    issuer = world.idp_issuer(audiences=[f"{base_url}/mcp"], forward={"claims": {"sub": "x-user"}})
    rules = [{"match": {"path_prefix": "/mcp"}, "issuers": ["idp"], "scopes_all": ["orders:read"]}]
    return world.config(issuers=[issuer], rules=rules, resource=resource)


def agent(gateway, *credentials: str) -> subprocess.CompletedProcess:
    command = ["node", SERVERS / "mcp_client.mjs", f"{gateway.base_url}/mcp", *credentials, "orders:read"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_an_agent_finds_its_way_from_401_to_200(mcp, world: World):
    done = agent(mcp, "client-a", "secret-a", world.idp.issuer)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["tools"], told["text"]) == (["whoami"], "client-a")
    calls = told["calls"]
    # Refused, told where, told by whom, given a token, admitted.
    steps = ["POST /mcp 401", "GET /.well-known/oauth-protected-resource/mcp 200", "GET /.well-known/oauth-authorization-server 200", "POST /oauth2/token 200", "POST /mcp 200"]
    places = [calls.index(step) for step in steps]
    assert places == sorted(places) and places[0] == 0, calls
    assert calls.count("POST /mcp 401") == 1 and calls.count("POST /oauth2/token 200") == 1
    assert mcp.metrics()["herdgate.resource.described"] >= 1


def test_an_agent_without_good_credentials_ends_there(mcp, world: World):
    done = agent(mcp, "client-a", "another-secret", world.idp.issuer)
    assert done.returncode != 0 and "InvalidClientError" in done.stderr
