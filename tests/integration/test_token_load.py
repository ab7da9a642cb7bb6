"""A token endpoint under load in a real gateway: how many wait, how many calls are under way, and what follows an outage."""

import time

import pytest

from http_client import Answer
from processes import PATIENCE_S
from token_calls import TOKEN_PATH, access_tokens, at_once, call, config, endpoint, fresh_client, upstream
from world import World

pytestmark = [pytest.mark.only("envoy"), pytest.mark.usefixtures("counted")]


def test_too_many_waiters_are_told_to_come_back(start_gateway, world: World):
    client, gateway = fresh_client(), start_gateway(config(endpoint(waiters_max=5)))
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=1000)
    answers = at_once(gateway.base_url, 40, client)
    good = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status != 200]
    assert 1 < len(good) <= 11 and upstream(world) == 1, [answer.status for answer in answers]
    assert len(access_tokens(good)) == 1
    for answer in refused:
        assert answer.status == 503 and int(answer.header("retry-after")) >= 1
        assert answer.json()["error"] == "temporarily_unavailable" and "authorization server" in answer.json()["error_description"]
        assert answer.header("www-authenticate") is None


def test_calls_that_are_under_way_are_capped(start_gateway, world: World):
    clients = [fresh_client() for _ in range(30)]
    gateway = start_gateway(config(endpoint(upstream_calls_max=3)))
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=1000)
    answers = at_once(gateway.base_url, 30, clients)
    refused = [answer for answer in answers if answer.status == 503]
    assert len(refused) == 27 and len(access_tokens([a for a in answers if a.status != 503])) == 3
    assert upstream(world) == 3
    waits = {int(answer.header("retry-after")) for answer in refused}
    assert min(waits) >= 1 and len(waits) > 1, "clients that are refused together do not come back together"
    metrics = gateway.metrics()
    # Shares are counted in a sketch: one of thousands is taken for a client that has a call under way.
    assert metrics["herdgate.token.capped"] + metrics["herdgate.token.over_share"] == 27
    assert metrics["herdgate.token.capped"] >= 25
    world.idp.heal()
    assert access_tokens([call(gateway.base_url, clients[29])])


def test_a_server_that_comes_back_is_led_back(start_gateway, world: World):
    clients = (f"c{number:04}" for number in range(201, 1201))
    gateway = start_gateway(config(endpoint(upstream_calls_max=10)))

    def wave() -> list[Answer]:
        return at_once(gateway.base_url, 10, [next(clients) for _ in range(10)])

    assert len(access_tokens(wave())) == 10
    world.idp.fault(TOKEN_PATH, "status", status=503)
    wave()
    during = upstream(world)
    waves = [wave() for _ in range(10)]
    assert upstream(world) - during <= 10, "one call at a time, and those with pauses"
    assert all(answer.status == 503 for answers in waves for answer in answers)

    world.idp.heal()
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=150)
    time.sleep(1.1)
    admitted, end = [], time.monotonic() + PATIENCE_S
    while not admitted or admitted[-1] < 10:
        assert time.monotonic() < end, admitted
        answers = wave()
        assert all(answer.status == 200 or int(answer.header("retry-after")) >= 1 for answer in answers)
        if good := [answer.status for answer in answers].count(200):
            admitted.append(good)
        else:
            # The pause after the last failure isn't over.
            assert not admitted, admitted
            time.sleep(0.1)
    # Each success lets one more in, and no second more than twice what the one before did.
    assert admitted[0] == 1 and len(admitted) >= 5, admitted
    assert all(now <= 2 * max(before) for now, before in ((admitted[n], admitted[:n]) for n in range(1, len(admitted)))), admitted
