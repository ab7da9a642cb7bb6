"""The tests' own equipment: a process of Envoy that serves one test after the other tells none of the one before."""

import pytest

import envoy_process
from envoy import Envoy
from gateway import Upstreams
from processes import PATIENCE_S, wait_until
from token_calls import TOKEN_PATH, call, config, endpoint, fresh_client

pytestmark = pytest.mark.only("envoy")


def of_turn(turn: int) -> dict:
    """A configuration that is warned of by a name of its own."""
    name = f"of-turn-{turn}"
    return config(endpoint(limits=["token-address", name]), limits=[{"name": name, "key": ["client_id"], "limit": 1000, "per_s": 1}])


def test_a_process_that_serves_again_knows_nothing_of_before(directory, idp, api, filter_wasm, counted, monkeypatch):
    monkeypatch.setattr(envoy_process, "_waiting", [])
    gateway, client, pids = Envoy(directory / "by-turns", Upstreams(api.port, idp.port)), fresh_client(), set()
    try:
        for turn in range(2):
            gateway.start(of_turn(turn))
            pids |= set(gateway.pids())
            before = idp.requests(TOKEN_PATH)
            assert [call(gateway.base_url, client).status for _ in range(3)] == [200] * 3
            assert idp.requests(TOKEN_PATH) - before == 1, "shared memory begins empty, and is there"
            assert gateway.metrics()["herdgate.token.upstream"] == 1
            assert f"of-turn-{turn}" in gateway.log() and f"of-turn-{1 - turn}" not in gateway.log()
            process = gateway.process
            gateway.stop()
            wait_until(process.is_empty, PATIENCE_S, "an Envoy that serves nothing")
        assert len(pids) == 1
    finally:
        gateway.stop()
        envoy_process.end_all()


def test_an_envoy_that_ends_between_two_tests_is_told_of(directory, idp, api, filter_wasm, monkeypatch):
    monkeypatch.setattr(envoy_process, "_waiting", [])
    gateway = Envoy(directory / "ended", Upstreams(api.port, idp.port))
    try:
        gateway.start(of_turn(0))
        process = gateway.process
        gateway.stop()
        process.child.stop()
        with pytest.raises(AssertionError, match="ended by itself"):
            gateway.start(of_turn(1))
        gateway.start(of_turn(1))
    finally:
        gateway.stop()
        envoy_process.end_all()
