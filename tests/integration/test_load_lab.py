"""The load lab's own arithmetic, what it asserts, and the report that it draws. What it measures, `make load` does."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from processes import ROOT

sys.path.append(str(ROOT / "scripts"))

import plots  # noqa: E402
from load_lab import callers, day, herd, matrix, page, results  # noqa: E402
from load_lab.results import Part, Plot, Series, Table, by_second, failed, ms, not_of, peak_over_mean  # noqa: E402
from load_lab.stage import LATE_US, Load, Stage, at, lateness  # noqa: E402

# Nothing here depends on the gateway, so once is enough.
pytestmark = pytest.mark.only("envoy")


@pytest.fixture(autouse=True)
def healthy():
    """In place of the servers' fixture: no server is needed here."""


def loaded(statuses: dict[str, int], *, calls: int = 10, p99_us: int = 900, late_us: int = 100, cpu_us: float = 50, errors: int = 0) -> Load:
    latency = {"mean": 500, "p50": 400, "p90": 800, "p99": p99_us, "max": 9000}
    kinds = {"timeout": errors} if errors else {}
    report = {"statuses": statuses, "errors": errors, "error_kinds": kinds, "answers": sum(statuses.values()), "latency_us": latency, "late_us": {**latency, "p99": late_us}}
    return Load(report, 1.0, 0.1, 0.2, cpu_us, cpu_us, calls, 10)


@pytest.fixture
def stage(tmp_path) -> Stage:
    return Stage(tmp_path, quick=False)


def checked(stage: Stage, **ours) -> list[str]:
    """What fails of the callers' checks, with a leg without the filter that gets much wrong."""
    names = ["fast", "paced"]
    legs = {(name, "without"): loaded({"200": 2000, "504": 71}, calls=2071, p99_us=270_000, cpu_us=900, errors=5) for name in names}
    legs |= {(name, "with"): loaded(**{"statuses": {"200": 2000}, **ours}) for name in names}
    part = Part("callers", "", "")
    callers.checks(part, stage, names, legs)
    return [check.text for check in failed([part])]


def test_what_the_leg_without_the_filter_gets_wrong_is_a_result(stage):
    assert checked(stage) == []


@pytest.mark.parametrize(
    "ours, what",
    [
        ({"statuses": {"200": 1999, "504": 1}}, "gets its token"),
        ({"errors": 1}, "gets its token"),
        ({"calls": 11}, "one call at the server"),
        ({"calls": 0}, "one call at the server"),
        ({"p99_us": 5001}, "within 5 ms"),
        ({"cpu_us": 900}, "less CPU"),
    ],
)
def test_what_the_leg_with_the_filter_gets_wrong_fails_the_run(stage, ours, what):
    assert any(what in text for text in checked(stage, **ours))


def test_in_the_short_form_times_are_told_and_answers_asserted(stage):
    stage.quick = True
    assert checked(stage, p99_us=90_000, cpu_us=5000) == []
    assert checked(stage, statuses={"200": 1, "401": 1}) != []


def test_a_generator_that_is_late_is_said_to_be(stage):
    stage.loads = [("a", loaded({"200": 1})), ("b", loaded({"200": 1}, late_us=LATE_US + 1))]
    check = lateness(stage)
    assert not check.held and check.asserted and "b: 5.0 ms" in check.found
    stage.loads.pop()
    assert lateness(stage).held


def test_counts_by_second_and_their_peak():
    per_second = by_second({"100": 4, "102": 40, "99": 7}, 100, 4)
    assert per_second == [4, 0, 40, 0]
    assert peak_over_mean(per_second, 10) == 4.0
    assert peak_over_mean([], 10) == 0.0
    assert not_of({"statuses": {"200": 3, "503": 2}, "errors": 1}, "200") == 3
    assert (ms(1234), ms(987_600)) == ("1.23", "988")
    assert at(100, 1.5) == {"pace": "100:1.5"}


def test_the_simulations_tables_are_read():
    text = """
20000 clients log in within 10 s; tokens live 3600 s
  expiry without jitter   jitter 0.1
       1          360.0         15.3
       2          360.0         10.0

calls in the first second                             20000           52
calls under way at most                                1000           50
answers 503 with Retry-After, per client                  -          3.4
seconds until all are served (at best 20)                 -           61
"""
    expiries, recovery = herd.paper(text)
    assert expiries == [(360.0, 15.3), (360.0, 10.0)]
    assert recovery[0] == ["calls in the first second", "20000", "52"] and recovery[-1][1:] == ["-", "61"] and len(recovery) == 4


def test_a_day_rises_and_falls_and_a_late_refusal_counts():
    rates = [float(part.split(":")[0]) for part in day.pace(0.5, 10, 90, 3).split(",")]
    assert len(rates) == 24 and rates[:3] == [0, 0, 0] and rates[4] == 10 and rates[16] == 90 and rates[10] == 50
    good, bad = {"statuses": {"200": 5}}, {"statuses": {"401": 5}}
    slots = [good] * 18 + [bad] * 6
    assert day.refused_late(slots, 10) == 0
    # The feed is read every second, so the hour of the revocation itself may have both; here an hour is half a second.
    assert day.refused_late([good] * 22 + [bad] * 2, 0.5) == 0
    assert day.refused_late([good] * 20 + [bad] * 4, 10) == 5
    assert day.refused_late([*slots[:17], bad, *slots[18:]], 10) == 5


def test_each_published_row_has_its_rate():
    assert matrix.published("token", 2) == "199" and matrix.published("malformed", 0) == "0.88 to 1.33"
    assert matrix.published("introspect, invalid", 0) == "-"


def test_scales_are_round_and_hold_what_is_drawn():
    assert plots.ticks(97) == [0, 20, 40, 60, 80, 100]
    assert plots.ticks(0) == [0, 1]
    assert plots.powers(0.3, 270) == pytest.approx([0.1, 1, 10, 100, 1000])
    assert [plots.short(value) for value in (0.25, 999_999, 1_000_000, 12_500_000)] == ["0.25", "999,999", "1 M", "12.5 M"]
    linear = plots.Scale([0, 97], False, 0, 500)
    assert (linear(0), linear(50), linear(100)) == (0, 250, 500)
    log = plots.Scale([1, 90], True, 0, 500)
    assert (log(0), log(1), log(10), log(100)) == (0, 0, 250, 500)


@pytest.mark.parametrize("form, log, points", [("lines", False, [(0, 1), (5, 2000)]), ("lines", True, [(1, 0.5), (2, 300)]), ("bars", True, [(0, 3), (1, 0)]), ("lines", False, [])])
def test_every_plot_is_well_formed(form, log, points):
    plot = Plot("p", "A <title>", "x", "ms", [Series("a & b", points, "with"), Series("c", points)], form, log, ["one", "two"])
    text = plots.drawn(results.asdict(plot))
    ElementTree.fromstring(text)
    assert "NaN" not in text and "a &amp; b" in text


def test_bars_with_their_spread_are_well_formed():
    text = plots.spreads("Cost", "us", [("none", -0.1, -0.2, 1.0), ("herdgate <hot>", 1.1, 1.05, 1.2)], "1.00: an empty filter")
    ElementTree.fromstring(text)
    assert "herdgate &lt;hot&gt;" in text and ">1.10<" in text
    assert not re.search(r'(width|height)="-', text)


def test_one_long_bar_leaves_the_others_their_length():
    rows = [("none", 1.0, 0.9, 1.1), ("herdgate", 1.5, 1.4, 1.6), ("dear", 50.0, 49.0, 51.0)]

    def widths(*rows) -> list[float]:
        return [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', plots.spreads("Cost", "us", list(rows), "1.00: none"))]

    assert widths(*rows)[:2] == widths(*rows[:2])
    assert widths(*rows)[2] == plots.ENDS - plots.NAMES and ">50.00<" in plots.spreads("Cost", "us", rows, "1.00: none")


def test_the_report_is_one_file_that_asks_for_nothing(tmp_path):
    part = Part("matrix", "Tokens & rates", "<text>", [Table("caption", ["a"], [["<cell>"]])], [Plot("plot", "t", "x", "y", [Series("s", [(0, 1), (1, 2)])])])
    part.check("holds", True, "1")
    part.check("is told", False, "2", asserted=False)
    part.check("is asserted", False, "3")
    assert [check.text for check in failed([part])] == ["is asserted"]
    run = {"run": {"made": "now", "quick": False, "token_ms": 162, "seconds": 1, "cores": 2, "model": "m"}, "parts": [part.plain()]}
    text = page.written(run, tmp_path).read_text()
    assert "&lt;cell&gt;" in text and "&lt;text&gt;" in text and "1 of what must hold does not" in text
    assert {url for url in re.findall(r'(?:https?:)?//[^\s"<]+', text)} == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(script|link|img|iframe)|@import|url\(", text)
    assert (tmp_path / "plot.svg").exists()
    # What is drawn anew from the data is the same.
    again = subprocess.run([sys.executable, ROOT / "scripts" / "load", "--report", tmp_path / "report.json", "--out", tmp_path / "again"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again" / "report.html").read_text() == text
    assert json.loads((tmp_path / "report.json").read_text()) == run | {"parts": json.loads(json.dumps(run["parts"]))}
