"""The documents' tables that follow from the code: fields from the schema, metrics and reasons from the source.

    python3 tests/integration/doc_tables.py     writes them into README.md and docs/ again

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; test_docs.py fails when one is out of date.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"<!-- table: (?P<name>[^>]+?) -->\n(?P<table>.*?)<!-- end -->", re.DOTALL)
# Fields of every object that is called; the documents list them once, under the name "calls".
CALL = ("cluster", "timeout_ms", "retries", "headers", "allow_http")


def schema(name: str) -> dict:
    """The part of the schema at a path such as issuers.jwks; "document" is all of it."""
    node = json.loads((ROOT / "herdgate.schema.json").read_text())
    for step in [] if name == "document" else name.split("."):
        node = node["properties"][step]
        # A list or a choice stands for the object in it.
        for _ in range(3):
            node = node.get("items", node)
            node = next((option for option in node.get("anyOf", []) if "properties" in option.get("items", option)), node)
    return node


def code(value) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def bounds(field: dict) -> str:
    if "enum" in field:
        return "one of " + ", ".join(code(name) for name in field["enum"])
    if "minimum" in field:
        return f"{field['minimum']:g} to {field['maximum']}" if field["type"] == "number" else f"{field['minimum']} to {field['maximum']}"
    return ""


def field_row(name: str, field: dict, required: bool) -> str:
    default = "required" if required else code(field["default"]) if "default" in field else ""
    return f"| `{name}` | {default} | {bounds(field)} | {field['description']} |"


def fields(name: str) -> list[str]:
    node = schema("issuers" if name == "calls" else name)
    called = all(field in node["properties"] for field in CALL)
    chosen = CALL if name == "calls" else [field for field in node["properties"] if not (called and field in CALL)]
    rows = [field_row(field, node["properties"][field], field in node.get("required", [])) for field in chosen]
    return ["| field | default | values | meaning |", "|---|---|---|---|", *rows]


def reasons() -> list[tuple[str, str, str, str]]:
    """(name, status, error code, description) of each reason."""
    text = (ROOT / "src/reply/reason.rs").read_text()
    rows = re.findall(r'\(\s*"([a-z_]+)",\s*(\d{3}),\s*(TOKEN|REQUEST|SCOPE|LATER|"[a-z_]*"),\s*"([^"]+)"\s*,?\s*\)', text)
    codes = {"TOKEN": "invalid_token", "REQUEST": "invalid_request", "SCOPE": "insufficient_scope", "LATER": "temporarily_unavailable"}
    return [(name, status, codes.get(error, error.strip('"')), description) for name, status, error, description in rows]


def metrics() -> list[tuple[str, str]]:
    """(name, meaning) of each metric, in the order of the enum."""
    text = (ROOT / "src/metrics.rs").read_text()
    body = text[text.index("pub enum Metric {") : text.index("impl Metric {")]
    meanings = {}
    for comment, variant in re.findall(r"((?:[ \t]*///[^\n]*\n)+)[ \t]*(\w+)(?:\(\w+\))?,", body):
        meanings[variant] = " ".join(line.strip().removeprefix("///").strip() for line in comment.splitlines())
    names = {}
    # An arm goes on to the next one: it may be broken over lines.
    arms = r"Metric::(\w+)(?:\(\w+\))? =>(.*?)(?=Metric::\w+(?:\(\w+\))? =>|\Z)"
    for variant, arm in re.findall(arms, text[text.index("impl Metric {") :], re.DOTALL):
        if found := re.search(r'of_limit\(\s*index,\s*"(\w+)"', arm):
            names[variant] = f"herdgate.limit.NAME.{found[1]}"
        elif found := re.search(r'"(herdgate\.[a-z0-9_.]+?)(\.\{\})?"', arm):
            names[variant] = found[1] + (".REASON" if found[2] else "")
    if alone := meanings.keys() ^ names.keys():
        raise ValueError(f"a name without a comment, or a comment without a name: {', '.join(sorted(alone))}")
    return [(names[variant], meaning) for variant, meaning in meanings.items()]


def measures() -> list[tuple[str, str, str]]:
    """(name, kind, meaning) of each gauge and histogram, in the order of the enums."""
    text = (ROOT / "src/metrics.rs").read_text()
    out = []
    for enum, kind in (("Gauge", "gauge"), ("Took", "histogram")):
        body = text[text.index(f"pub enum {enum} {{") : text.index(f"impl {enum} {{")]
        after = text[text.index(f"impl {enum} {{") :]
        for comment, variant in re.findall(r"((?:[ \t]*///[^\n]*\n)+)[ \t]*(\w+)(?:\(\w+\))?,", body):
            meaning = " ".join(line.strip().removeprefix("///").strip() for line in comment.splitlines())
            name = re.search(rf'{enum}::{variant}\b.*?"(herdgate\.[^"]+)"', after, re.DOTALL)[1]
            out.append((name.replace("{issuer}", "NAME").replace("{}", "TABLE"), kind, meaning))
    return out


def variants(path: str, enum: str) -> list[tuple[str, str]]:
    """(name, meaning) of each variant of an enum whose `name` gives the end of a metric's name."""
    text = (ROOT / path).read_text()
    body = text[text.index(f"pub enum {enum} {{") : text.index(f"impl {enum} {{")]
    names = dict(re.findall(rf'{enum}::(\w+) => "(\w+)"', text))
    found = re.findall(r"((?:[ \t]*///[^\n]*\n)+)[ \t]*(\w+),", body)
    meanings = {variant: " ".join(line.strip().removeprefix("///").strip() for line in comment.splitlines()) for comment, variant in found}
    if alone := meanings.keys() ^ names.keys():
        raise ValueError(f"a name without a comment, or a comment without a name: {', '.join(sorted(alone))}")
    return [(names[variant], meaning) for variant, meaning in meanings.items()]


def make_targets() -> list[tuple[str, str]]:
    return re.findall(r"^([a-z-]+):[^=\n]*?## (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def table(name: str) -> list[str]:
    if name == "reasons":
        rows = [f"| `{reason}` | {status} | {code(error) if error else ''} | {text} |" for reason, status, error, text in reasons()]
        return ["| reason | status | error | `error_description` |", "|---|---|---|---|", *rows]
    if name == "metrics":
        return ["| metric | counts |", "|---|---|", *(f"| `{metric}` | {meaning} |" for metric, meaning in metrics())]
    if name == "measures":
        return ["| metric | kind | says |", "|---|---|---|", *(f"| `{metric}` | {kind} | {meaning} |" for metric, kind, meaning in measures())]
    if name in ("bypass", "not_stored"):
        path, enum = {"bypass": ("request", "Why"), "not_stored": ("answer", "NotStored")}[name]
        rows = [f"| `{reason}` | {meaning} |" for reason, meaning in variants(f"src/token_endpoint/{path}.rs", enum)]
        return ["| reason | what it means |", "|---|---|", *rows]
    if name == "targets":
        return ["| target | what it does |", "|---|---|", *(f"| `make {target}` | {text} |" for target, text in make_targets())]
    return fields(name)


def renewed(text: str) -> str:
    def block(found: re.Match) -> str:
        name = found["name"]
        return "\n".join([f"<!-- table: {name} -->", "", *table(name), "", "<!-- end -->"])

    return BLOCK.sub(block, text)


def main() -> int:
    for page in PAGES:
        before = page.read_text()
        after = renewed(before)
        page.write_text(after)
        if after != before:
            print(f"{page.relative_to(ROOT)} is renewed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
