"""Gauges and histograms: how things stand and how long they take, as a real host tells it."""

import re
import threading
import time

import pytest

from gateway import kind
from processes import PATIENCE_S, wait_until
from test_keys import statuses, with_jwks
from token_calls import TOKEN_PATH, at_once, call, config, endpoint, fresh_client
from world import World


def test_age_of_keys_and_fill_of_tables(start_gateway, world: World):
    config = with_jwks(world, ttl_s=600)
    config["issuers"].append(world.own_issuer())
    config["shared"] = {**config["shared"], "tokens_max": 256}
    gateway = start_gateway(config, fresh=True)
    # Shared memory remembers signatures that take long: of these two, the second's.
    tokens = [world.idp.token(), *(world.own(world.ed, jti=f"filling {n}") for n in range(200))]
    assert statuses(gateway.base_url, tokens) == {200: 201}
    age, fill = f"herdgate.issuer.{config['issuers'][0]['name']}.jwks_age_s", "herdgate.table.tokens.filled_percent"

    def told() -> bool:
        # Looks come every five seconds, and each has a quarter of the weight.
        metrics = gateway.metrics()
        return metrics.get(fill) >= 10 and metrics.get(age) >= 5

    wait_until(told, 60 + PATIENCE_S, "the share of a table that is taken")
    metrics = gateway.metrics()
    assert 10 <= metrics[fill] <= 100 and 5 <= metrics[age] < 120
    assert metrics["herdgate.table.revoked.filled_percent"] == 0


@pytest.mark.only("envoy")
def test_what_waits_and_what_is_called_for_is_told(start_gateway, world: World):
    client, gateway = fresh_client(), start_gateway(config(endpoint(wait_ms_max=8000)), fresh=True)
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=3000)
    answers: list = []
    callers = threading.Thread(target=lambda: answers.extend(at_once(gateway.base_url, 20, client)))
    callers.start()
    try:
        wait_until(lambda: gateway.metrics().get("herdgate.wait.now") == 19, 2.5, "nineteen who wait for the one that calls")
    finally:
        callers.join()
    assert [answer.status for answer in answers] == [200] * 20
    wait_until(lambda: gateway.metrics().get("herdgate.wait.now") == 0, PATIENCE_S, "nobody who waits")


def test_how_long_calls_take(start_gateway, world: World):
    gateway = start_gateway(config(endpoint()), fresh=True)
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=700)
    assert call(gateway.base_url, fresh_client()).status == 200
    assert 700 <= longest(gateway, "herdgate_token_took_ms") <= 5000


def test_how_long_fetches_and_waits_take(start_gateway, world: World):
    world.idp.fault("/jwks", "slow", delay_ms=700)
    gateway = start_gateway(with_jwks(world), fresh=True)
    assert statuses(gateway.base_url, [world.idp.token()]) == {200: 1}
    assert 700 <= longest(gateway, "herdgate_call_took_ms") <= 5000
    # Envoy's workers fetch ahead of the first request, which then waits for what is left of it.
    if kind() != "envoy":
        assert 700 <= longest(gateway, "herdgate_wait_took_ms") <= 5000


def longest(gateway, name: str) -> float:
    """The least bound of a bucket that has all values of a histogram, in milliseconds; the sum where no buckets are told."""
    lines = []

    def has_come() -> bool:
        # Kong leaves the dots in names.
        told = [re.sub(r"^[^{ ]+", lambda found: found[0].replace(".", "_"), line) for line in gateway.prometheus().splitlines()]
        lines[:] = [line for line in told if name in line and not line.startswith("#")]
        return any(float(line.rsplit(" ", 1)[1]) > 0 for line in lines)

    wait_until(has_come, PATIENCE_S, name)
    buckets = [(line.split('le="')[1].split('"')[0], float(line.rsplit(" ", 1)[1])) for line in lines if 'le="' in line]
    if not buckets:
        return max(float(line.rsplit(" ", 1)[1]) for line in lines if "_count" not in line)
    most = max(count for _, count in buckets)
    return min(float(bound.replace("+Inf", "inf")) for bound, count in buckets if count == most)
