"""Plots as SVG, from plain data: lines over numbers, bars in groups, and bars with their spread. Each is whole by itself."""

import math
from html import escape

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 64
# Colours by what a series is; others take the rest in turn. Each has 3:1 on white and on the dark page at least.
KINDS = {"with": 0, "without": 1, "published": 2}
LIGHT = ["#0969da", "#bc4c00", "#6e7781", "#1a7f37", "#8250df", "#bf3989"]
DARK = ["#4493f8", "#f0883e", "#9198a1", "#3fb950", "#ab7df8", "#f778ba"]
STYLE = (
    "text{fill:#1f2328}.axis{stroke:#57606a}.grid{stroke:#d0d7de}.ink{stroke:#1f2328}"
    + "".join(f".f{n}{{fill:{colour}}}.s{n}{{stroke:{colour}}}" for n, colour in enumerate(LIGHT))
    + "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.axis{stroke:#9198a1}.grid{stroke:#30363d}.ink{stroke:#e6edf3}"
    + "".join(f".f{n}{{fill:{colour}}}.s{n}{{stroke:{colour}}}" for n, colour in enumerate(DARK))
    + "}"
)


def drawn(plot: dict) -> str:
    """A plot of results.Plot's fields."""
    return (grouped if plot["form"] == "bars" else lines)(plot)


# ---- scales ------------------------------------------------------------------------------------------------------


def ticks(top: float) -> list[float]:
    """Round numbers from 0 to at least `top`, four to eight of them."""
    if top <= 0:
        return [0, 1]
    raw = top / 5
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= raw * 0.999)
    count = math.ceil(top / step - 1e-9)
    return [step * n for n in range(count + 1)]


def powers(low: float, high: float) -> list[float]:
    """Powers of ten around what is between."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**n for n in range(first, max(last, first + 1) + 1)]


def short(value: float) -> str:
    """What has room beside an axis."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.4g} M"
    if value and abs(value) < 1:
        return f"{value:.3g}"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


class Scale:
    """From values to pixels, linear from 0 or logarithmic."""

    def __init__(self, values: list[float], log: bool, start: float, end: float):
        above = [value for value in values if value > 0]
        self.log = log and bool(above)
        self.ticks = powers(min(above), max(above)) if self.log else ticks(max(values, default=0))
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        first, last = self.ticks[0], self.ticks[-1]
        if self.log:
            share = math.log10(max(value, first) / first) / math.log10(last / first)
        else:
            share = value / last
        return round(self.start + share * (self.end - self.start), 1)


# ---- frames ------------------------------------------------------------------------------------------------------


def begun(title: str, width: int, height: int) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
    ]


def framed(plot: dict, y: Scale) -> list[str]:
    """Title, the scale of values with its lines, and the names of the series."""
    out = begun(plot["title"], WIDTH, HEIGHT)
    out.append(f'<text x="{LEFT}" y="14" font-weight="bold">{escape(plot["title"])}</text>')
    for tick in y.ticks:
        out.append(f'<path class="grid" d="M{LEFT} {y(tick)}H{WIDTH - RIGHT}"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4.5}" text-anchor="end">{short(tick)}</text>')
    out.append(f'<text x="8" y="{TOP - 9}">{escape(plot["y"])}</text>')
    at = LEFT
    for colour, series in zip(colours(plot["series"]), plot["series"]):
        out.append(f'<rect class="f{colour}" x="{at}" y="{HEIGHT - 16}" width="12" height="10"/>')
        out.append(f'<text x="{at + 17}" y="{HEIGHT - 7}">{escape(series["name"])}</text>')
        at += 34 + 7 * len(series["name"])
    return out


def colours(series: list[dict]) -> list[int]:
    rest = iter([n for n in range(len(LIGHT)) if n not in {KINDS.get(one["kind"]) for one in series}] * 2)
    return [KINDS[one["kind"]] if one["kind"] in KINDS else next(rest) for one in series]


def lines(plot: dict) -> str:
    xs = [x for series in plot["series"] for x, _ in series["points"]]
    ys = [y for series in plot["series"] for _, y in series["points"]]
    y = Scale(ys, plot["log"], HEIGHT - BOTTOM, TOP)
    least, most = min(xs, default=0), max(xs, default=1)
    across = (WIDTH - RIGHT - LEFT) / ((most - least) or 1)

    def x(value: float) -> float:
        return round(LEFT + (value - least) * across, 1)

    out = framed(plot, y)
    for tick in ticks(most):
        if least <= tick <= most:
            # The last one may stand at the very edge.
            anchor = "end" if x(tick) > WIDTH - RIGHT - 20 else "middle"
            out.append(f'<text x="{x(tick)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="{anchor}">{short(tick)}</text>')
    out.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - BOTTOM + 34}" text-anchor="end">{escape(plot["x"])}</text>')
    for colour, series in zip(colours(plot["series"]), plot["series"]):
        path = "L".join(f"{x(a)} {y(b)}" for a, b in series["points"])
        out.append(f'<path class="s{colour}" fill="none" stroke-width="2" stroke-linejoin="round" d="M{path}"/>')
    return "\n".join([*out, "</svg>", ""])


def grouped(plot: dict) -> str:
    values = [value for series in plot["series"] for _, value in series["points"]]
    y = Scale(values, plot["log"], HEIGHT - BOTTOM, TOP)
    out = framed(plot, y)
    room = (WIDTH - RIGHT - LEFT) / max(len(plot["groups"]), 1)
    width = min(60, room * 0.8 / max(len(plot["series"]), 1))
    for number, (colour, series) in enumerate(zip(colours(plot["series"]), plot["series"])):
        for group, value in series["points"]:
            left = LEFT + room * (group + 0.5) + width * (number - len(plot["series"]) / 2)
            out.append(f'<rect class="f{colour}" x="{left:.1f}" y="{y(value)}" width="{width - 3:.1f}" height="{HEIGHT - BOTTOM - y(value):.1f}"/>')
            out.append(f'<text x="{left + width / 2 - 1.5:.1f}" y="{y(value) - 4:.1f}" text-anchor="middle" font-size="11">{short_value(value)}</text>')
    for number, name in enumerate(plot["groups"]):
        out.append(f'<text x="{LEFT + room * (number + 0.5):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{escape(name)}</text>')
    out.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - BOTTOM + 34}" text-anchor="end">{escape(plot["x"])}</text>')
    return "\n".join([*out, "</svg>", ""])


def short_value(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# ---- bars with their spread --------------------------------------------------------------------------------------

ROW_HEIGHT, BAR_HEIGHT, NAMES, ENDS = 26, 14, 330, 680
# Bars longer than so many times the median one are cut off.
CUT = 4


def spreads(title: str, unit: str, rows: list[tuple[str, float, float, float]], one: str = "") -> str:
    """A bar a row: name, median, least, greatest. `one` is what stands at 1.0, if that means something; bars that would
    make all others short are cut off then."""
    longest = max((greatest for *_, greatest in rows), default=1) or 1
    if one:
        most = CUT * sorted(median for _, median, *_ in rows)[len(rows) // 2]
        longest = max((greatest for *_, greatest in rows if greatest <= most), default=longest)
    height = ROW_HEIGHT * len(rows) + 64

    def x(value: float) -> float:
        # What is below nothing is noise: it has no bar.
        return round(NAMES + min(max(value, 0) / longest, 1) * (ENDS - NAMES), 1)

    out = begun(title, WIDTH, height)
    out.append(f'<text x="10" y="18" font-weight="bold">{escape(title)}</text>')
    for index, (name, median, least, greatest) in enumerate(rows):
        top = 32 + index * ROW_HEIGHT
        middle = top + BAR_HEIGHT / 2
        colour = KINDS["with"] if name.startswith("herdgate") else KINDS["published"]
        out.append(f'<text x="{NAMES - 10}" y="{middle + 4.5}" text-anchor="end">{escape(name)}</text>')
        out.append(f'<rect class="f{colour}" x="{NAMES}" y="{top}" width="{x(median) - NAMES:.1f}" height="{BAR_HEIGHT}"/>')
        if greatest > longest:
            out.append(f'<path class="ink" fill="none" d="M{ENDS - 12} {top + BAR_HEIGHT + 2}l5 -{BAR_HEIGHT + 4}m3 0l-5 {BAR_HEIGHT + 4}"/>')
        elif greatest > least:
            out.append(f'<path class="ink" fill="none" d="M{x(least)} {middle}H{x(greatest)}"/>')
        out.append(f'<text x="{x(greatest) + 8:.1f}" y="{middle + 4.5}">{f"{median:.2f}" if one else short_value(median)}</text>')
    if one and longest >= 1:
        out.append(f'<path class="ink" stroke-dasharray="3 3" d="M{x(1)} 26V{height - 28}"/>')
        out.append(f'<text x="{x(1)}" y="{height - 12}" text-anchor="middle">{escape(one)}</text>')
    else:
        out.append(f'<text x="{ENDS}" y="{height - 12}" text-anchor="end">{escape(unit)}</text>')
    return "\n".join([*out, "</svg>", ""])
