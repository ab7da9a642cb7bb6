"""Kong Gateway, and the test host that behaves as it does: the same kong.yml drives both.

KongHost is tests/kong-host, a program of this project; KONG_HOST_BIN names another build of it. Kong is a real Kong
Gateway 3.9 in DB-less mode; KONG_BIN names its `kong` command.
"""

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from gateway import Gateway, Metrics, Refused
from http_client import request
from processes import PATIENCE_S, ROOT, Child, wait_until

HOST_CRATE = ROOT / "tests" / "kong-host"
# Kong lists a filter under the name of its file.
FILTER = "herdgate"
# The filter of tests/kong-host whose configuration is its program.
FIXTURE = "fixture"
# What a route answers that the filter denies as a whole, since its configuration was refused.
DENIED = 503


@dataclass
class Around:
    """What stands around the filter in a test of what must stay closed."""

    # Other filters of the same chain, each with its configuration: before the filter, after it.
    before: list[tuple[str, str]] = field(default_factory=list)
    after: list[tuple[str, str]] = field(default_factory=list)
    # Whether the services have a chain, and whether their routes have the same filter again; under a configuration of
    # its own, if there is one.
    chain: bool = True
    route_chain: bool = False
    route_config: dict | str | None = None
    name_routes: bool = True
    # Plugins of every service.
    plugins: list[dict] = field(default_factory=list)
    # The guards against buffered requests, as kong/kong.yml and kong/herdgate-guard.conf have them.
    guard: bool = True
    nginx_guard: bool = True
    # Further routes to the API: path to chain of filters.
    routes: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    # How long Kong waits for an API, in milliseconds.
    read_timeout_ms: int = 60_000
    # The zone of shared memory, in Kong's words; "" for none. The filter uses the one that has no name.
    zone: str = "32m eviction=lru"
    zone_name: str = ""

    def needs_fixture(self) -> bool:
        return any(name == FIXTURE for filters in [self.before, self.after, *self.routes.values()] for name, _ in filters)


def guard() -> dict:
    """The post-function of kong/kong.yml."""
    return next(plugin for plugin in yaml.safe_load((ROOT / "kong" / "kong.yml").read_text())["plugins"] if plugin["name"] == "post-function")


def bolt() -> dict:
    """The post-function of kong/bolt.yml."""
    return yaml.safe_load((ROOT / "kong" / "bolt.yml").read_text())["plugins"][0]


def kong_yml(config: dict | str, api: int, idp: int, wait_socket: Path | None, around: Around, as_text: bool = False) -> str:
    """A declarative configuration: the API and the authorization server as services, the filter before both."""

    def complete(config: dict | str) -> dict | str:
        if isinstance(config, str):
            return config
        if wait_socket:
            config = {**config, "kong": {"wait_uri": f"unix:{wait_socket}", **config.get("kong", {})}}
        config = {**config, "shared": {"secret": {"env": "HERDGATE_SECRET"}, **config.get("shared", {})}}
        return json.dumps(config) if as_text else config

    def chain(filters: list) -> dict:
        return {"filters": [{"name": name, "config": config} for name, config in filters]}

    ours = chain([*around.before, (FILTER, complete(config)), *around.after])

    def service(name: str, port: int, path: str) -> dict:
        route = {"paths": [path], "strip_path": False, "preserve_host": True}
        if around.name_routes:
            route["name"] = name
        if around.route_chain:
            route["filter_chains"] = [chain([(FILTER, complete(around.route_config or config))])]
        out = {"name": name, "url": f"http://127.0.0.1:{port}", "routes": [route], "read_timeout": around.read_timeout_ms, "retries": 0}
        if around.chain:
            out["filter_chains"] = [ours]
        if around.plugins:
            out["plugins"] = around.plugins
        return out

    services = [service("api", api, "/"), service("token", idp, "/oauth2")]
    for number, (path, filters) in enumerate(around.routes.items()):
        other = {"name": f"other-{number}", "url": f"http://127.0.0.1:{api}", "filter_chains": [chain(filters)]}
        services.append({**other, "routes": [{"name": f"other-{number}", "paths": [path], "strip_path": False}]})
    document = {"_format_version": "3.0", "services": services}
    if around.guard:
        document["plugins"] = [guard()]
    return yaml.safe_dump(document, sort_keys=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class _Kong(Gateway):
    """What the test host and the real Kong have in common."""

    def __init__(self, *args, **options):
        options.pop("extra_clusters", None)
        self.around = options.pop("around", None) or Around()
        super().__init__(*args, **options)
        self.child: Child | None = None
        self.base_url = ""
        self.admin = ""
        self.wait_socket = self.directory / "wait.sock"

    def write_config(self, config: dict | str, as_text: bool = False) -> Path:
        """`as_text`: past Kong's own check of objects, which stops at the first mistake, to the filter."""
        path = self.directory / "kong.yml"
        path.write_text(kong_yml(config, self.upstreams.api, self.upstreams.idp, self.wait_socket, self.around, as_text))
        return path

    def refuses(self, config: dict | str) -> str:
        """Kong serves a route whose filter refused its configuration, so the filter itself must deny everything."""
        self.stop()
        try:
            self._launch_file(self.write_config(config, as_text=True))
        except Refused as refused:
            return str(refused)
        for path in ("/", "/health", "/orders"):
            answer = request(self.base_url + path)
            assert answer.status == DENIED, f"{path}: {answer.status}"
        return self.log()

    def start(self, config: dict | str) -> str:
        self.stop()
        self._launch(config)
        probe = request(self.base_url + "/health")
        if probe.status == DENIED and b"not configured" in probe.body:
            log = self.log()
            self.stop()
            raise Refused(log)
        return self.base_url

    def launch(self, config: dict | str) -> None:
        """Starts, and asks for nothing: where the test wants to see all that the API gets."""
        self.stop()
        self._launch(config)

    def launch_document(self, document: str) -> None:
        """Starts with a declarative configuration of the test's own."""
        self.stop()
        path = self.directory / "kong.yml"
        path.write_text(document)
        self._launch_file(path)

    def stop(self) -> None:
        if self.child:
            self.child.stop()

    def metrics(self) -> Metrics:
        out: dict[str, float] = {}
        for line in self._metric_lines():
            found = re.match(rf"pw_{FILTER}_(\S+?)(?:\{{.*\}})? (\S+)$", line)
            if found:
                out[found[1]] = float(found[2])
        return Metrics(out)

    def prometheus(self) -> str:
        return "\n".join(self._metric_lines())

    def log(self) -> str:
        return self.child.log() if self.child else ""

    def _launch(self, config: dict | str) -> None:
        self._launch_file(self.write_config(config))

    def _launch_file(self, path: Path) -> None:
        raise NotImplementedError

    def _metric_lines(self) -> list[str]:
        raise NotImplementedError

    def _push(self, text: bytes) -> None:
        answer = request(f"{self.admin}/config", "POST", {"content-type": "text/yaml"}, text, timeout=30)
        if answer.status not in (200, 201):
            raise Refused(answer.body.decode())


class KongHost(_Kong):
    kind = "kong-host"

    def reload(self, config: dict | str) -> None:
        before = len(self.log())
        self._push(self.write_config(config).read_bytes())
        # The filter keeps to the old configuration and says what is wrong with the new one.
        if "expected" in self.log()[before:]:
            raise Refused(self.log()[before:])

    def pids(self) -> list[int]:
        return [self.child.pid]

    def log(self) -> str:
        if self.child and self.child.running() and self.admin:
            return "\n".join(request(f"{self.admin}/host").json()["log"])
        return super().log()

    def deaths(self) -> int:
        """How many workers have died: in a real Kong each is a crash."""
        if not (self.child and self.child.running() and self.admin):
            return 0
        return len_or_number(request(f"{self.admin}/host").json()["deaths"])

    def _launch_file(self, path: Path) -> None:
        log = self.directory / "kong-host.log"
        log.unlink(missing_ok=True)
        self.wait_socket.unlink(missing_ok=True)
        command = [kong_host_binary(), "serve", "--wasm", f"{FILTER}={self.wasm}", "--config", path, "--listen", "127.0.0.1:0"]
        command += ["--admin", "127.0.0.1:0", "--workers", self.workers, "--wait-socket", self.wait_socket]
        command += ["--body-buffer", bytes_of(settings()["KONG_NGINX_HTTP_CLIENT_BODY_BUFFER_SIZE"])]
        number, size = settings()["KONG_NGINX_HTTP_WASM_RESPONSE_BODY_BUFFERS"].split()
        command += ["--response-buffers", f"{number}x{bytes_of(size)}", "--zone", host_zone(self.around)]
        for name, value in self.upstreams.env.items():
            command += ["--env", f"{name}={value}"]
        if self.around.nginx_guard:
            # The file that has the guard declares the variables, too.
            command += ["--refuse-buffered", "--log-variables"]
        if self.around.needs_fixture():
            command += ["--wasm", f"{FIXTURE}={fixture_wasm()}"]
        self.child = Child(command, log, stdout=subprocess.PIPE)
        for name in ("listening", "admin"):
            line = self.child.process.stdout.readline().decode().split()
            if line[:1] != [name]:
                self.child.stop()
                raise Refused(self.child.log())
            setattr(self, "base_url" if name == "listening" else "admin", f"http://{line[1]}")

    def move_clock(self, by_s: float) -> None:
        """Moves the clock of all workers; negative goes back."""
        answer = request(f"{self.admin}/clock", "POST", {}, str(int(by_s * 1000)).encode())
        assert answer.status == 200, answer

    def _metric_lines(self) -> list[str]:
        return request(f"{self.admin}/metrics").body.decode().splitlines()


class Kong(_Kong):
    """Real Kong, with the settings that kong/ ships for zones and buffers."""

    kind = "kong"

    def reload(self, config: dict | str) -> None:
        before = len(self.log())
        self._push(self.write_config(config, as_text=True).read_bytes())
        # Workers take it up one after the other, some time after the Admin API has said yes.
        with contextlib.suppress(AssertionError, TimeoutError):
            wait_until(lambda: set(self.pids()) <= self._configured(before), 15, "every worker's configuration", every=0.2)
        time.sleep(0.5)
        if "expected" in self.log()[before:]:
            raise Refused(self.log()[before:])

    def _configured(self, before: int) -> set[int]:
        """The workers in which the filter has spoken of its configuration since."""
        return {int(pid) for pid in re.findall(r"\] (\d+)#.*herdgate: configuration", self.log()[before:])}

    def pids(self) -> list[int]:
        """The workers: nginx starts another where one has crashed."""
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self._master())], capture_output=True, text=True).stdout
        return sorted(int(pid) for pid in out.split())

    def hup(self) -> None:
        """nginx reads its configuration anew: other workers, and zones that are empty again."""
        before = set(self.pids())
        os.kill(self._master(), signal.SIGHUP)
        wait_until(lambda: len(self.pids()) == self.workers and not before & set(self.pids()), PATIENCE_S, "other workers", every=0.1)
        wait_until(self._up, PATIENCE_S, "Kong's being ready again", every=0.2)

    def _master(self) -> int:
        return int((self.directory / "prefix" / "pids" / "nginx.pid").read_text())

    def deaths(self) -> int:
        """nginx starts another worker where one has crashed, and requests may never show it."""
        return self.log().count("exited on signal")

    def log(self) -> str:
        error_log = self.directory / "prefix" / "logs" / "error.log"
        lines = error_log.read_text(errors="replace").splitlines(keepends=True) if error_log.exists() else []
        # At this level nginx writes down header lines that it refuses, tokens and all; kong.env says `notice`.
        return super().log() + "".join(line for line in lines if "[info]" not in line or "client sent" not in line)

    def _launch_file(self, path: Path) -> None:
        binary = shutil.which(os.environ.get("KONG_BIN", "kong"))
        if not binary:
            raise RuntimeError("KONG_BIN names no kong command")
        proxy, admin, status = free_port(), free_port(), free_port()
        prefix = self.directory / "prefix"
        shutil.rmtree(prefix, ignore_errors=True)
        filters = self.directory / "filters"
        filters.mkdir(exist_ok=True)
        shutil.copy(self.wasm, filters / f"{FILTER}.wasm")
        shutil.copy(ROOT / "kong" / "herdgate.meta.json", filters / f"{FILTER}.meta.json")
        if self.around.needs_fixture():
            shutil.copy(fixture_wasm(), filters / f"{FIXTURE}.wasm")
        wait_server = self.directory / "wait.conf"
        wait_server.write_text(wait_block(self.wait_socket))
        self.wait_socket.unlink(missing_ok=True)
        env = {
            **settings(),
            "KONG_DECLARATIVE_CONFIG": str(path),
            "KONG_PREFIX": str(prefix),
            "KONG_PROXY_LISTEN": f"127.0.0.1:{proxy}",
            "KONG_ADMIN_LISTEN": f"127.0.0.1:{admin}",
            "KONG_STATUS_LISTEN": f"127.0.0.1:{status}",
            "KONG_ADMIN_GUI_LISTEN": "off",
            # Tokens may be longer than the header field that nginx takes: kong/README.md says how long.
            "KONG_NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS": "4 24k",
            "KONG_NGINX_WORKER_PROCESSES": str(self.workers),
            "KONG_NGINX_DAEMON": "off",
            "KONG_ANONYMOUS_REPORTS": "off",
            "KONG_LOG_LEVEL": "info",
            "KONG_WASM_FILTERS_PATH": str(filters),
            "KONG_NGINX_HTTP_INCLUDE": str(wait_server),
            **self.upstreams.env,
        }
        del env["KONG_NGINX_WASM_SHM_KV"]
        if self.around.zone:
            env["_".join(filter(None, ["KONG_NGINX_WASM_SHM_KV", self.around.zone_name.upper()]))] = self.around.zone
        del env["KONG_NGINX_PROXY_INCLUDE"]
        if self.around.nginx_guard:
            env["KONG_NGINX_PROXY_INCLUDE"] = str(ROOT / "kong" / "herdgate-guard.conf")
        if os.geteuid() == 0:
            # Else workers run as nobody, who can't enter the directory of a test.
            env["KONG_NGINX_MAIN_USER"] = "root root"
        log = self.directory / "kong.log"
        log.unlink(missing_ok=True)
        self.child = Child([binary, "start"], log, env=env)
        self.base_url, self.admin = f"http://127.0.0.1:{proxy}", f"http://127.0.0.1:{admin}"
        self._status = f"http://127.0.0.1:{status}"
        wait_until(self._up, 60, "Kong's start", every=0.2)

    def _up(self) -> bool:
        if not self.child.running():
            raise Refused(self.log())
        try:
            return request(f"{self._status}/status/ready").status == 200
        except OSError:
            return False

    def _metric_lines(self) -> list[str]:
        return request(f"{self._status}/metrics").body.decode().splitlines()


@functools.cache
def settings() -> dict[str, str]:
    """The settings that kong/ ships, as a shell reads them."""
    file = ROOT / "kong" / "kong.env"
    names = [line.split("=", 1)[0] for line in file.read_text().splitlines() if line and not line.startswith("#")]
    done = subprocess.run(["sh", "-eu", "-c", 'set -a; . "$0"; env -0', file], capture_output=True, check=True, env={"PATH": os.defpath})
    found = dict(pair.split("=", 1) for pair in done.stdout.decode().split("\0") if pair)
    return {name: found[name] for name in names}


def bytes_of(size: str) -> int:
    """nginx's way to write a size."""
    return int(size[:-1]) * {"k": 1 << 10, "m": 1 << 20}[size[-1]]


def host_zone(around: Around) -> str:
    """Kong's words for a zone as the test host takes them; a zone of another name stands for none."""
    if not around.zone:
        return "unused=1m,none"
    size, _, eviction = around.zone.partition(" eviction=")
    return f"{around.zone_name or '*'}={size},{eviction or 'slru'}"


def wait_block(path: Path) -> str:
    """The small server on which followers wait, at a path of the test's own."""
    return re.sub(r"unix:[^;\s]+;", f"unix:{path};", (ROOT / "kong" / "herdgate-wait.conf").read_text())


@functools.cache
def fixture_wasm() -> Path:
    """A filter that does what its configuration says, traps too."""
    target = HOST_CRATE / "target" / "fixture"
    manifest = HOST_CRATE / "fixture" / "Cargo.toml"
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--target", "wasm32-wasip1", "--manifest-path", manifest]
    subprocess.run([*command, "--target-dir", target], check=True)
    return target / "wasm32-wasip1" / "release" / "fixture.wasm"


def len_or_number(value) -> int:
    return value if isinstance(value, int) else len(value)


@functools.cache
def kong_host_binary() -> Path:
    if named := os.environ.get("KONG_HOST_BIN"):
        return Path(named)
    if not HOST_CRATE.exists():
        raise RuntimeError("tests/kong-host is missing")
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", HOST_CRATE / "Cargo.toml"], check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", HOST_CRATE / "target")) / "release" / "kong-host"
