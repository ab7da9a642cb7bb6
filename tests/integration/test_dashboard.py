"""examples/monitoring under a real Prometheus: it watches the demo's gateways, and then each query of the dashboard and of
the alerts has data. `make test-dashboard` runs it; pytest -s shows what each query has."""

import json
import math
import os
import re
import sys
import time
from contextlib import ExitStack, suppress
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from urllib.parse import urlencode

import pytest
import yaml

import envoy_process
from http_client import request
from processes import PATIENCE_S, ROOT, Child, wait_until
from webdis import BIN, free_port

FOLDER = ROOT / "examples" / "monitoring"
PROMETHEUS = ROOT / ".tools" / "prometheus" / "prometheus"
pytestmark = [
    pytest.mark.only("envoy"),
    pytest.mark.skipif(os.environ.get("HERDGATE_DASHBOARD") != "1", reason="the whole demo under Prometheus: make test-dashboard"),
]


@pytest.fixture(autouse=True)
def healthy():
    """In place of the servers' fixture: the demo has its own."""


class Prometheus:
    """Debian's, with the shipped configuration and rules, but for more haste and for whom it watches."""

    def __init__(self, directory: Path):
        directory.mkdir()
        self.targets = directory / "targets.json"
        self.watched: list[str] = []
        self.watch()
        shipped = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
        shipped["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        [job] = shipped["scrape_configs"]
        del job["static_configs"]
        job["file_sd_configs"] = [{"files": [str(self.targets)], "refresh_interval": "1s"}]
        (directory / "prometheus.yml").write_text(yaml.safe_dump(shipped))
        (directory / "alerts.yml").write_text((FOLDER / "alerts.yml").read_text())
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        options = [f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data", "--log.level=warn"]
        self.child = Child([PROMETHEUS, *options, f"--web.listen-address=127.0.0.1:{port}"], directory / "prometheus.log")
        wait_until(self._is_ready, PATIENCE_S, "Prometheus's start")

    def watch(self, *admins: str) -> None:
        self.watched += [admin.removeprefix("http://") for admin in admins]
        draft = self.targets.with_suffix(".new")
        draft.write_text(json.dumps([{"targets": self.watched}]))
        draft.rename(self.targets)

    def asked(self, path: str, **query) -> dict:
        answer = request(f"{self.base}/api/v1/{path}?{urlencode(query)}").json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def values(self, expression: str, since: float) -> list[list[float]]:
        """Of each series of a query its numbers, as a panel draws them."""
        found = self.asked("query_range", query=expression, start=since, end=time.time(), step=1)["result"]
        return [[float(value) for _, value in series["values"] if not math.isnan(float(value))] for series in found]

    def _is_ready(self) -> bool:
        assert self.child.running(), self.child.log()
        try:
            return request(f"{self.base}/-/ready").status == 200
        except OSError:
            return False


def queries() -> list[tuple[str, str]]:
    """(where it stands, what it asks): of the dashboard each target, of an alert each side of its comparison."""
    panels = json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"]
    filled = lambda text: text.replace("$__rate_interval", "10s").replace("$instance", ".*")  # noqa: E731
    out = [(f"panel {panel['title']}", filled(target["expr"])) for panel in panels for target in panel["targets"]]
    for rule in rules():
        sides = re.split(r" [<>] ", rule["expr"])
        assert len(sides) == 2, rule
        out += [(f"alert {rule['alert']}", side) for side in sides if not re.fullmatch(r"[\d.]+", side)]
    return out


def rules() -> list[dict]:
    return [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]


def demo():
    sys.path.insert(0, str(ROOT / "scripts"))
    loader = SourceFileLoader("demo", str(ROOT / "scripts" / "demo"))
    module = module_from_spec(spec_from_loader("demo", loader))
    loader.exec_module(module)
    return module


def test_each_query_has_data_after_the_demo(tmp_path, monkeypatch):
    assert PROMETHEUS.exists() and (BIN / "webdis").exists(), "run `scripts/setup redis prometheus` first"
    # As in the demo itself: what a gateway tells is its own, and ends with it.
    monkeypatch.setattr(envoy_process, "kept_max", 0)
    program = demo()
    from demo_chapters import meeting

    since = time.time()
    with ExitStack() as running:
        prometheus = Prometheus(tmp_path / "prometheus")
        running.callback(prometheus.child.stop)
        scene = program.start(tmp_path, running)
        prometheus.watch(scene.gateway.admin)
        start_gateway, alone = meeting.start_gateway, meeting.alone

        def watched(*arguments):
            gateway = start_gateway(*arguments)
            prometheus.watch(gateway.admin)
            return gateway

        def met_and_alone(*arguments):
            """Prometheus looks for new targets every five seconds, and the chapter is over as soon."""
            heard_of = lambda: [series["value"][1] for series in prometheus.asked("query", query="herdgate_gateways_now")["result"]]  # noqa: E731
            wait_until(lambda: heard_of() == ["2", "2"], PATIENCE_S, "two gateways that have heard of two", every=0.5)
            alone(*arguments)

        monkeypatch.setattr(meeting, "start_gateway", watched)
        monkeypatch.setattr(meeting, "alone", met_and_alone)
        outcome = program.walk(scene, program.CHAPTERS, False)
        assert not outcome.failed and not outcome.left_out, outcome
        without = lambda: [one for one in queries() if not any(prometheus.values(one[1], since))]  # noqa: E731
        with suppress(TimeoutError):
            wait_until(lambda: not without(), 10, "data", every=0.5)
        assert without() == []
        for where, expression in queries():
            series = [numbers for numbers in prometheus.values(expression, since) if numbers]
            most = max(max(numbers) for numbers in series)
            print(f"{where}: {len(series)} series, most {most:.4g}   {expression[:90]}")
        # It takes each rule, and finds nothing wrong with it.
        [group] = prometheus.asked("rules")["groups"]
        assert [rule["name"] for rule in group["rules"]] == [rule["alert"] for rule in rules()]
        assert [(rule["name"], rule["lastError"]) for rule in group["rules"] if rule["health"] != "ok"] == []
        assert len(prometheus.watched) == 3
