"""What a run found: parts with tables, plots and checks, as plain data that the report is drawn from."""

from dataclasses import asdict, dataclass, field


@dataclass
class Check:
    """Something that must hold. `asserted`: the run fails where it doesn't; else it is only said."""

    text: str
    held: bool
    found: str
    asserted: bool = True


@dataclass
class Table:
    caption: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)


@dataclass
class Series:
    name: str
    points: list[tuple[float, float]]
    # "with", "without", "published": which colour it has in every plot.
    kind: str = ""


@dataclass
class Plot:
    """`bars` has one point (index of the group, value) for each group of `groups`."""

    name: str
    title: str
    x: str
    y: str
    series: list[Series]
    form: str = "lines"
    log: bool = False
    groups: list[str] = field(default_factory=list)


@dataclass
class Part:
    name: str
    title: str
    text: str
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def check(self, text: str, held: bool, found: object = "", asserted: bool = True) -> None:
        self.checks.append(Check(text, bool(held), str(found), asserted))

    def plain(self) -> dict:
        return asdict(self)


def failed(parts: list[Part]) -> list[Check]:
    return [check for part in parts for check in part.checks if check.asserted and not check.held]


# ---- arithmetic --------------------------------------------------------------------------------------------------


def ms(us: float) -> str:
    """Microseconds as milliseconds, with as many digits as say something."""
    value = us / 1000
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def answers(report: dict) -> str:
    parts = [f"{count:,} x {code}" for code, count in report["statuses"].items()]
    parts += [f"{count:,} x {kind}" for kind, count in report["error_kinds"].items()]
    return ", ".join(parts) or "none"


def share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def not_of(report: dict, *wanted: str) -> int:
    """How many requests weren't answered with one of these statuses."""
    return sum(count for code, count in report["statuses"].items() if code not in wanted) + report["errors"]


def by_second(counts: dict[str, int], start: int, seconds: int) -> list[int]:
    """Counts by the second of the epoch as a list from `start` on."""
    return [counts.get(str(start + n), 0) for n in range(seconds)]


def peak_over_mean(per_second: list[int], mean: float) -> float:
    return max(per_second, default=0) / mean if mean else 0.0
