"""Envoy's access log as docs/answers-and-metrics.md has it: what a test reads is what an operator sees."""

import json
import re
from pathlib import Path

import yaml

from envoy import Envoy, connection_manager, make_listener
from processes import PATIENCE_S, ROOT, wait_until

PAGE = ROOT / "docs" / "answers-and-metrics.md"
NAMES = ("verdict", "reason", "rule", "issuer", "subject")


def documented() -> list[dict]:
    """The `access_log` of the page."""
    block = re.search(r"<!-- access log -->\n```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return yaml.safe_load(block[1])["access_log"]


class AccessLog:
    """A gateway's own; each request that a test sends is a line of it."""

    def __init__(self, path: Path):
        self.path = path
        self.read = 0

    def of(self, listener: dict) -> dict:
        """The listener, with this log."""
        (log,) = documented()
        log["typed_config"]["path"] = str(self.path)
        connection_manager(listener)["access_log"] = [log]
        return listener

    def lines(self) -> list[dict]:
        text = self.path.read_text() if self.path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def next(self) -> dict:
        """The line of the request after the last one that was asked for."""
        wait_until(lambda: len(self.lines()) > self.read, PATIENCE_S, "a line of the access log")
        self.read += 1
        return self.lines()[self.read - 1]

    def next_says(self) -> tuple:
        """Details of the next one, and its verdict, reason, rule, issuer and subject."""
        line = self.next()
        return (line["details"], *(line[name] for name in NAMES))


def start_logged(gateway: Envoy, config: dict) -> AccessLog:
    log = AccessLog(gateway.directory / "access.log")
    log.path.unlink(missing_ok=True)
    gateway.start_listener(log.of(make_listener(config, gateway.wasm, gateway.upstreams.env)))
    return log
