"""`"profile": "stateless"` where shared memory, timers, metrics and calls are missing: a call of them traps there."""

import base64

import pytest

from cases import FORWARDED, RESERVED, RESERVED_PLACES, FORGED, TABLE, Case
from checks import hidden, judge, send, stable
from http_client import request
from stateless import StatelessHost, stateless

# It is one host, whichever gateway the other tests are for.
pytestmark = pytest.mark.only("envoy")

MIB = 1024 * 1024
# What differs where credentials can't be looked up and keys must be quick.
LOOKED_UP = {"old credential, looked up", "old credential, another's secret"}
SLOW = {"ES384"}
CASES = [case for case in TABLE if case.name not in LOOKED_UP | SLOW]


@pytest.fixture(scope="module")
def config(world, idp) -> dict:
    return stateless(world.config(), request(idp.jwks_uri).json())


@pytest.fixture(scope="module", params=["trap", "error"])
def host(request, directory, config, api, filter_wasm):
    with StatelessHost(directory / f"stateless-{request.param}", config, api.port, request.param) as host:
        yield host
        state = host.state()
        assert state["missing"] == {}, "the filter asked for what the host hasn't"
        assert state["memory_bytes"] <= 16 * MIB


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, host, world):
    token = case.token(world)
    before = world.api.seen()
    first = send(host.base_url, case, world, token)
    judge(case, first)
    second = send(host.base_url, case, world, token)
    judge(case, second)
    if case.status != 200:
        assert stable(second) == stable(first)
        assert world.api.seen() == before, "the API saw a request that was refused"
        hidden(first, token or "")


@pytest.mark.parametrize("place", RESERVED_PLACES, ids=lambda place: place[0])
def test_forged_identity_headers_never_arrive(place, host, world):
    _, token_of, method, path, more = place
    for name in RESERVED:
        headers = [(name, FORGED), (name, FORGED), *more]
        if token := token_of(world):
            headers.append(("authorization", f"Bearer {token}"))
        answer = request(host.base_url + path, method, headers)
        assert answer.status == 200, answer.body
        assert FORGED not in str(answer.json()["headers"])


def test_forwarded_claims(host, world):
    for claim, header in FORWARDED:
        token = world.own(note=claim)
        answer = request(host.base_url + "/orders", headers={"authorization": f"Bearer {token}"})
        assert answer.json()["headers"].get("x-note", [""]) == [header.strip()]


def test_an_encrypted_token_is_refused(host, world):
    """Where no key opens it, it costs no more than any other that is refused."""
    header = base64.urlsafe_b64encode(b'{"alg":"dir","enc":"A256GCM"}').rstrip(b"=").decode()
    before = world.api.seen()
    answer = request(host.base_url + "/orders", headers={"authorization": f"Bearer {header}..{'A' * 16}.{'A' * 800}.{'A' * 22}"})
    assert (answer.status, answer.json()["error"]) == (401, "invalid_token")
    assert world.api.seen() == before


def test_the_log_tells_the_version_and_that_it_is_in_force(host):
    log = host.state()["log"]
    assert log[0].startswith("herdgate ") and log[0].endswith(" starts")
    assert any("configuration in force" in line for line in log)


@pytest.fixture(scope="module")
def crowd(world) -> list[str]:
    """More tokens than a worker keeps, each of 8 KiB, and 16 MiB in all."""
    return [world.own(sub=f"user-{number}", note="n" * 6000) for number in range(2000)]


def test_a_thousand_requests_at_once_fit_into_16_mib(directory, config, api, world, crowd):
    with StatelessHost(directory / "stateless-crowd", config, api.port) as host:
        padding = [["x-padding", "p" * 8000]]
        for start in range(0, len(crowd), 1000):
            burst = host.burst([[["authorization", f"Bearer {token}"], *padding] for token in crowd[start : start + 1000]])
            assert burst["statuses"] == {"200": 1000}
        # Strangers' tokens leave nothing behind.
        forged = [token[:-20] + "A" * 20 for token in crowd[:1000]]
        burst = host.burst([[["authorization", f"Bearer {token}"], *padding] for token in forged])
        assert burst["statuses"] == {"401": 1000}
        assert host.state()["memory_bytes"] <= 16 * MIB
        # A known token is quick, and a new one takes less than a callback may.
        again = host.burst([[["authorization", f"Bearer {crowd[-1]}"]] for _ in range(1000)])
        print(burst, again, host.state()["memory_bytes"])
        assert again["median_us"] < 1000 and burst["median_us"] < 1000


def test_what_cannot_work_is_refused_at_load(directory, world, api, filter_wasm):
    """As the host sees it: the filter says no, and names every place."""
    with pytest.raises(RuntimeError) as refused:
        StatelessHost(directory / "stateless-refused", {**world.config(), "profile": "stateless"}, api.port)
    for place in ["issuers[0].jwks_uri", "issuers[5].credentials.lookup"]:
        assert f"configuration: {place}: expected nothing in the profile" in str(refused.value)
