"""The report: one HTML file with everything in it, drawn from the run's plain data."""

import json
from html import escape
from pathlib import Path

import plots

STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--soft:#57606a;--line:#d0d7de;--page:#fff;--good:#1a7f37;--bad:#cf222e;--link:#0969da}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9198a1;--line:#30363d;--page:#0d1117;--good:#3fb950;--bad:#ff7b72;--link:#4493f8}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:1080px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:26px;margin:0}h2{font-size:20px;margin:40px 0 8px;border-bottom:1px solid var(--line)}p{max-width:800px}a{color:var(--link)}
.run{color:var(--soft)}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px;margin:12px 0;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:4px 0}th,td{border-bottom:1px solid var(--line);padding:3px 10px 3px 0;text-align:right;white-space:nowrap}
th:first-child,td:first-child,.left{text-align:left}ul.checks{list-style:none;padding:0}ul.checks li{padding:2px 0}
.held::before{content:"holds ";color:var(--good);font-weight:600}.failed::before{content:"fails ";color:var(--bad);font-weight:600}
.missed::before{content:"missed ";color:var(--soft);font-weight:600}.found{color:var(--soft)}.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr));gap:8px 24px}svg{width:100%;height:auto;display:block;margin:12px 0}
"""


def written(run: dict, folder: Path) -> Path:
    """Writes report.json, report.html and each plot as a file; gives the page."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    (folder / "report.json").write_text(json.dumps(run, indent=1) + "\n")
    for part in run["parts"]:
        for plot in part["plots"]:
            (folder / f"{plot['name']}.svg").write_text(plots.drawn(plot))
    page = folder / "report.html"
    page.write_text(drawn(run))
    return page


def drawn(run: dict) -> str:
    about, parts = run["run"], run["parts"]
    form = "the short form: times are told, not asserted" if about["quick"] else "the long form"
    broken = [check for part in parts for check in part["checks"] if check["asserted"] and not check["held"]]
    links = " · ".join(f'<a href="#{part["name"]}">{escape(part["title"])}</a>' for part in parts)
    return "\n".join([
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        # Nothing may be fetched, and no script may run: the page says so itself.
        '<meta http-equiv="content-security-policy" content="default-src \'none\'; style-src \'unsafe-inline\'; img-src data:">',
        f"<title>Herdgate's load lab</title><style>{STYLE}</style></head><body><main>",
        "<h1>Herdgate's load lab</h1>",
        f'<p class="run">{escape(about["made"])}, {form}, {about["seconds"]} s; {about["cores"]} cores of {escape(about["model"])}; a token costs the server {about["token_ms"]:g} ms.</p>',
        f'<p class="{"failed" if broken else "held"}">{len(broken) or "all"} of what must hold{" does not" if broken else ""}</p>',
        f"<nav>{links}</nav>",
        *[section(part) for part in parts],
        "</main></body></html>",
        "",
    ])


def section(part: dict) -> str:
    return "\n".join([
        f'<section id="{part["name"]}"><h2>{escape(part["title"])}</h2>',
        f"<p>{escape(part['text'])}</p>",
        '<ul class="checks">' + "".join(line(check) for check in part["checks"]) + "</ul>" if part["checks"] else "",
        '<div class="plots">' + "".join(plots.drawn(plot) for plot in part["plots"]) + "</div>" if part["plots"] else "",
        *[table(one) for one in part["tables"]],
        "</section>",
    ])


def line(check: dict) -> str:
    kind = "held" if check["held"] else "failed" if check["asserted"] else "missed"
    return f'<li class="{kind}">{escape(check["text"])} <span class="found">({escape(check["found"])})</span></li>'


def table(one: dict) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in one["head"])
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in one["rows"])
    # A table that is wider than the page can be reached by keyboard.
    name = escape(one["caption"], quote=True)
    return f'<div class="wide" tabindex="0" role="region" aria-label="{name}"><table><caption>{escape(one["caption"])}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
