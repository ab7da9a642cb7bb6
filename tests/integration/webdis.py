"""A real Redis and a real Webdis in front of it, from .tools/bin, on free ports of the loopback interface."""

import base64
import json
import socket
from pathlib import Path

from http_client import request
from processes import PATIENCE_S, ROOT, Child, wait_until

BIN = ROOT / ".tools" / "bin"
USER, PASSWORD = "herdgate", "a-password-of-webdis"
AUTHORIZATION = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Redis:
    """redis-server without a disk: what it knew is gone when it stops."""

    def __init__(self, directory: Path, *more):
        self.directory, self.more = directory, more
        self.port = free_port()
        self.start()

    def start(self) -> None:
        options = [*self.more, "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.directory]
        self.child = Child([BIN / "redis-server", *options], self.directory / "redis.log")
        wait_until(lambda: self._answers(), PATIENCE_S, "Redis's start")

    def stop(self) -> None:
        self.child.stop()

    def ask(self, *words: str):
        """One command in Redis's own protocol."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            parts = [word.encode() for word in words]
            connection.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
            return _answer(connection.makefile("rb"))

    def everything(self) -> dict[str, list[str]]:
        """All keys with all that is in them."""
        out = {}
        for key in self.ask("KEYS", "*"):
            kinds = {"zset": ["ZRANGE", key, "0", "-1", "WITHSCORES"], "hash": ["HGETALL", key]}
            members = kinds.get(self.ask("TYPE", key), ["MGET", key])
            out[key] = [str(value) for value in self.ask(*members)]
        return out

    def _answers(self) -> bool:
        try:
            return self.ask("PING") == "PONG"
        except OSError:
            return False


def _answer(stream):
    line = stream.readline().decode().rstrip("\r\n")
    kind, rest = line[:1], line[1:]
    if kind == "*":
        return [_answer(stream) for _ in range(int(rest))]
    if kind == "$":
        return stream.read(int(rest) + 2)[:-2].decode() if int(rest) >= 0 else None
    if kind == "-":
        raise RuntimeError(rest)
    return int(rest) if kind == ":" else rest


class Webdis:
    """As the documents say that it should be: on loopback, scripts alone, behind a password."""

    def __init__(self, directory: Path, redis: Redis):
        self.directory = directory
        self.port = free_port()
        settings = {
            "redis_host": "127.0.0.1",
            "redis_port": redis.port,
            "http_host": "127.0.0.1",
            "http_port": self.port,
            "threads": 2,
            "daemonize": False,
            "verbosity": 2,
            "logfile": str(directory / "webdis-own.log"),
            "acl": [{"disabled": ["*"]}, {"http_basic_auth": f"{USER}:{PASSWORD}", "enabled": ["EVAL", "EVALSHA"]}],
        }
        self.settings = directory / "webdis.json"
        self.settings.write_text(json.dumps(settings))
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def meeting(self, every_ms: int) -> dict:
        """How a configuration names it as the place where gateways meet."""
        where = {"uri": self.uri, "allow_http": True, "cluster": "webdis", "every_ms": every_ms, "timeout_ms": 1000}
        return {**where, "headers": {"authorization": AUTHORIZATION}}

    def start(self) -> None:
        self.child = Child([BIN / "webdis", self.settings], self.directory / "webdis.log")
        wait_until(lambda: self._answers(), PATIENCE_S, "Webdis's start")

    def stop(self) -> None:
        self.child.stop()

    def _answers(self) -> bool:
        try:
            return request(self.uri + "PING").status == 403
        except OSError:
            return False
