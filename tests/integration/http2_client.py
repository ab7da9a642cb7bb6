"""HTTP/2 in clear text with prior knowledge: many requests on one connection, trailers where a test wants them."""

import socket
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events

from http_client import Answer

Pairs = list[tuple[str, str]]


class Http2:
    """One connection. Requests are numbered from 0 in the order in which they were sent."""

    def __init__(self, base: str, timeout_s: float = 30):
        self._authority = urlsplit(base).netloc
        address = urlsplit(base)
        self._socket = socket.create_connection((address.hostname, address.port), timeout_s)
        # Names and values go out as they are: what a gateway does with odd ones is for tests to see.
        settings = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="latin-1")
        self._connection = h2.connection.H2Connection(settings)
        self._connection.initiate_connection()
        self._streams: list[int] = []
        self._answers: dict[int, Answer] = {}
        self._ended: set[int] = set()
        self._flush()

    def send(self, method: str, path: str, headers: dict | Pairs = (), body: str | bytes | None = None, trailers: Pairs = ()) -> int:
        """Sends one request; with trailers, those end it."""
        stream = self._connection.get_next_available_stream_id()
        pairs = [(":method", method), (":scheme", "http"), (":authority", self._authority), (":path", path)]
        pairs += list(headers.items()) if isinstance(headers, dict) else list(headers)
        body = body.encode() if isinstance(body, str) else body
        self._connection.send_headers(stream, pairs, end_stream=body is None and not trailers)
        if body is not None:
            self._connection.send_data(stream, body, end_stream=not trailers)
        if trailers:
            self._connection.send_headers(stream, list(trailers), end_stream=True)
        self._flush()
        self._streams.append(stream)
        return len(self._streams) - 1

    def reset_last(self) -> None:
        """Takes the last request back, as a client does that waits no longer."""
        self._connection.reset_stream(self._streams[-1], 8)
        self._ended.add(self._streams.pop())
        self._flush()

    def answers(self) -> list[Answer]:
        """The answers to everything that was sent; status 0 for a stream that was reset."""
        while not self._ended.issuperset(self._streams):
            data = self._socket.recv(65536)
            assert data, "the connection ended before all answers had come"
            for event in self._connection.receive_data(data):
                self._take(event)
            self._flush()
        return [self._answers[stream] for stream in self._streams]

    def request(self, method: str, path: str, headers: dict | Pairs = (), body: str | bytes | None = None, trailers: Pairs = ()) -> Answer:
        number = self.send(method, path, headers, body, trailers)
        return self.answers()[number]

    def close(self) -> None:
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _take(self, event) -> None:
        match event:
            case h2.events.ResponseReceived():
                headers = [(name, value) for name, value in event.headers if not name.startswith(":")]
                self._answers[event.stream_id] = Answer(int(dict(event.headers)[":status"]), headers, b"")
            case h2.events.DataReceived():
                self._answers[event.stream_id].body += event.data
                self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self._ended.add(event.stream_id)
            case h2.events.StreamReset():
                self._answers.setdefault(event.stream_id, Answer(0, [], b""))
                self._ended.add(event.stream_id)

    def _flush(self) -> None:
        if data := self._connection.data_to_send():
            self._socket.sendall(data)
