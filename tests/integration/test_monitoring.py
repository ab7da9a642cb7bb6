"""examples/monitoring: what its alerts and its dashboard ask for is what a gateway tells."""

import json
import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest
import yaml

import doc_tables
from http_client import request
from processes import ROOT, wait_until
from world import World

FOLDER = ROOT / "examples" / "monitoring"
pytestmark = pytest.mark.only("envoy")


def expressions() -> list[str]:
    rules = [rule["expr"] for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
    panels = json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"]
    return rules + [target["expr"] for panel in panels for target in panel["targets"]]


def exported() -> dict[str, str | None]:
    """What Prometheus calls each metric, and the label that a part of its name has become."""
    out: dict[str, str | None] = {}
    kinds = [(name, "counter") for name, _ in doc_tables.metrics()] + [(name, kind) for name, kind, _ in doc_tables.measures()]
    for name, kind in kinds:
        label = None
        if ".bearer." in name and name.endswith(".REASON"):
            name, label = name.removesuffix(".REASON"), "reason"
        for part, of in (("limit.NAME", "limit"), ("issuer.NAME", "issuer"), ("table.TABLE", "table")):
            if part in name:
                name, label = name.replace(part, of), of
        plain = name.replace(".", "_")
        out[f"{plain}_bucket" if kind == "histogram" else plain] = label
    return out


def test_every_expression_asks_for_what_there_is():
    known, asked = exported(), 0
    for expression in expressions():
        names = re.findall(r"herdgate_[a-z0-9_]+", expression)
        assert names, expression
        for name in names:
            asked += 1
            assert name in known, expression
        labels = set(re.findall(r"(\w+)=~?\"", expression)) | set(re.findall(r"(\w+)", " ".join(re.findall(r"by \(([^)]*)\)", expression))))
        for label in labels - {"instance", "le"}:
            assert any(known[name] == label for name in names), f"{label} in {expression}"
    assert asked > 40


def test_alerts_cover_what_the_page_says_to_alert_on():
    """Each alert explains itself, and the worst of the page's table are among them."""
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 12
    assert all(rule["annotations"]["summary"] and rule["annotations"]["description"] for rule in rules)
    text = " ".join(rule["expr"] for rule in rules)
    for name in ("keys_unavailable", "revocation_unavailable", "revocation_not_kept", "shared_full", "limit_failed", "sync_failed"):
        assert name in text


def watch():
    loader = SourceFileLoader("watch", str(ROOT / "scripts" / "watch"))
    module = module_from_spec(spec_from_loader("watch", loader))
    loader.exec_module(module)
    return module


def test_the_terminal_view_reads_names_of_both_hosts():
    envoy = """# TYPE herdgate_bearer_rejected counter
herdgate_bearer_rejected{reason="expired"} 3
herdgate_limit_denied{limit="per-user"} 2
herdgate_table_filled_percent{table="tokens"} 41
herdgate_call_took_ms_bucket{le="5"} 9
envoy_cluster_upstream_rq{cluster="api"} 7
"""
    kong = """# TYPE pw_herdgate_herdgate.bearer.rejected.expired counter
pw_herdgate_herdgate.bearer.rejected.expired 3
pw_herdgate_herdgate.limit.per_user.denied{worker="1"} 1
pw_herdgate_herdgate.limit.per_user.denied{worker="2"} 1
pw_herdgate_herdgate.table.tokens.filled_percent 41
pw_herdgate_herdgate.call.took_ms{le="1"} 9
pw_herdgate_herdgate.call.took_ms_sum 4
"""
    expected = {("bearer_rejected", "expired"): 3, ("table_filled_percent", "tokens"): 41}
    assert watch().read(envoy) == {**expected, ("limit_denied", "per-user"): 2}
    assert watch().read(kong) == {**expected, ("limit_denied", "per_user"): 2}


def test_the_terminal_view_of_a_running_gateway(start_gateway, world: World, tmp_path):
    gateway = start_gateway(world.config(), fresh=True)
    for token in [world.own(), world.own(lifetime_s=-600), world.own()]:
        request(gateway.base_url + "/orders", headers={"authorization": f"Bearer {token}"})

    def shown() -> str:
        command = [sys.executable, ROOT / "scripts" / "watch", gateway.admin, "--once", "--every", "0.2"]
        return subprocess.run(command, capture_output=True, text=True, check=True, env={"COLUMNS": "140", "PATH": "/usr/bin:/bin"}).stdout

    wait_until(lambda: "expired" in shown() and "table tokens" in shown(), 20, "the reason of the refusal, and a table")
    assert "nothing fails" in shown()
    picture = tmp_path / "watch.svg"
    subprocess.run([sys.executable, ROOT / "scripts" / "watch", gateway.admin, "--svg", picture, "--every", "0.2"], capture_output=True, check=True)
    drawn = picture.read_text()
    # Whoever looks at it asks nobody for a font.
    assert "expired" in drawn and "<svg" in drawn and "url(\"http" not in drawn and "@font-face" not in drawn
    away = subprocess.run([sys.executable, ROOT / "scripts" / "watch", "http://127.0.0.1:1", "--once"], capture_output=True, text=True)
    assert away.returncode == 1 and "can't be read" in away.stdout
