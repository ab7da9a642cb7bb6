"""Real Envoy, with the listener of the shipped envoy/envoy.yaml: only ports, clusters and the configuration differ."""

import copy
import json
import os
import re
import subprocess
from pathlib import Path

import yaml

from gateway import Gateway, Metrics, Refused
from http_client import request
from processes import ENVOY, PATIENCE_S, ROOT, Child, wait_until

SHIPPED = ROOT / "envoy" / "envoy.yaml"
STRING_VALUE = "type.googleapis.com/google.protobuf.StringValue"


def loopback(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def plain_cluster(name: str, port: int, **more) -> dict:
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": loopback(port)}}]}]},
        # Test servers are made to hang and to be hit hard; the defaults (1024) are for production.
        "circuit_breakers": {"thresholds": [{"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}]},
        **more,
    }


def shipped() -> dict:
    return yaml.safe_load(SHIPPED.read_text())


def connection_manager(listener: dict) -> dict:
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def wasm_config(listener: dict) -> dict:
    """The `config` of the Wasm filter in a listener."""
    filters = connection_manager(listener)["http_filters"]
    return next(f for f in filters if "Wasm" in f["typed_config"]["@type"])["typed_config"]["config"]


def make_listener(config: dict | str, wasm: Path, env: dict[str, str], vm_id: str = "herdgate") -> dict:
    """The shipped listener on a free port, with this configuration of the filter."""
    listener = copy.deepcopy(shipped()["static_resources"]["listeners"][0])
    listener["address"] = loopback(0)
    plugin = wasm_config(listener)
    plugin["vm_config"]["vm_id"] = vm_id
    plugin["vm_config"]["code"]["local"]["filename"] = str(wasm)
    plugin["vm_config"]["environment_variables"] = {"key_values": env}
    plugin["configuration"] = {"@type": STRING_VALUE, "value": config if isinstance(config, str) else json.dumps(config)}
    return listener


class Envoy(Gateway):
    kind = "envoy"

    def __init__(self, *args, extra_clusters: list[dict] = (), **options):
        super().__init__(*args, **options)
        self.child: Child | None = None
        self.extra_clusters = list(extra_clusters)
        self.admin = ""
        self.base_url = ""
        self._version = 0

    # ---- life --------------------------------------------------------------------------------------------------

    def start(self, config: dict | str) -> str:
        return self.start_listener(self._listener(config))

    def start_listener(self, listener: dict) -> str:
        """Starts with a listener of the caller's own making (the benchmark's variants)."""
        self.stop()
        self._write_listener(listener)
        bootstrap = self._bootstrap()
        bootstrap["dynamic_resources"] = {"lds_config": {"path_config_source": {"path": str(self._lds_path)}, "resource_api_version": "V3"}}
        self._launch(bootstrap)
        wait_until(self._settled, PATIENCE_S, "Envoy's start")
        port = self._listener_port()
        if port is None:
            log = self.log()
            self.stop()
            raise Refused(log)
        self.base_url = f"http://127.0.0.1:{port}"
        return self.base_url

    def start_listeners(self, listeners: dict[str, dict], api: dict | None = None) -> dict[str, str]:
        """Starts with several listeners of the caller's own making; returns their base addresses. `api`: what the API's
        cluster has besides."""
        self.stop()
        bootstrap = self._bootstrap()
        bootstrap["static_resources"]["listeners"] = [{**listener, "name": name} for name, listener in listeners.items()]
        bootstrap["static_resources"]["clusters"][0].update(api or {})
        self._launch(bootstrap)
        wait_until(lambda: self._settled() and len(self._ports()) == len(listeners), PATIENCE_S, "Envoy's start")
        return {name: f"http://127.0.0.1:{self._ports()[name]}" for name in listeners}

    def reload(self, config: dict | str) -> None:
        self.replace_listener(self._listener(config))

    def replace_listener(self, listener: dict) -> None:
        """Puts a listener of the caller's own making in the place of the present one."""
        before = self._updates()
        self._write_listener(listener)
        after = wait_until(lambda: (now := self._updates()) != before and now, PATIENCE_S, "an update of the listener")
        if after["rejected"] > before["rejected"]:
            raise Refused(self.log())
        # The new listener takes over at once; wait until the old one has drained.
        wait_until(lambda: self._stat("listener_manager.total_listeners_draining") == 0, PATIENCE_S, "draining of the old listener")

    def refuses(self, config: dict | str) -> str:
        """Envoy with the listener in its start-up file must not start at all."""
        self.stop()
        bootstrap = self._bootstrap()
        bootstrap["static_resources"]["listeners"] = [self._listener(config)]
        self._launch(bootstrap)
        try:
            self.child.process.wait(30)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError("Envoy started with a configuration that it must refuse") from None
        assert self.child.process.returncode != 0, "Envoy ended without an error"
        return self.log()

    def stop(self) -> None:
        if self.child:
            self.child.stop()

    # ---- what can be seen ----------------------------------------------------------------------------------------

    def metrics(self) -> Metrics:
        text = request(f"{self.admin}/stats?filter=^wasmcustom").body.decode()
        out = {}
        for line in text.splitlines():
            name, _, value = line.partition(": ")
            if re.fullmatch(r"\d+", value):
                out[name.removeprefix("wasmcustom.")] = int(value)
        return Metrics(out)

    def prometheus(self) -> str:
        return request(f"{self.admin}/stats/prometheus").body.decode()

    def log(self) -> str:
        return self.child.log() if self.child else ""

    def pids(self) -> list[int]:
        return [self.child.pid]

    # ---- inside ----------------------------------------------------------------------------------------------------

    @property
    def _lds_path(self) -> Path:
        return self.directory / "lds.json"

    def _listener(self, config: dict | str) -> dict:
        return make_listener(config, self.wasm, self.upstreams.env)

    def _write_listener(self, listener: dict) -> None:
        self._version += 1
        listener = {"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", **listener}
        draft = self._lds_path.with_suffix(".new")
        draft.write_text(json.dumps({"version_info": str(self._version), "resources": [listener]}))
        # Envoy watches for a file moved into place: it never reads half of one.
        os.replace(draft, self._lds_path)

    def _bootstrap(self) -> dict:
        document = shipped()
        document["admin"]["address"] = loopback(0)
        document["static_resources"] = {
            "clusters": [
                plain_cluster("api", self.upstreams.api),
                plain_cluster("idp", self.upstreams.idp, per_connection_buffer_limit_bytes=32768),
                plain_cluster("kong_admin", self.upstreams.idp),
                *self.extra_clusters,
            ]
        }
        return document

    def _launch(self, bootstrap: dict) -> None:
        path = self.directory / "bootstrap.json"
        path.write_text(json.dumps(bootstrap))
        address = self.directory / "admin-address"
        address.unlink(missing_ok=True)
        log = self.directory / "envoy.log"
        log.unlink(missing_ok=True)
        self.child = Child(
            [ENVOY, "-c", path, "--concurrency", self.workers, "--disable-hot-restart", "--admin-address-path", address]
            + ["--file-flush-interval-msec", "50", "--drain-time-s", "1", "--log-level", "warning", "--component-log-level", "wasm:info"],
            log,
        )
        found = wait_until(lambda: not self.child.running() or (address.exists() and address.read_text()), PATIENCE_S, "Envoy's admin interface")
        self.admin = f"http://{found}" if isinstance(found, str) else ""

    def _settled(self) -> bool:
        """The listener is there, or was refused."""
        if not self.child.running():
            raise Refused(self.log())
        try:
            if request(f"{self.admin}/ready").status != 200:
                return self._updates()["rejected"] > 0
        except TimeoutError:
            # The thread that answers compiles the module first; on a loaded machine that outlasts a request.
            return False
        return self._listener_port() is not None or self._updates()["rejected"] > 0

    def _listener_port(self) -> int | None:
        return next(iter(self._ports().values()), None)

    def _ports(self) -> dict[str, int]:
        """Of each listener, in their order."""
        listeners = request(f"{self.admin}/listeners?format=json").json().get("listener_statuses", [])
        return {one["name"]: one["local_address"]["socket_address"]["port_value"] for one in listeners}

    def _stat(self, name: str) -> int:
        text = request(f"{self.admin}/stats?filter=^{re.escape(name)}$").body.decode().strip()
        return int(text.rpartition(": ")[2]) if text else 0

    def _updates(self) -> dict[str, int]:
        prefix = "listener_manager.lds.update_"
        return {"success": self._stat(prefix + "success"), "rejected": self._stat(prefix + "rejected")}
