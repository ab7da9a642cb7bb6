"""The roll-out in shadow that docs/operations.md describes, beside what checks tokens today: before and behind Envoy's
jwt_authn, behind Kong's key-auth. The API gets the very bytes that it gets without the filter, and so does the client."""

import json
import re

import pytest
import yaml

from envoy import connection_manager, make_listener
from kong import Around, kong_yml
from processes import ROOT
from raw_server import CHUNKED, exchange
from test_shadow import Sent, bearer, compare, config, gateways, requests, server, without_filter  # noqa: F401
from tokens import jwks
from world import OWN, World

PAGE = ROOT / "docs" / "operations.md"
TYPE = "type.googleapis.com/envoy.extensions"
# Envoy as people set it up for clients that look at the case of names, and with trailers.
AS_SENT = {
    "enable_trailers": True,
    "header_key_format": {
        "stateful_formatter": {
            "name": "preserve_case",
            "typed_config": {"@type": f"{TYPE}.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"},
        }
    },
}


def recipe() -> dict:
    """What step 2 of the recipe puts into the configuration."""
    step = re.search(r"^## Roll out in shadow$.*?^2\. (.*?)$", PAGE.read_text(), re.MULTILINE | re.DOTALL)[1]
    fields = re.findall(r'`("[^`]+)`', step)
    assert fields, "the recipe names no field"
    return json.loads("{" + ", ".join(fields) + "}")


def rollout(world: World, server) -> dict:  # noqa: F811
    document = {**config(world, server, True), **recipe()}
    assert document["mode"] == "shadow"
    return document


def jwt_authn(world: World) -> dict:
    """It refuses at /orders what has no good token; elsewhere it says who the caller is, if it knows."""
    provider = {
        "issuer": OWN,
        "local_jwks": {"inline_string": jwks(world.rsa)},
        "forward": True,
        "claim_to_headers": [{"header_name": "x-user", "claim_name": "sub"}],
    }
    if_any = {"requires_any": {"requirements": [{"provider_name": "own"}, {"allow_missing_or_failed": {}}]}}
    return {
        "name": "jwt_authn",
        "typed_config": {
            "@type": f"{TYPE}.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"own": provider},
            "rules": [
                {"match": {"prefix": f"/orders{CHUNKED}"}, "requires": if_any},
                {"match": {"prefix": "/orders"}, "requires": {"provider_name": "own"}},
                {"match": {"prefix": "/"}, "requires": if_any},
            ],
        },
    }


def sent_lines(one: Sent) -> list[bytes]:
    """The client's own header lines, but for those that belong to the connection, or that jwt_authn owns."""
    lines = [line for line in one.head().encode("latin-1").split(b"\r\n")[1:] if line]
    return [line for line in lines if not re.match(rb"(?i)connection:|content-length:|transfer-encoding:|x-user:", line)]


def in_order(lines: list[bytes], request: bytes) -> bool:
    """Whether these lines are there in this order, among others."""
    there = iter(request.split(b"\r\n"))
    return all(line in there for line in lines)


@pytest.mark.only("envoy")
def test_before_and_behind_jwt_authn(gateways, server, world: World):  # noqa: F811
    """One Envoy, in it jwt_authn alone, behind the filter, and before it."""
    envoy, document, authn = gateways(), rollout(world, server), jwt_authn(world)
    listeners = {}
    for name, place in (("alone", 0), ("behind the filter", 1), ("before the filter", 0)):
        listener = make_listener(document, envoy.wasm, envoy.upstreams.env)
        manager = connection_manager(listener)
        manager["http_protocol_options"] = AS_SENT
        # Of an answer of its own Envoy waits a second for the client to close, and this client waits for Envoy.
        manager["delayed_close_timeout"] = "0.05s"
        manager["http_filters"].insert(place, authn)
        listeners[name] = without_filter(listener) if name == "alone" else listener
    upstream = {"@type": f"{TYPE}.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http_protocol_options": AS_SENT}}
    options = {"typed_extension_protocol_options": {f"{TYPE}.upstreams.http.v3.HttpProtocolOptions".removeprefix("type.googleapis.com/"): upstream}}
    bases = envoy.start_listeners(listeners, api=options)
    compare(list(bases.values()), server, requests(world))

    seen = {name: [] for name in bases}
    sent = [one for one in requests(world) if one.name in ("a good token", "a body with a trailer", "public")]
    for one in sent:
        for name, base in bases.items():
            server.take()
            answer = exchange(base, one.head(), one.body)
            [request] = server.take()
            # What the comparison would not see: that all three lose something.
            assert in_order(sent_lines(one), request), f"{one.name}, {name}: {request}"
            assert b"X-Answer: one\r\nX-Answer: two\r\n" in answer, answer
            seen[name].append(request)
    # The filter would set the same header; the one of jwt_authn arrives.
    assert all(re.search(rb"(?im)^x-user: (?:.*,)?user-1\r$", requests[0]) for requests in seen.values()), seen
    assert all(re.search(rb"\r\n\r\nhello(?i:x-sum): 7\r\n$", requests[1]) for requests in seen.values()), seen
    counts = envoy.metrics()
    # Behind jwt_authn the filter hears of what that let through: both have counted.
    for reason in ["no_token", "bad_signature", "two_tokens", "malformed", "expired", "limited", "unknown_issuer"]:
        assert counts.get(f"herdgate.bearer.shadowed.{reason}") > 0, reason
    assert counts.get("herdgate.bearer.accepted") > 0
    assert "shadowed reason=no_token" in envoy.log()


@pytest.mark.only("kong-host", "kong")
def test_behind_key_auth(gateways, server, world: World):  # noqa: F811
    """What key-auth says of the consumer arrives, whatever token there is besides."""
    document = rollout(world, server)
    plugins = [{"name": "key-auth", "config": {"anonymous": "nobody"}}]
    # With an id, since each Kong would draw one of its own, and names it to the API.
    key_of_alice = {"id": "6b5d9422-019d-4299-b188-b4256d39f063", "key": "key-of-alice"}
    consumers = [{"username": "alice", "keyauth_credentials": [key_of_alice]}, {"username": "nobody"}]
    bare, shadowed = gateways(), gateways()
    for gateway in (bare, shadowed):
        around = Around(chain=gateway is shadowed, plugins=plugins)
        text = kong_yml(document, server.port, server.port, gateway.wait_socket, around)
        gateway.launch_document(yaml.safe_dump({**yaml.safe_load(text), "consumers": consumers}, sort_keys=False))
    bases = [bare.base_url, shadowed.base_url]
    for key in ([], [("apikey", "key-of-alice")]):
        sent = [Sent(one.name, [*one.headers, *key], one.method, one.path, one.body) for one in requests(world)]
        compare(bases, server, sent)
    server.take()
    for token in ([], bearer(world.own()), bearer(world.own(world.stranger))):
        exchange(shadowed.base_url, Sent("", [*token, ("apikey", "key-of-alice")]).head())
    for request in server.take():
        assert re.search(rb"(?im)^x-consumer-username: alice\r$", request), request
