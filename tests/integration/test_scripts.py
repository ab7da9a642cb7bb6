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
SYSTEM = ["bash", "sh", "env", "cat", "sed", "grep", "awk", "mkdir", "rm", "ln", "dirname", "chmod", "uname", "sort"]


@pytest.fixture(autouse=True)
def healthy():
    """In place of the servers' fixture: no server is needed here."""


@pytest.fixture
def only(tmp_path):
    """only("node", ...) is an environment in which there are these commands and those of the system, and no others."""

    def environment(*commands: str) -> dict:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name in [*SYSTEM, *commands]:
            (folder / name).symlink_to(shutil.which(name))
        return {**{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}, "PATH": str(folder)}

    return environment


def run(command: list, env: dict) -> subprocess.CompletedProcess:
    return subprocess.run(command, env=env, capture_output=True, text=True)


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


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
