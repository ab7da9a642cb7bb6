"""What the project says of itself: names, defaults, targets and links are those of the code, and examples load.

Each test looks at one promise of the documents; doc_tables.py writes the tables again when they are out of date.
"""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

import doc_tables
import examples
from doc_tables import PAGES, README, ROOT

# Nothing here depends on the gateway, so once is enough.
pytestmark = pytest.mark.only("envoy")

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "kong").glob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
CHECK = ["cargo", "run", "-q", "--locked", "--manifest-path", "tools/check/Cargo.toml", "--target-dir", "target", "--"]


@pytest.fixture(autouse=True)
def healthy():
    """In place of the servers' fixture: no server is needed here."""


@pytest.fixture(params=DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def document(request) -> Path:
    return request.param


def objects(node: dict, path: str = "") -> list[str]:
    """The paths of all objects of the schema whose fields the configuration can hold, by doc_tables.schema's spelling."""
    if "items" in node:
        return objects(node["items"], path)
    if "anyOf" in node:
        return [found for option in node["anyOf"] for found in objects(option, path)]
    fields = node.get("properties", {})
    if not fields or fields.keys() == {"env"}:
        return []
    below = [found for name, field in fields.items() for found in objects(field, f"{path}.{name}".lstrip("."))]
    return [path or "document", *below]


def json_blocks(path: Path) -> list[str]:
    return re.findall(r"^```json\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def check(file: Path, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run([*CHECK, *options, file], cwd=ROOT, capture_output=True, text=True)


def test_tables_are_those_of_the_code():
    for page in PAGES:
        text = page.read_text()
        assert doc_tables.renewed(text) == text, f"{page.name} is out of date: run python3 tests/integration/doc_tables.py"


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 180


def test_the_picture_is_that_of_the_table():
    done = subprocess.run(["scripts/picture", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_object_of_the_configuration_has_its_table():
    present = {found["name"] for page in PAGES for found in doc_tables.BLOCK.finditer(page.read_text())}
    wanted = {*objects(doc_tables.schema("document")), "calls", "measures", "metrics", "reasons", "targets"}
    # Said in a sentence: a list of pairs, objects whose one field is a list, and what has the fields of another.
    wanted -= {"issuers.forward.claims", "bearer", "decryption", "revocation", "rules.resource"}
    assert wanted - present == set()


def test_every_metric_and_reason_is_named():
    text = "".join(page.read_text() for page in PAGES)
    names = [name for name, *_ in [*doc_tables.metrics(), *doc_tables.measures(), *doc_tables.reasons()]]
    assert len(names) > 60
    assert [name for name in names if f"`{name}`" not in text] == []


def test_reasons_are_read_whole():
    """As many rows as the source says that there are: a row in a new form must not be missed."""
    source = (ROOT / "src/reply/reason.rs").read_text()
    assert len(doc_tables.reasons()) == int(re.search(r"ALL: \[Reason; (\d+)\]", source)[1])


def test_what_is_alerted_on_is_there_from_the_start():
    source = (ROOT / "src/metrics.rs").read_text()
    listed = source[source.index("pub const ALERTED") :]
    listed = listed[: listed.index("];")]
    page = (ROOT / "docs/answers-and-metrics.md").read_text().split("What to alert on:")[1]
    reasons = set(re.findall(r"(?:rejected|` or `)\.([a-z_]+)` ", page)) | set(re.findall(r"rejected\.([a-z_]+)`", page))
    camel = {"".join(word.title() for word in reason.split("_")) for reason in reasons} - {"Misconfigured"}
    assert len(camel) >= 8 and {name for name in camel if f"Reason::{name})" not in listed} == set()


def test_only_metrics_that_exist_are_named(document):
    known = {name for name, *_ in [*doc_tables.metrics(), *doc_tables.measures()]}
    reasons = {name for name, *_ in doc_tables.reasons()}
    for name in re.findall(r"`(herdgate\.(?:[a-z0-9_]+|NAME)(?:\.[A-Za-z0-9_]+)+)`", document.read_text()):
        if name.endswith(".json"):
            continue
        whole, _, last = name.rpartition(".")
        assert name in known or f"{name}.REASON" in known or (f"{whole}.REASON" in known and last in reasons), name


def test_targets_exist(document):
    known = {target for target, _ in doc_tables.make_targets()}
    text = document.read_text()
    named = set(re.findall(r"(?:`|^ {4})make ([a-z-]+)", text, re.MULTILINE))
    assert named - known == set()


def test_links_lead_somewhere(document):
    text = document.read_text()
    for label, target in re.findall(r"\[([^\]]+)\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = document.parent / file if file else document
        assert there.exists(), f"[{label}]({target})"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}, target


def test_files_in_code_are_there(document):
    """Those that are named in `code` or in a line of commands, by their path from the root."""
    text = document.read_text()
    code = [*re.findall(r"`([^`\n]+)`", text), *re.findall(r"^ {4}(.*)$", text, re.MULTILINE), *re.findall(r"^\$ (.*)$", text, re.MULTILINE)]
    named = {path for part in code for path in re.findall(r"(?<![\w./-])(?:src|scripts|tests|tools|examples|kong|envoy|fuzz|benches)/[\w./-]*\w", part)}
    assert {path for path in named if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("host", ["envoy", "kong"])
def test_configurations_in_the_readme_load(host, tmp_path):
    blocks = [block for document in DOCUMENTS for block in json_blocks(document) if '"shared"' in block or document == README]
    assert len(blocks) >= 3
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.json"
        file.write_text(block)
        done = check(file, "--host", host)
        assert done.returncode == 0, f"block {number}: {done.stdout}{done.stderr}"


EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_examples_load_and_say_what_they_are_for(folder):
    # Those of a gateway have the configuration inside its own files, or are shipped elsewhere.
    of_gateways = [file for file in folder.glob("*.yaml") if re.search(r"^\s+\W*issuers", file.read_text(), re.MULTILINE)]
    files = [*folder.glob("herdgate.json"), *of_gateways] or [ROOT / "kong" / "kong.yml"]
    for file in files:
        done = check(file)
        assert done.returncode == 0, done.stdout + done.stderr
    headings = re.findall(r"^## (.*)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert headings == ["What to change", "Try it"]
    assert f"({folder.name}/README.md)" in (ROOT / "examples/README.md").read_text()


PROVIDERS = sorted(path.parent for path in (ROOT / "docs" / "identity-providers").glob("*/herdgate.json"))


@pytest.mark.parametrize("host", ["envoy", "kong"])
@pytest.mark.parametrize("folder", PROVIDERS, ids=lambda path: path.name)
def test_configurations_for_identity_providers_load(folder, host):
    done = check(folder / "herdgate.json", "--host", host)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (folder.parent / "README.md").read_text()
    # Its line in each of the two tables.
    assert f"[{folder.name}]({folder.name}/herdgate.json)" in page and f"\n| {folder.name} |" in page


@pytest.mark.parametrize("file", examples.READMES, ids=lambda path: path.parent.name)
def test_commands_of_the_examples_print_what_is_written_there(file):
    text = file.read_text()
    assert text.count("```console\n") == len(examples.BLOCK.findall(text)) > 0
    assert examples.renewed(text) == text, "out of date: run python3 tests/integration/examples.py"


def test_every_step_of_the_tests_is_explained():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    names = subprocess.run([ROOT / "scripts/test", "--list"], capture_output=True, text=True, check=True).stdout.splitlines()
    names = [re.sub(r"^lock file of .*", "lock file of PACKAGE", name) for name in names]
    assert [name for name in names if f"`{name}`" not in text] == []
    said = re.findall(r"`([^`]+)`", "".join(row.split("|")[1] for row in text[text.index("| step |") :].splitlines() if row.startswith("| `")))
    assert set(said) == set(names)


def test_the_workflow_runs_what_everybody_runs():
    workflow = ROOT / ".github/workflows/test.yml"
    [job] = yaml.safe_load(workflow.read_text())["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == ".ci/run"
    # By commit, with the version as a comment: a tag can be moved.
    pinned = re.findall(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", workflow.read_text(), re.MULTILINE)
    assert len(pinned) == sum("uses" in step for step in job["steps"]) > 0


@pytest.mark.parametrize("form", ["bug", "feature"])
def test_forms_are_forms(form):
    document = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{form}.yml").read_text())
    assert {"name", "description", "body"} <= document.keys()
    ids = [part["id"] for part in document["body"] if part["type"] != "markdown"]
    assert len(ids) == len(set(ids)) >= 4
    assert all("label" in part["attributes"] for part in document["body"] if part["type"] != "markdown")


def test_shipped_envoy_configuration_loads():
    done = check(ROOT / "envoy" / "envoy.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_shipped_gateways_give_a_token_call_up_before_its_lease_ends():
    """A leader whose call goes on for longer is one of two, and its failure comes when others have taken over."""
    lease_ms = doc_tables.schema("token_endpoints")["properties"]["lease_ms"]["default"]
    envoy = yaml.safe_load((ROOT / "envoy" / "envoy.yaml").read_text())["static_resources"]["listeners"][0]
    [virtual_host] = envoy["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    route = next(route for route in virtual_host["routes"] if route["name"] == "token")
    assert float(route["route"]["timeout"].removesuffix("s")) * 1000 <= lease_ms - 1000
    kong = yaml.safe_load((ROOT / "kong" / "kong.yml").read_text())
    service = next(service for service in kong["services"] if service["name"] == "idp")
    # Kong counts connecting, sending and reading each on its own, and Kong's default for each is a minute.
    each = sum(service.get(f"{step}_timeout", 60_000) for step in ("connect", "write", "read"))
    assert each <= lease_ms - 1000
