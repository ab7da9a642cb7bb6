"""Token calls by the hundred: opened first and sent together, or one after the other on a few connections."""

import base64
import http.client
import itertools
import json
import socket
from urllib.parse import urlsplit

from http_client import Answer, form, request
from servers import token_headers

TOKEN_PATH = "/oauth2/token"
RESOURCE = "https://orders.example"

_numbers = itertools.count(1)


def fresh_client() -> str:
    """A client of the server that no test has used yet; the first 200 are for this."""
    number = next(_numbers)
    assert number <= 200, "no client is left"
    return f"c{number:04}"


def body_of(scope: str = "orders:read", resource: str | None = RESOURCE, **more: str) -> str:
    return form(grant_type="client_credentials", scope=scope, **({"resource": resource} if resource else {}), **more)


def call(base: str, client: str, *, secret: str | None = None, headers: dict | None = None, body: str | None = None, **fields) -> Answer:
    """One token call on a connection of its own."""
    return request(base + TOKEN_PATH, "POST", {**token_headers(client, secret), **(headers or {})}, body or body_of(**fields), timeout=30)


def endpoint(**more) -> dict:
    """A token endpoint of the configuration; short periods stay possible (`min_remaining_s`)."""
    return {
        "path": TOKEN_PATH,
        "revocation_path": "/oauth2/revoke",
        "reuse": {"fraction": 0.5, "min_remaining_s": 1, "max_s": 3300},
        "limits": ["token-address"],
        **more,
    }


def config(*endpoints: dict, limits: list[dict] = (), **more) -> dict:
    return {
        "issuers": [],
        "token_endpoints": list(endpoints) or [endpoint()],
        "rate_limits": [{"name": "token-address", "key": ["address"], "limit": 100_000, "per_s": 1}, *limits],
        "debug_headers": True,
        "shared": {"secret": {"env": "HERDGATE_SECRET"}},
        **more,
    }


class Flight:
    """Calls on connections that are open before the first one is sent: as much at once as one thread can."""

    def __init__(self, base: str, count: int, source: str | None = None):
        self._address = urlsplit(base)
        self.sockets = [self._connect(source) for _ in range(count)]

    def _connect(self, source: str | None) -> socket.socket:
        return socket.create_connection((self._address.hostname, self._address.port), 30, (source, 0) if source else None)

    def send(self, client: str | list[str], headers: dict | None = None, body: str | None = None) -> "Flight":
        clients = itertools.cycle([client] if isinstance(client, str) else client)
        body = body or body_of()
        for connection, one in zip(self.sockets, clients):
            lines = {"host": self._address.netloc, **token_headers(one), "content-length": str(len(body)), **(headers or {})}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            connection.sendall(f"POST {TOKEN_PATH} HTTP/1.1\r\n{head}\r\n{body}".encode())
        return self

    def answers(self) -> list[Answer]:
        return [self._answer(connection) for connection in self.sockets]

    @staticmethod
    def _answer(connection: socket.socket) -> Answer:
        response = http.client.HTTPResponse(connection, method="POST")
        try:
            response.begin()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            response.close()
            connection.close()

    def leave(self) -> None:
        """The clients go away without waiting."""
        for connection in self.sockets:
            connection.close()


def at_once(base: str, count: int, client: str | list[str], headers: dict | None = None, body: str | None = None) -> list[Answer]:
    """`count` token calls at the same time, and what each got."""
    return Flight(base, count).send(client, headers, body).answers()


class Caller:
    """Calls one after the other, by turns on a few connections that stay open, so that every worker gets some."""

    def __init__(self, base: str, connections: int = 4, path: str = TOKEN_PATH):
        self._path = path
        address = urlsplit(base).netloc
        self._turns = itertools.cycle([http.client.HTTPConnection(address, timeout=30) for _ in range(connections)])

    def call(self, client: str, headers: dict | None = None, body: str | None = None) -> Answer:
        connection = next(self._turns)
        connection.request("POST", self._path, body or body_of(), {**token_headers(client), **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())


def access_tokens(answers: list[Answer]) -> set[str]:
    """The different tokens in answers that must all be good."""
    bad = [(answer.status, answer.body[:200]) for answer in answers if answer.status != 200]
    assert not bad, f"{len(bad)} of {len(answers)}: {bad[:3]}"
    return {answer.json()["access_token"] for answer in answers}


def expiry(token: str) -> int:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]


def sources(answers: list[Answer]) -> dict[str, int]:
    """Where answers came from, and how many each."""
    found = [answer.header("herdgate-cache") for answer in answers]
    return {name: found.count(name) for name in set(found)}


def upstream(world) -> int:
    """Token calls that reached the server since the last reset."""
    return world.idp.requests(TOKEN_PATH)
