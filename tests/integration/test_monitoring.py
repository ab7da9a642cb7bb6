"""examples/monitoring: what its alerts and its dashboard ask for is what a gateway tells."""

import json
import re

import pytest
import yaml

import doc_tables
from processes import ROOT

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
