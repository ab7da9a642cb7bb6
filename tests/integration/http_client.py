"""HTTP for tests: sends exactly the bytes that it is told to, and keeps repeated headers apart."""

import http.client
import json
import urllib.parse
from dataclasses import dataclass


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The one value of a header; all of them joined by a line break if there are several."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return "\n".join(values) if values else None

    def json(self):
        return json.loads(self.body)


class _Connection(http.client.HTTPConnection):
    # Tests send header values that the standard library refuses; the gateway must cope, not the client.
    def putheader(self, header, *values):
        name = header if isinstance(header, bytes) else header.encode("latin-1")
        value = b", ".join(v if isinstance(v, bytes) else str(v).encode("latin-1") for v in values)
        self._output(name + b": " + value)

    def _validate_path(self, url):
        pass


def request(url: str, method: str = "GET", headers=(), body: bytes | str | None = None, timeout: float = 15) -> Answer:
    """One request on a connection of its own. `headers` is a dict, or a list of pairs (names may repeat; values may be bytes)."""
    scheme, _, rest = url.partition("://")
    assert scheme == "http", url
    address, slash, path = rest.partition("/")
    connection = _Connection(address, timeout=timeout)
    try:
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        if isinstance(body, str):
            body = body.encode()
        names = {name.lower() for name, _ in pairs}
        connection.putrequest(method, slash + path or "/", skip_host="host" in names, skip_accept_encoding=True)
        for name, value in pairs:
            connection.putheader(name, value)
        if body is not None and "content-length" not in names:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


def form(**fields: str) -> str:
    return urllib.parse.urlencode(fields)


def post_json(url: str, value, method: str = "POST"):
    """A call to a control endpoint; its answer as JSON."""
    answer = request(url, method, {"content-type": "application/json"}, json.dumps(value))
    if answer.status != 200:
        raise RuntimeError(f"{method} {url}: {answer.status} {answer.body!r}")
    return answer.json()
