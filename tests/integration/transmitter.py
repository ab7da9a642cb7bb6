"""A transmitter of Security Event Tokens that is polled (RFC 8936), on loopback."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tokens import Key

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
BEARER = "Bearer the-stream's-secret"


class Transmitter:
    """Hands sets over until they are acknowledged or refused."""

    def __init__(self, key: Key, issuer: str, audience: str = "gateway"):
        self.key, self.issuer, self.audience = key, issuer, audience
        self.sets: dict[str, str] = {}
        self.acknowledged: list[str] = []
        self.refused: dict[str, dict] = {}
        self.polls: list[dict] = []
        self.status = 200
        self.is_deaf = False
        transmitter = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status, answer = transmitter._poll(dict(self.headers.items()), body)
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def feed(self, **more) -> dict:
        """The entry in revocation.feeds. The cluster is one that every configuration of the tests has for the port."""
        return {
            "kind": "ssf",
            "issuer": "own",
            "audience": self.audience,
            "uri": f"http://127.0.0.1:{self.port}/events",
            "allow_http": True,
            "cluster": "transmitter",
            "every_s": 1,
            "timeout_ms": 1000,
            "headers": {"authorization": BEARER},
            **more,
        }

    def send(self, jti: str, subject: dict, event: str = "session-revoked", key: Key | None = None, **claims) -> None:
        now = int(time.time())
        body = {"iss": self.issuer, "jti": jti, "iat": now, "aud": self.audience, "sub_id": subject, "events": {CAEP + event: {"event_timestamp": now}}}
        key = key or self.key
        self.sets[jti] = key.token({**body, **claims}, key.header(typ="secevent+jwt"))

    def _poll(self, headers: dict, body: bytes) -> tuple[int, bytes]:
        headers = {name.lower(): value for name, value in headers.items()}
        asked = json.loads(body)
        if headers.get("authorization") != BEARER or headers.get("content-type") != "application/json":
            return 401, b"{}"
        self.polls.append(asked)
        if self.status != 200:
            return self.status, b"{}"
        self.acknowledged += asked.get("ack", [])
        self.refused |= asked.get("setErrs", {})
        if not self.is_deaf:
            for jti in [*asked.get("ack", []), *asked.get("setErrs", {})]:
                self.sets.pop(jti, None)
        some = dict(list(self.sets.items())[: asked["maxEvents"]])
        return 200, json.dumps({"sets": some, "moreAvailable": len(self.sets) > len(some)}).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
