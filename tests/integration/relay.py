"""A way to a server on which answers can be held up, and which can lead to another one."""

import socket
import threading
import time

from listening import Listening, end


class Relay(Listening):
    """Passes on what comes, each way; answers only after `answers_after_s`."""

    def __init__(self, port: int):
        self.to, self.answers_after_s = port, 0.0
        self.open: list[socket.socket] = []
        super().__init__()

    def lead(self, port: int) -> None:
        """From now on to this one."""
        self.to = port
        while self.open:
            end(self.open.pop())

    def close(self) -> None:
        self.stop()
        self.lead(self.to)

    def serve(self, connection: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self.to))
        except OSError:
            connection.close()
            return
        self.open += [connection, far]
        threading.Thread(target=self._pass_on, args=(far, connection, True), daemon=True).start()
        self._pass_on(connection, far, False)

    def _pass_on(self, source: socket.socket, sink: socket.socket, holds: bool) -> None:
        try:
            while data := source.recv(65_536):
                if holds and self.answers_after_s:
                    time.sleep(self.answers_after_s)
                sink.sendall(data)
        except OSError:
            pass
        end(sink)
