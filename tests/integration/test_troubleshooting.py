"""docs/troubleshooting.md: each row of its table is a set-up that is broken in that way, and what the operator then sees."""

import datetime
import http.server
import json
import re
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from access_log import AccessLog, start_logged
from envoy import connection_manager, make_listener, plain_cluster, wasm_config
from http_client import Answer, form, request
from processes import PATIENCE_S, ROOT, wait_until
from servers import token_headers
from token_calls import endpoint
from tokens import Key, claims
from world import World

pytestmark = pytest.mark.only("envoy")

PAGE = ROOT / "docs" / "troubleshooting.md"


def rows() -> dict[str, list[str]]:
    """What is wrong: status, details, line of the log and metric, as the page says them."""
    table = PAGE.read_text().split("## Twelve ways")[1]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in table.splitlines() if line.startswith("| ")]
    return {name.strip(): rest for name, *rest in cells[1:]}


def sees(name: str, gateway, log: AccessLog, world: World, answer: Answer) -> None:
    """The client, the access log, the gateway's log and the metrics say what the row of this name says."""
    status, details, line, metric = rows()[name]
    assert str(answer.status) == status
    assert log.next()["details"] == details
    line = line.replace("https://idp.example", world.idp.issuer)
    wait_until(lambda: line in gateway.log(), PATIENCE_S, f"{line!r} in the log:\n{gateway.log()[-3000:]}")
    assert gateway.metrics().get(metric) >= 1, metric


def config(world: World, **more) -> dict:
    rules = [{"match": {"path_prefix": "/orders"}, "name": "orders"}]
    return {"issuers": [world.idp_issuer()], "rules": rules, "log": {"refusals": True}, "shared": {"secret": {"env": "HERDGATE_SECRET"}}, **more}


def ask(gateway, token: str) -> Answer:
    return request(gateway.base_url + "/orders", headers={"authorization": f"Bearer {token}"})


@pytest.fixture
def broken(start_gateway, world: World):
    """broken(name, config, token): starts, asks once, and compares all that is seen with the row."""

    def try_out(name: str, config: dict, token: str | None = None):
        gateway = start_gateway(None)
        log = start_logged(gateway, config)
        sees(name, gateway, log, world, ask(gateway, token or world.idp.token()))
        return gateway

    yield try_out
    for path in ("/jwks", "/.well-known/other", "/revoked.json", "/introspect"):
        world.idp.document(path, None)


def test_the_page_has_thirteen_rows():
    assert len(rows()) == 13


def test_the_wrong_cluster(broken, world: World):
    broken("the wrong cluster", config(world, issuers=[world.idp_issuer(cluster="nowhere")]))


def test_a_redirect(broken, world: World):
    world.idp.fault("/jwks", "status", status=301, headers={"location": "https://login.example/keys?session=canary"})
    gateway = broken("a redirect", config(world))
    assert "canary" not in gateway.log()
    world.idp.heal()
    wait_until(lambda: f"JWK Set at {world.idp.jwks_uri} answers again" in gateway.log(), PATIENCE_S, "its end")


def test_html(broken, world: World):
    world.idp.fault("/jwks", "html")
    broken("HTML in place of JSON", config(world))


def test_metadata_of_another_issuer(broken, world: World):
    at = world.idp.document("/.well-known/other", json.dumps({"issuer": "https://other.example", "jwks_uri": world.idp.jwks_uri}))
    issuer = world.idp_issuer(discovery=at)
    del issuer["jwks_uri"]
    broken("metadata of another issuer", config(world, issuers=[issuer]))


def make_authority(directory: Path, days: tuple[int, int]) -> tuple[Path, Path]:
    """An authority that is valid between these days from now, and a server's certificate of it: two PEM files."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(name: str, key, issuer: str, signer, ca: bool, begins, ends):
        subject = lambda name: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])  # noqa: E731
        builder = x509.CertificateBuilder(subject(issuer), subject(name), key.public_key(), x509.random_serial_number(), begins, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    day = datetime.timedelta(days=1)
    begins, ends = now + days[0] * day, now + days[1] * day
    authority, server = directory / "authority.pem", directory / "server.pem"
    authority.write_bytes(certificate("root", root, "root", root, True, begins, ends))
    private = leaf.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    server.write_bytes(private + certificate("idp", leaf, "root", root, False, now - day, now + day))
    return authority, server


@contextmanager
def tls_server(certificate: Path):
    """A server of key sets over TLS; gives its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"keys": [Key("RS256", "a").jwk()]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()


@pytest.mark.parametrize("is_expired", [True, False], ids=["expired", "good"])
def test_an_expired_certificate_authority(is_expired, start_gateway, world: World, tmp_path):
    authority, server = make_authority(tmp_path, (-10, -1) if is_expired else (-10, 10))
    tls = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {"validation_context": {"trusted_ca": {"filename": str(authority)}}},
        },
    }
    with tls_server(server) as port:
        gateway = start_gateway(None, extra_clusters=[plain_cluster("secure", port, transport_socket=tls)])
        log = start_logged(gateway, config(world, issuers=[world.idp_issuer(cluster="secure")]))
        answer = ask(gateway, world.idp.token())
        if is_expired:
            sees("an expired certificate authority", gateway, log, world, answer)
            counters = request(f"{gateway.admin}/stats?filter=cluster.secure.ssl.fail_verify_error").body.decode()
            assert int(counters.rpartition(": ")[2]) >= 1, "what the page says to look at"
        else:
            assert answer.status == 401 and "JWK Set" not in gateway.log()


def test_no_key_that_can_be_used(broken, world: World):
    token = world.idp.token()
    world.idp.document("/jwks", json.dumps({"keys": [Key("RS256", "a").jwk(n="*")]}))
    broken("no key that can be used", config(world), token)


def test_a_clock_that_is_off_by_an_hour(broken, world: World):
    ahead = time.time() + 3600
    world.idp.document("/jwks", request(world.idp.jwks_uri).body.decode(), headers={"date": formatdate(ahead, usegmt=True)})
    token = world.idp.sign(claims(world.idp.issuer, iat=int(ahead), exp=int(ahead) + 600), {"typ": "at+jwt"})
    broken("a clock that is off by an hour", config(world), token)


def test_the_wrong_audience(broken, world: World):
    broken("the wrong audience", config(world), world.idp.sign(claims(world.idp.issuer, audience="another-api"), {"typ": "at+jwt"}))


def test_a_role_that_is_missing(broken, world: World):
    rules = [{"match": {"path_prefix": "/orders"}, "name": "orders", "claims": {"roles": ["admin"]}}]
    broken("a role that is missing", config(world, rules=rules))


def test_the_wrong_client_secret(broken, world: World):
    world.idp.document("/introspect", '{"error":"invalid_client"}', status=401)
    introspection = {"uri": world.idp.issuer + "/introspect", "allow_http": True, "cluster": "idp", "client_id": "gateway", "client_secret": "wrong-canary"}
    rules = [{"match": {"path_prefix": "/orders"}, "introspect": True}]
    gateway = broken("the wrong client secret", config(world, rules=rules, introspection=introspection))
    assert "canary" not in gateway.log()


def token_config(world: World) -> dict:
    limits = [{"name": "token-address", "key": ["address"], "limit": 1000, "per_s": 1}]
    return config(world, issuers=[], rules=[], token_endpoints=[endpoint()], rate_limits=limits)


def token_call(base: str) -> Answer:
    body = form(grant_type="client_credentials", scope="orders:read", resource="https://orders.example")
    return request(base + "/oauth2/token", "POST", token_headers("client-b"), body, timeout=30)


def test_a_body_that_never_comes(start_gateway, world: World):
    gateway = start_gateway(None)
    log = AccessLog(gateway.directory / "access.log")
    listener = log.of(make_listener(token_config(world), gateway.wasm, gateway.upstreams.env))
    del wasm_config(listener)["allow_on_headers_stop_iteration"]
    gateway.start_listener(listener)
    sees("a body that never comes", gateway, log, world, token_call(gateway.base_url))
    # Another worker, another call: the line stands there once more at most for each worker.
    assert token_call(gateway.base_url).status == 408
    assert gateway.log().count("bodies of calls to /oauth2/token") <= gateway.workers


def test_a_client_that_sends_no_body_ends_too(start_gateway, world: World):
    gateway = start_gateway(None)
    log = start_logged(gateway, token_config(world))
    address = urlsplit(gateway.base_url)
    headers = "".join(f"{name}: {value}\r\n" for name, value in token_headers("client-b").items())
    with socket.create_connection((address.hostname, address.port), timeout=30) as silent:
        silent.sendall(f"POST /oauth2/token HTTP/1.1\r\nhost: x\r\ncontent-length: 40\r\n{headers}\r\ngrant_type=".encode())
        assert token_call(gateway.base_url).status == 200
        answer = silent.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 408"), answer
    assert log.next()["details"] == "via_upstream"
    assert log.next()["details"] == "herdgate_body_timeout"
    assert token_call(gateway.base_url).status == 200


def test_in_shadow_mode_a_call_whose_body_does_not_come_goes_on(start_gateway, world: World):
    gateway = start_gateway(None)
    listener = make_listener({**token_config(world), "mode": "shadow"}, gateway.wasm, gateway.upstreams.env)
    del wasm_config(listener)["allow_on_headers_stop_iteration"]
    gateway.start_listener(listener)
    assert token_call(gateway.base_url).status == 200
    assert gateway.metrics()["herdgate.bearer.shadowed.body_timeout"] == 1


def test_a_feed_that_is_refused(broken, world: World):
    at = world.idp.document("/revoked.json", "{}")
    feed = {"uri": at, "cluster": "idp", "allow_http": True, "every_s": 1, "failure_mode": "deny"}
    broken("a feed that is refused", config(world, revocation={"feeds": [feed]}))


def test_the_settings_that_the_page_names_are_there():
    """The page's `allow_on_headers_stop_iteration` is what the shipped file sets."""
    listener = make_listener({}, Path("x"), {})
    assert wasm_config(listener)["allow_on_headers_stop_iteration"] is True
    assert connection_manager(listener)["use_remote_address"] is True
    assert re.search(r"allow_on_headers_stop_iteration: true", PAGE.read_text())
