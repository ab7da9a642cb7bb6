"""What the project's own commands need, and what they say when they can't have it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from processes import ROOT

# Nothing here depends on the gateway, so once is enough.
pytestmark = pytest.mark.only("envoy")

# What every system has, and npm needs.
SYSTEM = [
    "bash",
    "sh",
    "env",
    "cat",
    "sed",
    "grep",
    "awk",
    "mkdir",
    "rm",
    "ln",
    "dirname",
    "chmod",
    "uname",
    "sort",
]


@pytest.fixture(autouse=True)
def healthy():
    """In place of the servers' fixture: no server is needed here."""


@pytest.fixture
def only(tmp_path):
    """only("node", ...) is an environment with these commands, the system's, and no others."""

    def environment(*commands: str) -> dict:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name in [*SYSTEM, *commands]:
            (folder / name).symlink_to(shutil.which(name))
        return {
            **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
            "PATH": str(folder),
        }

    return environment


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """A folder with scripts/setup in which nothing is installed yet."""
    root = tmp_path / "clone"
    for name in ["scripts/setup", "tests/integration/requirements.txt"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    return root


def run(command: list, env: dict) -> subprocess.CompletedProcess:
    return subprocess.run(command, env=env, capture_output=True, text=True)


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_build_is_set_up_without_python(only):
    """Rust's target and wasm-opt are all that it takes; here both are there already."""
    environment = only("cargo", "rustc", "node", "npm")
    assert not shutil.which("python3", path=environment["PATH"])
    done = run([ROOT / "scripts/setup", "build"], environment)
    assert (done.returncode, done.stderr) == (0, "")
    usage = run([ROOT / "scripts/build", "--nonsense"], environment)
    assert (usage.returncode, usage.stderr) == (
        2,
        "build: usage: scripts/build [--quick | --empty]\n",
    )


@pytest.mark.parametrize(
    "step, there, sentence",
    [
        ("build", ["node", "npm"], "Rust is missing: install it with rustup (https://rustup.rs)."),
        ("build", ["cargo", "rustc"], "Node.js 20 or newer is missing: install node and npm."),
        (
            "build",
            ["cargo", "rustc", "node"],
            "npm is missing: it comes with Node.js, or as the package npm.",
        ),
        ("servers", [], "Node.js 20 or newer is missing: install node and npm."),
        (
            "python",
            ["node", "npm"],
            "Python 3.10 or newer is missing, which tests and demo need: install python3.",
        ),
        (
            "redis",
            ["node", "npm"],
            "redis-server and webdis are missing, and apt-get to fetch them with: install both.",
        ),
        (
            "nonsense",
            [],
            "there is no step nonsense: build, playground, playground-tests, python, servers, redis, glewlwyd, prometheus, sbom, tests (python, servers, redis and glewlwyd).",
        ),
    ],
)
def test_what_is_missing_is_named_in_one_sentence(step, there, sentence, only, elsewhere):
    done = run([elsewhere / "scripts/setup", step], only(*there))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"setup: {sentence}\n")


COMPILES = """
if [ "$1" = build ]; then
  printf '   Compiling serde v1.0.0\\n   Compiling herdgate-check v0.1.0\\n    Finished `dev` profile\\n' >&2
else
  echo "the tool's answer"
fi"""
BROKEN = """
printf '   Compiling herdgate-check v0.1.0\\nerror[E0425]: cannot find value\\n  --> src/main.rs:1:1\\n' >&2
exit 101"""
TOLD = "check: compiling the tool, about a minute the first time\n"


@pytest.mark.parametrize(
    "cargo, code, out, err",
    [
        (COMPILES, 0, "the tool's answer\n", TOLD),
        (COMPILES.replace("   Compiling", "   Fresh"), 0, "the tool's answer\n", ""),
        (BROKEN, 2, "", TOLD + "error[E0425]: cannot find value\n  --> src/main.rs:1:1\n"),
    ],
    ids=["first time", "later", "broken"],
)
def test_check_says_that_it_compiles_when_it_does(cargo, code, out, err, only):
    environment = only("cargo")
    fake(Path(environment["PATH"]), "cargo", cargo)
    done = run([ROOT / "scripts/check", "file.json"], environment)
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)
