"""What the commands in the examples' READMEs print: each is run, and that is what stands below it.

    python3 tests/integration/examples.py     writes the outputs again

A block that begins with ```console holds commands behind `$ ` with their output; test_docs.py fails
when one differs.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
READMES = sorted((ROOT / "examples").glob("*/README.md"))
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def output(command: str) -> str:
    """What a command prints in a shell that knows of no secret, and not that make called us.

    What goes to standard error, such as make's own messages, isn't part of it.
    """
    ours = re.compile(r".*_SECRET|REQUEST|TOKEN|CONFIG|MAKE(LEVEL|FLAGS)|MFLAGS")
    environment = {name: value for name, value in os.environ.items() if not ours.fullmatch(name)}
    return subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True
    ).stdout


def renewed(text: str) -> str:
    def block(found: re.Match) -> str:
        commands = re.findall(r"^\$ (.*)$", found[1], re.MULTILINE)
        return (
            "```console\n"
            + "".join(f"$ {command}\n{output(command)}" for command in commands)
            + "```"
        )

    return BLOCK.sub(block, text)


def main() -> int:
    for path in READMES:
        before = path.read_text()
        path.write_text(after := renewed(before))
        print(f"{path.relative_to(ROOT)} {'is renewed' if after != before else 'was up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
