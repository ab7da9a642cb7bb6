"""An API that writes down the very bytes it gets, and answers always the same ones."""

import io
import json
import re
import socket

from listening import Listening

ANSWER = json.dumps({"access_token": "as-the-server-made-it", "token_type": "Bearer", "expires_in": 3600, "blank": " "}).encode()
CHUNKED = "/in-chunks"


class RawServer(Listening):
    """`documents`: paths that are answered with a body and not written down. A path that ends in CHUNKED is answered in
    chunks, with a trailer."""

    def __init__(self, documents: dict[str, str] | None = None):
        self.documents = documents or {}
        self.requests: list[bytes] = []
        super().__init__()

    def take(self) -> list[bytes]:
        """What has come since the last time."""
        taken, self.requests = self.requests, []
        return taken

    def serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            while head := read_head(stream):
                body = read_body(head, stream)
                path = head.split(b" ", 2)[1].decode()
                document = self.documents.get(path)
                if document is None and path != "/health":
                    self.requests.append(head + body)
                answer = ANSWER if document is None else document.encode()
                lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", "X-Answer: one", "X-Answer: two"]
                lines += ["RateLimit: of-the-api", "herdgate-cache: of-the-api"]
                if path.endswith(CHUNKED):
                    lines += ["Trailer: X-Sum", "Transfer-Encoding: chunked", "", ""]
                    answer = b"9\r\nin chunks\r\n%x\r\n%s\r\n0\r\nX-Sum: 42\r\n\r\n" % (len(answer), answer)
                else:
                    lines += [f"Content-Length: {len(answer)}", "", ""]
                connection.sendall("\r\n".join(lines).encode() + answer)


def read_head(stream) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return b""
        head += line
    return head


def read_body(head: bytes, stream) -> bytes:
    """The body as it was sent; of a chunked one its parts joined, since a proxy may cut it as it likes, and its trailers."""
    if length := re.search(rb"(?im)^content-length: *(\d+)", head):
        return stream.read(int(length[1]))
    body = b""
    if re.search(rb"(?im)^transfer-encoding: *chunked", head):
        while size := int(stream.readline(), 16):
            body += stream.read(size)
            stream.readline()
        while (line := stream.readline()) not in (b"\r\n", b""):
            body += line
    return body


def exchange(base: str, head: str, body: bytes = b"") -> bytes:
    """Sends these bytes on a connection of its own, and returns those that come back."""
    address, port = base.removeprefix("http://").split(":")
    with socket.create_connection((address, int(port)), 30) as connection:
        connection.sendall(head.encode("latin-1") + body)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


def joined(answer: bytes) -> bytes:
    """An answer with its chunks joined."""
    stream = io.BytesIO(answer)
    head = read_head(stream)
    return head + read_body(head, stream) + stream.read()
