"""Real Envoy, with the listener of the shipped envoy/envoy.yaml: only ports, clusters and the configuration differ."""

import copy
import json
import re
import subprocess
import tempfile
from pathlib import Path

import envoy_process
from envoy_process import STRING_VALUE, Process, loopback, shipped
from gateway import Gateway, Metrics, Refused
from http_client import request
from processes import PATIENCE_S, Child, wait_until


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
        self.process: Process | None = None
        self.extra_clusters = list(extra_clusters)
        self.base_url = ""
        self._said = ""

    # ---- life --------------------------------------------------------------------------------------------------

    def start(self, config: dict | str) -> str:
        return self.start_listener(self._listener(config))

    def start_listener(self, listener: dict) -> str:
        """Starts with a listener of the caller's own making (the benchmark's variants)."""
        (self.base_url,) = self._serve([listener], self._clusters()).values()
        return self.base_url

    def start_listeners(self, listeners: dict[str, dict], api: dict | None = None) -> dict[str, str]:
        """Starts with several listeners of the caller's own making; returns their base addresses. `api`: what the API's
        cluster has besides."""
        clusters = self._clusters()
        clusters[0].update(api or {})
        return self._serve([{**listener, "name": name} for name, listener in listeners.items()], clusters)

    def reload(self, config: dict | str) -> None:
        self.replace_listener(self._listener(config))

    def replace_listener(self, listener: dict) -> None:
        """Puts a listener of the caller's own making in the place of the present one."""
        before = self.process.updates()
        self.process.put_listeners([listener])
        after = wait_until(lambda: (now := self.process.updates()) != before and now, PATIENCE_S, "an update of the listener")
        if after["rejected"] > before["rejected"]:
            raise Refused(self.log())
        # The new listener takes over at once; wait until the old one has drained.
        wait_until(self.process.is_drained, PATIENCE_S, "draining of the old listener")

    def refuses(self, config: dict | str) -> str:
        """A running Envoy takes no such listener."""
        try:
            self.start(config)
        except Refused as refused:
            return str(refused)
        self.stop()
        raise AssertionError("Envoy took a configuration that it must refuse")

    def starts_not(self, config: dict | str) -> str:
        """Envoy with the listener in its start-up file must not start at all."""
        self.stop()
        static = {"clusters": self._clusters(), "listeners": [self._listener(config)]}
        folder = Path(tempfile.mkdtemp(prefix="refused-", dir=self.directory))
        child = envoy_process.launch(folder, self.workers, {"static_resources": static})
        try:
            child.process.wait(30)
        except subprocess.TimeoutExpired:
            child.stop()
            raise AssertionError("Envoy started with a configuration that it must refuse") from None
        assert child.process.returncode != 0, "Envoy ended without an error"
        self._said = child.log()
        return self._said

    def stop(self) -> None:
        if self.process:
            self._said = self.process.log()
            self.process.give_back()
            self.process = None

    # ---- what can be seen ----------------------------------------------------------------------------------------

    @property
    def child(self) -> Child:
        return self.process.child

    @property
    def admin(self) -> str:
        return self.process.admin

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
        return self.process.log() if self.process else self._said

    def pids(self) -> list[int]:
        return [self.child.pid]

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _listener(self, config: dict | str) -> dict:
        return make_listener(config, self.wasm, self.upstreams.env)

    def _clusters(self) -> list[dict]:
        return [
            plain_cluster("api", self.upstreams.api),
            plain_cluster("idp", self.upstreams.idp, per_connection_buffer_limit_bytes=32768),
            plain_cluster("kong_admin", self.upstreams.idp),
            *self.extra_clusters,
        ]

    def _serve(self, listeners: list[dict], clusters: list[dict]) -> dict[str, str]:
        self.stop()
        self.process = envoy_process.take(self.directory, self.wasm, self.workers, self.fresh)
        self.process.serve(clusters, listeners)
        wait_until(lambda: self._settled(len(listeners)), PATIENCE_S, "Envoy's listeners")
        ports = self.process.ports()
        if len(ports) < len(listeners):
            log = self.log()
            self.stop()
            raise Refused(log)
        return {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}

    def _settled(self, listeners: int) -> bool:
        """The listeners are there, or were refused."""
        # No configuration may end a process: that is no way to refuse one.
        assert self.child.running(), self.log()
        try:
            return len(self.process.ports()) == listeners or self.process.updates()["rejected"] > 0
        except TimeoutError:
            # The thread that answers compiles the module first; on a loaded machine that outlasts a request.
            return False
