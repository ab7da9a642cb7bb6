"""A process of Envoy, whose clusters and listeners come and go; and those that wait for the next test.

Envoy's V8 compiles the module whole and optimised, one to three seconds of CPU, which most tests would spend on nothing
else. It does so once in a process for the same bytes, as long as some virtual machine has them. So in a process that is
kept a listener that nobody calls holds the module, and each test gets there what it would find in a new process: a
virtual machine and a shared memory of its own (`vm_id`), clusters of its own, counters from zero.
"""

import copy
import json
import os
import re
import tempfile
from pathlib import Path

import yaml

from gateway import SECRETS, WASM
from http_client import request
from processes import ENVOY, PATIENCE_S, ROOT, Child, wait_until

SHIPPED = ROOT / "envoy" / "envoy.yaml"
TYPES = "type.googleapis.com/envoy.config"
STRING_VALUE = "type.googleapis.com/google.protobuf.StringValue"
SOURCES = {"cds_config": "cluster", "lds_config": "listener"}
KEEPER = "keeper"

# How many processes may wait for another test; scripts, which measure, keep none.
kept_max = 0
_waiting: list["Process"] = []
# With fewer than these a new process is better than to wait until one is drained.
_ENOUGH = 3


def loopback(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def shipped() -> dict:
    return yaml.safe_load(SHIPPED.read_text())


def launch(directory: Path, workers: int, served: dict) -> Child:
    """Starts an Envoy of the shipped settings, but for what it serves."""
    document = {**shipped(), **served}
    document["admin"]["address"] = loopback(0)
    path = directory / "bootstrap.json"
    path.write_text(json.dumps(document))
    return Child(
        [ENVOY, "-c", path, "--concurrency", workers, "--disable-hot-restart", "--admin-address-path", directory / "admin-address"]
        + ["--file-flush-interval-msec", "50", "--drain-time-s", "1", "--log-level", "warning", "--component-log-level", "wasm:info"],
        directory / "envoy.log",
        # For filters whose listener names it in `host_env_keys`.
        env={"HERDGATE_SECRET": SECRETS["HERDGATE_SECRET"]},
    )


class Process:
    """One Envoy. What it serves lies in two files of a folder of its own."""

    def __init__(self, directory: Path, wasm: Path, workers: int, is_kept: bool):
        self.directory = Path(tempfile.mkdtemp(prefix="envoy-", dir=directory))
        self.wasm, self.workers, self.is_kept = wasm, workers, is_kept
        self.child: Child | None = None
        self.admin = ""
        self._version = self._turn = self._said = 0
        if is_kept:
            self._put_all([], [])

    # ---- what it serves ------------------------------------------------------------------------------------------

    def serve(self, clusters: list[dict], listeners: list[dict]) -> None:
        if not self.child:
            self._put_all(clusters, listeners)
            return
        self._put("cluster", clusters)
        wait_until(lambda: self._clusters() == len(clusters), PATIENCE_S, "the clusters")
        self.put_listeners(listeners)

    def put_listeners(self, listeners: list[dict]) -> None:
        listeners = copy.deepcopy(listeners)
        for plugin in (one for listener in listeners for one in _plugins(listener)):
            # What an earlier test left in the memory of its virtual machines is not for this one.
            plugin["vm_config"]["vm_id"] = f"{plugin['vm_config'].get('vm_id', '')}{self._turn or ''}"
        self._put("listener", listeners)

    def ports(self) -> dict[str, int]:
        """Of each listener that is there, in their order."""
        listeners = request(f"{self.admin}/listeners?format=json").json().get("listener_statuses", [])
        return {one["name"]: one["local_address"]["socket_address"]["port_value"] for one in listeners if one["name"] != KEEPER}

    # ---- what can be seen ----------------------------------------------------------------------------------------

    def updates(self) -> dict[str, int]:
        prefix = "listener_manager.lds.update_"
        return {"success": self._stat(prefix + "success"), "rejected": self._stat(prefix + "rejected")}

    def is_drained(self) -> bool:
        return self._stat("listener_manager.total_listeners_draining") == 0

    def log(self) -> str:
        """What it has said in this turn."""
        return self.child.log_path.read_bytes()[self._said :].decode(errors="replace")

    # ---- from test to test ---------------------------------------------------------------------------------------

    def give_back(self) -> None:
        """Keeps it for another test, if it may be."""
        if not (self.is_kept and kept_max and self.child.running()):
            self.child.stop()
            return
        # Without clusters what still drains calls nobody, whose calls another test might count.
        self._put("cluster", [])
        self._put("listener", [])
        _waiting.append(self)
        while len(_waiting) > kept_max:
            _waiting.pop(0).child.stop()

    def is_empty(self) -> bool:
        """Nothing of the last test's is left."""
        try:
            return self._clusters() == 0 and not self.ports() and self.is_drained()
        except OSError:
            return False

    def begin_turn(self) -> None:
        self._turn += 1
        self._said = self.child.log_path.stat().st_size
        request(f"{self.admin}/reset_counters", "POST")

    # ---- inside --------------------------------------------------------------------------------------------------

    def _put_all(self, clusters: list[dict], listeners: list[dict]) -> None:
        """Starts with these."""
        self._put("cluster", clusters)
        self._put("listener", listeners)
        sources = {kind: {"path_config_source": {"path": str(self._file(name))}, "resource_api_version": "V3"} for kind, name in SOURCES.items()}
        static = {"listeners": [_keeper(self.wasm)] if self.is_kept else []}
        self.child = launch(self.directory, self.workers, {"dynamic_resources": sources, "static_resources": static})
        address = self.directory / "admin-address"
        wait_until(lambda: not self.child.running() or (address.exists() and address.read_text()), PATIENCE_S, "Envoy's admin interface")
        assert self.child.running(), self.child.log()
        self.admin = f"http://{address.read_text()}"
        wait_until(self._is_ready, PATIENCE_S, "Envoy's start")

    def _put(self, name: str, resources: list[dict]) -> None:
        self._version += 1
        typed = [{"@type": f"{TYPES}.{name}.v3.{name.capitalize()}", **resource} for resource in resources]
        draft = self._file(name).with_suffix(".new")
        draft.write_text(json.dumps({"version_info": str(self._version), "resources": typed}))
        # Envoy watches for a file moved into place: it never reads half of one.
        os.replace(draft, self._file(name))

    def _file(self, name: str) -> Path:
        return self.directory / f"{name}s.json"

    def _is_ready(self) -> bool:
        assert self.child.running(), self.child.log()
        try:
            return request(f"{self.admin}/ready").status == 200 or self.updates()["rejected"] > 0
        except OSError:
            # The thread that answers compiles the module first; on a loaded machine that outlasts a request.
            return False

    def _clusters(self) -> int:
        return self._stat("cluster_manager.active_clusters") - self._stat("cluster_manager.warming_clusters")

    def _stat(self, name: str) -> int:
        text = request(f"{self.admin}/stats?filter=^{re.escape(name)}$").body.decode().strip()
        return int(text.rpartition(": ")[2]) if text else 0


def take(directory: Path, wasm: Path, workers: int, fresh: bool) -> Process:
    """A process that serves nothing yet: one that waits, or a new one."""
    may_wait = kept_max > 0 and wasm.parent == WASM.parent and wasm.name.startswith("herdgate") and not fresh
    died = [one for one in _waiting if not one.child.running()]
    _waiting[:] = [one for one in _waiting if one not in died]
    assert not died, f"an Envoy has ended by itself after its test: {[one.child.log()[-2000:] for one in died]}"
    fitting = [one for one in _waiting if may_wait and (one.wasm, one.workers) == (wasm, workers)]

    def empty() -> Process | None:
        return next((one for one in fitting if one.is_empty()), None)

    found = empty()
    if not found and len(fitting) >= _ENOUGH:
        found = wait_until(empty, PATIENCE_S, "an Envoy without listeners")
    if found:
        _waiting.remove(found)
    else:
        found = Process(directory, wasm, workers, is_kept=may_wait)
    if may_wait:
        found.begin_turn()
    return found


def end_all() -> None:
    """Ends those that wait."""
    while _waiting:
        _waiting.pop().child.stop()


def _plugins(listener: dict) -> list[dict]:
    """The `config` of each Wasm filter of HTTP in a listener."""
    managers = [network.get("typed_config", {}) for chain in listener["filter_chains"] for network in chain["filters"]]
    filters = [one.get("typed_config", {}) for manager in managers for one in manager.get("http_filters", [])]
    return [one["config"] for one in filters if "Wasm" in one.get("@type", "")]


def _keeper(wasm: Path) -> dict:
    """A listener that nobody calls, and whose filter keeps nothing and looks at no clock."""
    listener = copy.deepcopy(shipped()["static_resources"]["listeners"][0])
    listener["name"], listener["address"] = KEEPER, loopback(0)
    listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"] = []
    (plugin,) = _plugins(listener)
    plugin["vm_config"] = {**plugin["vm_config"], "vm_id": KEEPER, "environment_variables": {}}
    plugin["vm_config"]["code"]["local"]["filename"] = str(wasm)
    config = {"profile": "stateless", "rules": [{"match": {}, "access": "public"}]}
    plugin["configuration"] = {"@type": STRING_VALUE, "value": json.dumps(config)}
    return listener
