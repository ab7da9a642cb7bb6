"""Many devices behind one key: memory stays as it is, and limits of those in use stay exact.

HERDGATE_DEVICES sets how many there are; a million takes about seven minutes.
"""

import math
import os
import threading
import time
from pathlib import Path

import pytest

from http_client import request
from load import load, token_file
from tokens import Key, claims, device_issuer
from world import TEMPLATE, World

pytestmark = pytest.mark.only("envoy")

DEVICES = int(os.environ.get("HERDGATE_DEVICES", 20_000))
IN_USE = 20
BURST = 10
# What the devices send together, so that their counters aren't all busy at once.
PER_S = 3_000
# No table has room for all of them; a counter is busy for two seconds after a request.
SMALL = {"shared": {"secret": {"env": "HERDGATE_SECRET"}, "tokens_max": 2_048, "counters_max": 32_768}, "memory": {"tokens_max": 1_024}}


def resident_bytes(pids: list[int]) -> int:
    """What the processes have in memory."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


class InUse(threading.Thread):
    """Devices that ask four times a second, or as often as the machine lets them, each for more than it may."""

    def __init__(self, url: str, tokens: list[str]):
        super().__init__()
        self.url = url
        self.tokens = tokens
        self.over = threading.Event()
        self.admitted = [0] * len(tokens)
        # When each request was sent, and when it was answered.
        self.asked: list[list[tuple[float, float]]] = [[] for _ in tokens]
        self.others: set[int] = set()

    def run(self):
        while not self.over.is_set():
            for number, token in enumerate(self.tokens):
                sent = time.monotonic()
                status = request(self.url, headers={"authorization": f"Bearer {token}"}).status
                self.asked[number].append((sent, time.monotonic()))
                self.admitted[number] += status == 200
                self.others |= {status} - {200, 429}
            self.over.wait(0.25)

    def bounds(self, number: int) -> tuple[int, int]:
        """How many of a device's requests an exact limit admits: the burst and one a second (GCRA), if each had been
        decided when it was sent. It was decided later, before it was answered, so that it may be a few more or less."""
        arrival, admitted = 0.0, 0
        for sent, _ in self.asked[number]:
            if max(arrival, sent) + 1 <= sent + BURST:
                arrival, admitted = max(arrival, sent) + 1, admitted + 1
        late = math.ceil(max(answered - sent for sent, answered in self.asked[number]))
        return admitted - 1 - late, admitted + 1 + late


def test_many_devices_leave_memory_flat_and_limits_exact(start_gateway, world: World, directory):
    key = Key("EdDSA")

    def token(device: str) -> str:
        return key.token(claims(device_issuer(device), audience=None, lifetime_s=7200), {"alg": "EdDSA", "typ": "JWT"})

    mobile = {"name": "mobile", "issuer": TEMPLATE, "algorithms": ["EdDSA"], "keys": [{"jwk": key.jwk()}]}
    gateway = start_gateway(
        world.config(
            issuers=[mobile],
            rules=[{"match": {"path_prefix": "/v1"}, "issuers": ["mobile"], "limits": ["per-device"]}],
            rate_limits=[{"name": "per-device", "key": ["issuer"], "limit": 60, "per_s": 60, "burst": BURST}],
            **SMALL,
        ),
        fresh=True,
    )
    url = gateway.base_url + "/v1/content"
    in_use = InUse(url, [token(f"in-use-{number}") for number in range(IN_USE)])
    started = time.monotonic()
    in_use.start()
    resident = []
    half = DEVICES // 2
    try:
        for part in range(2):
            tokens = token_file(directory / "device-tokens", [token(f"d-{number}") for number in range(part * half, (part + 1) * half)])
            report = load(url, connections=32, requests=half, rate=PER_S, tokens=tokens, timeout_s=60 + DEVICES / 1_000)
            assert report["statuses"] == {"200": half}, report
            resident.append(resident_bytes(gateway.pids()))
    finally:
        in_use.over.set()
        in_use.join()
    elapsed_s = time.monotonic() - started

    metrics = gateway.metrics()
    print(f"{DEVICES} devices in {elapsed_s:.0f} s: {resident[0]:,} bytes resident after one half, {resident[1]:,} after both")
    print(f"in use: {min(in_use.admitted)} to {max(in_use.admitted)} admitted of {BURST} and {elapsed_s:.1f}; sketch {metrics.get('herdgate.limit.per-device.sketch'):.0f}")
    assert not in_use.others
    # The burst, one a second, and none that the others took or gave.
    for number, admitted in enumerate(in_use.admitted):
        fewest, most = in_use.bounds(number)
        assert fewest <= admitted <= min(most, BURST + elapsed_s + 1), (number, admitted, fewest, most, elapsed_s)
    assert resident[1] - resident[0] < 4 << 20, resident
