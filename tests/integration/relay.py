"""A way to a server on which answers can be held up, and which can lead to another one."""

import socket
import threading
import time


class Relay:
    """Passes on what comes, each way; answers only after `answers_after_s`."""

    def __init__(self, port: int):
        self.to, self.answers_after_s = port, 0.0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lead(self, port: int) -> None:
        """From now on to this one."""
        self.to = port
        while self.open:
            _end(self.open.pop())

    def close(self) -> None:
        _end(self.listener)
        self.lead(self.to)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                near.close()
                continue
            self.open += [near, far]
            for source, sink, holds in [(near, far, False), (far, near, True)]:
                threading.Thread(target=self._pass_on, args=(source, sink, holds), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, holds: bool) -> None:
        try:
            while data := source.recv(65_536):
                if holds and self.answers_after_s:
                    time.sleep(self.answers_after_s)
                sink.sendall(data)
        except OSError:
            pass
        _end(sink)


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()
