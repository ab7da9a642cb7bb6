"""What was measured, as data, and what is drawn from it: the tables of BENCHMARKS.md and the pictures.

benches/results.json has a section for each suite: its title, a sentence on how it was measured, a table (`head`, `rows`)
and bars (name, median, least, greatest). `scripts/bench --keep` writes a section, `scripts/picture` draws them all.
"""

import json
import re
import statistics
from pathlib import Path

import plots

from bench_suites.measure import ratio, spread, three
from processes import ROOT

RESULTS = ROOT / "benches" / "results.json"
PAGE = ROOT / "BENCHMARKS.md"
IMAGES = ROOT / "docs" / "images"
BLOCK = re.compile(r"<!-- bench: (?P<name>[a-z-]+) -->\n(?P<body>.*?)<!-- end -->", re.DOTALL)
# The README's picture has a name of its own.
PICTURES = {"hot": "cost.svg"}
YARDSTICK = "empty filter"


def of_ratios(title: str, how: str, figures: dict[str, list[float]], base: str = YARDSTICK) -> dict:
    """The section of a suite whose figures are CPU nanoseconds per request, by round."""
    bases = [name for name in dict.fromkeys(("none", base)) if name in figures]
    rows, bars = [], []
    for name, values in figures.items():
        cells = [spread([ns / 1000 for ns in values], 1), *("1.00" if name == one else spread(ratio(figures, name, one)) for one in bases)]
        rows.append([name, *cells])
        if base in figures:
            bars.append([name, *three(ratio(figures, name, base))])
    head = ["variant", "CPU us a request", *(f"to the {one}" if one == YARDSTICK else f"to {one}" for one in bases)]
    return {"title": title, "how": how, "head": head, "rows": rows, "one": f"1.00: {base}", "unit": f"CPU per request, {base} = 1", "bars": bars}


def of_values(title: str, how: str, unit: str, figures: dict[str, list[float]], digits: int = 1) -> dict:
    """The section of a suite with one figure a row, by round."""
    rows = [[name, spread(values, digits)] for name, values in figures.items()]
    return {"title": title, "how": how, "head": ["what", unit], "rows": rows, "one": "", "unit": unit, "bars": [[name, *three(values)] for name, values in figures.items()]}


def markdown(section: dict) -> str:
    lines = [f"| {' | '.join(section['head'])} |", "|" + "---|" * len(section["head"]), *(f"| {' | '.join(row)} |" for row in section["rows"])]
    return "\n".join(lines)


# ---- what is kept ------------------------------------------------------------------------------------------------


def kept() -> dict:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(name: str, section: dict, environment: dict) -> None:
    results = {**kept(), name: {**section, "environment": environment}}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def picture_of(name: str) -> Path:
    return IMAGES / PICTURES.get(name, f"bench-{name}.svg")


def pictures(results: dict) -> dict[Path, str]:
    """Each picture and what it must hold."""
    out = {}
    for name, section in results.items():
        if section["bars"]:
            title = f"{section['title']}: {section['unit']}" if section["one"] else section["title"]
            out[picture_of(name)] = plots.spreads(title, section["unit"], [tuple(row) for row in section["bars"]], section["one"])
    return out


def page(text: str, results: dict) -> str:
    """The page with each block as the results say; a block without results says how to get them."""

    def body(found: re.Match) -> str:
        name = found["name"]
        if name not in results:
            return f"<!-- bench: {name} -->\nNot measured yet.\n<!-- end -->"
        section = results[name]
        picture = f"\n![{section['title']}]({picture_of(name).relative_to(ROOT)})\n" if section["bars"] else ""
        about = section.get("environment", {})
        made = f" Measured {about['made']} on {about['cores']} cores of {about['model']}." if about else ""
        return f"<!-- bench: {name} -->\n{section['how']}{made}\n\n{markdown(section)}\n{picture}<!-- end -->"

    return BLOCK.sub(body, text)


def median_ratio(figures: dict[str, list[float]], name: str, base: str) -> float:
    return statistics.median(ratio(figures, name, base))
