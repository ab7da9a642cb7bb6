"""herdgate-load for tests: builds it when needed, runs it, reads its report."""

import functools
import json
import os
import subprocess
from pathlib import Path

from processes import ROOT

CRATE = ROOT / "tests" / "load"


@functools.cache
def binary() -> Path:
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", CRATE / "Cargo.toml"], check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", CRATE / "target")) / "release" / "herdgate-load"


def load(url: str | list[str], *, connections: int, requests: int, timeout_s: float = 120, **options) -> dict:
    """One run; options are herdgate-load's, with _ for -. A list repeats the option."""
    command = [binary(), "--connections", connections, "--requests", requests]
    for name, value in {"url": url, **options}.items():
        for one in value if isinstance(value, list) else [value]:
            command += [f"--{name.replace('_', '-')}", one]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout_s)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def token_file(path: Path, tokens: list[str]) -> Path:
    path.write_text("\n".join(tokens) + "\n")
    return path
