"""Tokens that are bound to a certificate (RFC 8705): good from the client that shows it, and from no other."""

import base64
import hashlib
import http.client
import ssl
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from envoy import connection_manager, make_listener
from http_client import request
from test_client_certificates import make_certificate
from world import World

XFCC = "x-forwarded-client-cert"


def certificate_of(file: Path) -> bytes:
    pem = file.read_text()
    return ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE") :])


def cnf(file: Path) -> dict:
    digest = hashlib.sha256(certificate_of(file)).digest()
    return {"x5t#S256": base64.urlsafe_b64encode(digest).decode().rstrip("=")}


def pem_of(file: Path) -> str:
    return quote(ssl.DER_cert_to_PEM_cert(certificate_of(file)), safe="")


def hash_of(file: Path) -> str:
    return hashlib.sha256(certificate_of(file)).hexdigest()


def config(world: World, mtls: dict, **more) -> dict:
    return world.config(issuers=[world.own_issuer(mtls=mtls, **more)], rules=[{"match": {"path_prefix": "/orders"}}])


def with_tls(listener: dict, server: Path, **validation) -> dict:
    listener["filter_chains"][0]["transport_socket"] = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [{"certificate_chain": {"filename": str(server)}, "private_key": {"filename": str(server)}}],
                "validation_context": validation,
            },
        },
    }
    return listener


def over_tls(base: str, certificate: Path | None, headers: dict):
    """Status and challenge of a request on a connection of its own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # Its sessions are there at once.
    if certificate:
        context.load_cert_chain(certificate)
    connection = http.client.HTTPSConnection(urlsplit(base).netloc, timeout=10, context=context)
    connection.request("GET", "/orders", headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.getheader("www-authenticate")


def bearer(token: str, *more) -> dict:
    return {"authorization": f"Bearer {token}", **dict(more)}


@pytest.mark.only("envoy")
def test_the_certificate_of_the_connection(start_gateway, world: World, api, tmp_path):
    gateway = start_gateway(None)
    server, own, other = (make_certificate(tmp_path, name) for name in ("server", "own", "other"))
    # As for certificates that clients have signed themselves (RFC 8705, section 2.2): anyone's is taken.
    listener = make_listener(config(world, {}), gateway.wasm, gateway.upstreams.env)
    gateway.start_listener(
        with_tls(listener, server, trusted_ca={"filename": str(own)}, trust_chain_verification="ACCEPT_UNTRUSTED")
    )
    base, bound = gateway.base_url, world.own(cnf=cnf(own))
    api.reset()
    # Connections fall to both workers.
    for _ in range(12):
        assert over_tls(base, own, bearer(bound))[0] == 200
        for certificate in (other, None, server):
            status, challenge = over_tls(base, certificate, bearer(bound))
            assert status == 401 and challenge.startswith('Bearer realm="api", error="invalid_token"'), challenge
    forged = [(XFCC, f"Hash={hash_of(own)}"), (XFCC, f'Cert="{pem_of(own)}"'), ("x-client-cert", pem_of(own))]
    for certificate in (other, None):
        for header in forged:
            assert over_tls(base, certificate, bearer(bound, header))[0] == 401
    assert over_tls(base, other, bearer(world.own(cnf=cnf(other))))[0] == 200
    assert over_tls(base, other, bearer(world.own()))[0] == 200
    assert over_tls(base, own, bearer(world.own(cnf={**cnf(own), "jkt": cnf(own)["x5t#S256"]})))[0] == 401
    assert api.seen() == 14
    assert gateway.metrics()["herdgate.bearer.rejected.bound"] == 12 * 3 + 6 + 1


@pytest.mark.only("envoy")
def test_required_and_a_connection_without_tls(start_gateway, world: World, api, tmp_path):
    own = make_certificate(tmp_path, "own")
    gateway = start_gateway(config(world, {"required": True}))
    api.reset()
    forged = ("x-forwarded-client-cert", f"Hash={hash_of(own)}")
    for token in (world.own(cnf=cnf(own)), world.own()):
        assert request(f"{gateway.base_url}/orders", headers=bearer(token)).status == 401
        assert request(f"{gateway.base_url}/orders", headers=bearer(token, forged)).status == 401
    assert api.seen() == 0
    assert gateway.metrics()["herdgate.bearer.rejected.bound"] == 4


@pytest.mark.only("envoy")
@pytest.mark.parametrize("details", [{}, {"cert": True, "subject": True, "uri": True}])
def test_an_envoy_in_front_vouches(start_gateway, world: World, api, tmp_path, details):
    """One that writes its own header in place of the client's: here the gateway's own connection manager does."""
    gateway = start_gateway(None)
    server, own, other = (make_certificate(tmp_path, name) for name in ("server", "own", "other"))
    listener = make_listener(config(world, {"header": XFCC}), gateway.wasm, gateway.upstreams.env)
    connection_manager(listener)["forward_client_cert_details"] = "SANITIZE_SET"
    connection_manager(listener)["set_current_client_cert_details"] = details
    gateway.start_listener(
        with_tls(listener, server, trusted_ca={"filename": str(own)}, trust_chain_verification="ACCEPT_UNTRUSTED")
    )
    bound, forged = world.own(cnf=cnf(own)), (XFCC, f"Hash={hash_of(own)}")
    for _ in range(4):
        assert over_tls(gateway.base_url, own, bearer(bound))[0] == 200
        for certificate in (other, None):
            assert over_tls(gateway.base_url, certificate, bearer(bound))[0] == 401
            assert over_tls(gateway.base_url, certificate, bearer(bound, forged))[0] == 401


def test_a_balancers_header(start_gateway, world: World, api, tmp_path):
    own, other = (make_certificate(tmp_path, name) for name in ("own", "other"))
    gateway = start_gateway(config(world, {"header": "X-Client-Cert"}))
    bound, api_seen = world.own(cnf=cnf(own)), 0
    api.reset()

    def get(token, *headers):
        return request(f"{gateway.base_url}/orders", headers=[("authorization", f"Bearer {token}"), *headers])

    for _ in range(4):
        assert get(bound, ("x-client-cert", pem_of(own))).status == 200
        api_seen += 1
        for headers in (
            [],
            [("x-client-cert", "")],
            [("x-client-cert", pem_of(other))],
            [("x-client-cert", pem_of(own)), ("x-client-cert", pem_of(own))],
            [("x-client-cert", pem_of(own) + pem_of(own))],
            [("x-client-cert", f"Hash={hash_of(own)}")],
            [(XFCC, f"Hash={hash_of(own)}")],
        ):
            answer = get(bound, *headers)
            assert answer.status == 401 and 'error="invalid_token"' in answer.header("www-authenticate"), headers
    assert get(world.own()).status == 200
    assert api.seen() == api_seen + 1


@pytest.mark.only("kong-host", "kong")
def test_xfcc_on_kong_and_no_header_is_refused_at_load(start_gateway, world: World, tmp_path):
    own, other = (make_certificate(tmp_path, name) for name in ("own", "other"))
    gateway = start_gateway(config(world, {"header": XFCC}))
    bound = world.own(cnf=cnf(own))
    last = f"Hash={hash_of(other)},Hash={hash_of(own)}"
    assert request(f"{gateway.base_url}/orders", headers=bearer(bound, (XFCC, last))).status == 200
    named = f"Hash={hash_of(other)};URI=a,Hash={hash_of(own)}"
    assert request(f"{gateway.base_url}/orders", headers=bearer(bound, (XFCC, named))).status == 401
    log = gateway.refuses(config(world, {}))
    assert "issuers[0].mtls.header: expected the header in which a balancer vouches" in log
