"""Clients that show a certificate (RFC 8705): their token calls pass through, also where they have a secret."""

import datetime
import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from envoy import make_listener
from http_client import Answer
from servers import token_headers
from token_calls import TOKEN_PATH, access_tokens, body_of, config, endpoint, fresh_client
from world import World

pytestmark = pytest.mark.only("envoy")


def make_certificate(directory: Path, name: str) -> Path:
    """A key and a certificate that it signed itself, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = directory / f"{name}.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


def token_call(base: str, client: str, certificate: Path | None) -> Answer:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate)
    connection = http.client.HTTPSConnection(urlsplit(base).netloc, timeout=10, context=context)
    connection.request("POST", TOKEN_PATH, body_of(), token_headers(client))
    response = connection.getresponse()
    return Answer(response.status, response.getheaders(), response.read())


def test_a_client_with_a_certificate_shares_nothing(start_gateway, world: World, tmp_path):
    client, gateway = fresh_client(), start_gateway(None)
    server, shown = make_certificate(tmp_path, "server"), make_certificate(tmp_path, "client")
    listener = make_listener(config(endpoint()), gateway.wasm, gateway.upstreams.env)
    listener["filter_chains"][0]["transport_socket"] = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [{"certificate_chain": {"filename": str(server)}, "private_key": {"filename": str(server)}}],
                "validation_context": {"trusted_ca": {"filename": str(shown)}},
            },
        },
    }
    gateway.start_listener(listener)
    world.idp.reset_counts()
    without = [token_call(gateway.base_url, client, None) for _ in range(2)]
    assert len(access_tokens(without)) == 1 and [answer.header("herdgate-cache") for answer in without] == ["miss", "hit"]
    with_one = [token_call(gateway.base_url, client, shown) for _ in range(2)]
    assert len(access_tokens(without + with_one)) == 3 and world.idp.requests(TOKEN_PATH) == 3
    assert [answer.header("herdgate-cache") for answer in with_one] == ["bypass"] * 2
