"""The benchmark's own arithmetic, and that its page, its suites and its results name the same. What it measures,
`make bench` does."""

import re
import subprocess
import sys
from collections import Counter

import pytest

from processes import ROOT

sys.path.append(str(ROOT / "scripts"))

from bench_suites import distinct, flood, measure, tables  # noqa: E402
from bench_suites.absolute import ABSOLUTE  # noqa: E402
from bench_suites.measure import Variant, Wrong, took_its_way  # noqa: E402
from bench_suites.ratios import SUITES  # noqa: E402
from gateway import Metrics  # noqa: E402
from tokens import Key, unb64  # noqa: E402

# Nothing here depends on the gateway, so once is enough.
pytestmark = pytest.mark.only("envoy")

FIGURES = {"none": [50_000.0, 40_000.0, 60_000.0], "empty filter": [100_000.0, 50_000.0, 100_000.0], "herdgate, hot": [110_000.0, 60_000.0, 105_000.0]}


@pytest.fixture(autouse=True)
def healthy():
    """In place of the servers' fixture: no server is needed here."""


def test_ratios_are_taken_within_a_round():
    section = tables.of_ratios("t", "h", FIGURES)
    assert section["head"] == ["variant", "CPU us a request", "to none", "to the empty filter"]
    # By rounds 1.1, 1.2 and 1.05; of the medians it would be 1.05.
    assert section["rows"][2] == ["herdgate, hot", "105.0 (60.0-110.0)", "1.75 (1.50-2.20)", "1.10 (1.05-1.20)"]
    assert section["rows"][1][3] == "1.00"
    assert section["bars"][2] == ["herdgate, hot", 1.1, 1.05, 1.2]
    assert tables.median_ratio(FIGURES, "herdgate, hot", "empty filter") == pytest.approx(1.1)


def test_another_base_and_values():
    figures = {"no plugin": [10.0, 20.0], "jwt": [40.0, 60.0]}
    assert tables.of_ratios("t", "h", figures, "no plugin")["rows"][1][2] == "3.50 (3.00-4.00)"
    assert tables.of_values("t", "h", "%", figures)["rows"] == [["no plugin", "15.0 (10.0-20.0)"], ["jwt", "50.0 (40.0-60.0)"]]


def test_a_figure_of_another_way_is_refused():
    variant = Variant("v", {}, [], way="herdgate.bearer.l1_hit")
    before = Metrics({"herdgate.bearer.l1_hit": 100})
    took_its_way(variant, before, Metrics({"herdgate.bearer.l1_hit": 1099}), 1000)
    for counted in (100, 1000, 1101):
        with pytest.raises(Wrong):
            took_its_way(variant, before, Metrics({"herdgate.bearer.l1_hit": counted}), 1000)


def test_the_page_has_a_block_for_each_suite_and_the_results_none_besides():
    blocks = [found["name"] for found in tables.BLOCK.finditer(tables.PAGE.read_text())]
    assert sorted(blocks) == sorted([*SUITES, *ABSOLUTE])
    assert set(tables.kept()) <= set(blocks)


def test_blocks_are_drawn_from_the_results():
    section = {**tables.of_ratios("Title", "How.", FIGURES), "environment": {"made": "2026-01-02", "cores": 2, "model": "M"}}
    text = "a\n<!-- bench: limits -->\nstale\n<!-- end -->\nb\n<!-- bench: cold -->\n<!-- end -->\n"
    drawn = tables.page(text, {"limits": section})
    assert "stale" not in drawn and "How. Measured 2026-01-02 on 2 cores of M.\n\n| variant |" in drawn and "![Title](docs/images/bench-limits.svg)" in drawn
    assert "<!-- bench: cold -->\nNot measured yet.\n<!-- end -->" in drawn
    assert tables.page(drawn, {"limits": section}) == drawn


def test_each_variant_has_one_name_in_its_suite():
    done = subprocess.run([sys.executable, "-B", ROOT / "scripts" / "bench", "--list"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    suites = {name: names.split("; ") for name, names in (line.split(": ", 1) for line in done.stdout.splitlines())}
    assert suites.keys() == SUITES.keys()
    for name, names in suites.items():
        assert max(Counter(names).values()) == 1, name
        assert {"none", "empty filter"} <= set(names), name


@pytest.mark.parametrize("alg, size", [("RS256", 256), ("ES256", 64), ("ES384", 96), ("EdDSA", 64)])
def test_forged_signatures_have_the_form_of_good_ones(alg, size):
    key = Key(alg, "k")
    found = {flood.signature(key) for _ in range(3)}
    assert len(found) == 3 and all(len(unb64(text)) == size for text in found)


def test_of_ten_requests_one_comes_again():
    mixed = distinct.between([f"t{n}" for n in range(1, 1801)], [f"g{n}" for n in range(100)])
    again = [token for token in mixed if token.startswith("g")]
    assert len(mixed) == 2000 and len(again) == 200 and set(Counter(again).values()) == {2}
    assert mixed[9] == "g1" and not re.match("g", mixed[8])


def test_spread_and_three():
    assert measure.spread([3.0, 1.0, 2.0]) == "2.00 (1.00-3.00)"
    assert measure.three([3.0, 1.0, 2.0]) == [2.0, 1.0, 3.0]
