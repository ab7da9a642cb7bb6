"""Child processes that die with the test: started in their own session, ended by their own id, never by name."""

import ctypes
import json
import os
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ROOT / "tests" / "servers"
# Another version of it, for scripts/test-envoys.
ENVOY = Path(os.environ.get("HERDGATE_ENVOY", ROOT / ".tools" / "venv" / "bin" / "envoy"))

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Child:
    """A running server with its output in a file. Start it from the main thread: it dies with the thread that did."""

    def __init__(self, command: list, log: Path, env: dict | None = None, stdout=None, cwd: Path = ROOT):
        self.log_path = log
        self._log = open(log, "ab")
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=stdout or self._log,
            stderr=self._log,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self, seconds: float = 5) -> None:
        """Asks the process group to end, then insists."""
        for sig, wait in [(signal.SIGTERM, seconds), (signal.SIGKILL, 5)]:
            if not self.running():
                break
            try:
                os.killpg(self.pid, sig)
            except ProcessLookupError:
                break
            try:
                self.process.wait(wait)
            except subprocess.TimeoutExpired:
                continue
        self._log.close()


def start_node(script: str, arguments: list, log: Path) -> tuple[Child, dict]:
    """Starts one of tests/servers and reads the line of JSON that it prints when it listens."""
    child = Child(["node", SERVERS / script, *arguments], log, stdout=subprocess.PIPE)
    line = child.process.stdout.readline()
    if not line:
        child.stop()
        raise RuntimeError(f"{script} did not start:\n{child.log()}")
    return child, json.loads(line)


# How long tests wait for what must come. It says nothing of speed: a busy machine may take its time.
PATIENCE_S = 60


def wait_until(condition, seconds: float, what: str, every: float = 0.02):
    """The first true value of condition(), within `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(every)


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process so far (the first field of schedstat)."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(path.read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total
