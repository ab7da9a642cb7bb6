"""One table of cases for several hosts: what a test may ask of a gateway, whichever it is.

HERDGATE_GATEWAY chooses: envoy (default), kong-host (the test host of tests/kong-host) or kong (KONG_BIN).
"""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from processes import ROOT

WASM = Path(os.environ.get("HERDGATE_WASM", ROOT / "dist" / "herdgate.wasm"))

# What {"env": NAME} in test configurations refers to.
SECRETS = {
    # The key of RFC 7520, section 5.5.1: known to all, and a secret of nobody's.
    "DECRYPTION_JWK": '{"kty":"EC","kid":"gateway-1","use":"enc","crv":"P-256","x":"Ze2loSV3wrroKUN_4zhwGhCqo3Xhu1td4QjeQ5wIVR0",'
    '"y":"HlLtdXARY_f55A3fnzQbPcm6hgr34Mp8p-nuzQCE0Zw","d":"r_kHyZ-a06rmxM3yESK84r1otSg-aQcVStkRhA-iCM8"}',
    "HERDGATE_SECRET": "test-shared-secret-of-32-bytes-or-more",
    "GATEWAY_SECRET": "secret-gateway",
    "EVENTS_SECRET": "Bearer test-events-secret",
    "REGISTER_SECRET": "test-register-secret-of-32-bytes-or-more",
}


class Metrics(dict):
    """Counts by CONTRACT's names; a host that spells them with _ for . is asked by the same names."""

    def __init__(self, counts: dict[str, float]):
        super().__init__(counts)
        self._by_plain_name = {_plain(name): value for name, value in counts.items()}

    def __getitem__(self, name: str) -> float:
        return self._by_plain_name[_plain(name)]

    def get(self, name: str, default: float = 0) -> float:
        return self._by_plain_name.get(_plain(name), default)


def _plain(name: str) -> str:
    return name.replace(".", "_").replace("-", "_")


class Refused(Exception):
    """The host did not accept the configuration; the text is its log."""


@dataclass
class Upstreams:
    """Where the gateway sends what it lets through: ports on the loopback interface."""

    api: int
    idp: int
    env: dict[str, str] = field(default_factory=lambda: dict(SECRETS))


class Gateway(ABC):
    """A gateway with the filter in it. One object runs one gateway at a time."""

    kind: str
    base_url: str

    def __init__(self, directory: Path, upstreams: Upstreams, wasm: Path = WASM, workers: int = 2, fresh: bool = False):
        """`fresh`: in a process that has served no other test, where memory or gauges are looked at."""
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self.upstreams = upstreams
        self.wasm = wasm
        self.workers = workers
        self.fresh = fresh

    @abstractmethod
    def start(self, config: dict) -> str:
        """Starts with this configuration of the filter; returns the base address. Raises Refused."""

    @abstractmethod
    def reload(self, config: dict) -> None:
        """Puts another configuration in force without a restart. Raises Refused."""

    @abstractmethod
    def refuses(self, config: dict) -> str:
        """Is given a configuration that must not work: checks that nothing passes, and returns what the log says."""

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def metrics(self) -> Metrics:
        """The filter's metrics by their names of CONTRACT, such as herdgate.bearer.accepted."""

    @abstractmethod
    def log(self) -> str: ...

    @abstractmethod
    def pids(self) -> list[int]:
        """The processes of the gateway, to see that none of them was replaced."""

    def deaths(self) -> int:
        """How many workers have crashed: none of Envoy's may, or it ends."""
        return 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def kind() -> str:
    return os.environ.get("HERDGATE_GATEWAY", "envoy")


def make_gateway(directory: Path, upstreams: Upstreams, **options) -> Gateway:
    """The gateway that HERDGATE_GATEWAY names."""
    if kind() == "envoy":
        from envoy import Envoy

        return Envoy(directory, upstreams, **options)
    if kind() == "kong-host":
        from kong import KongHost

        return KongHost(directory, upstreams, **options)
    if kind() == "kong":
        from kong import Kong

        return Kong(directory, upstreams, **options)
    raise ValueError(f"HERDGATE_GATEWAY={kind()}: expected envoy, kong-host or kong")
