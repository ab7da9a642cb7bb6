"""Every attack forges what was just accepted, on every worker: none is accepted, no control refused, no answer unlike
the first."""

import pytest

from attacks import CATALOGUE, Attack
from checks import hidden, stable
from http_client import request
from tokens import jwks


# Each request is a connection of its own, so that of two workers both get some.
CONNECTIONS = 5


@pytest.fixture(scope="module", autouse=True)
def evil_documents(idp, world):
    """What an attacker would serve at the addresses in jku and x5u; the filter must never ask for it."""
    idp.document("/evil-jwks", jwks(world.stranger))
    idp.document("/evil-x5u", world.stranger.pem())
    idp.reset_counts()
    yield
    assert idp.requests("/evil-jwks") == 0
    assert idp.requests("/evil-x5u") == 0


@pytest.mark.parametrize("attack", CATALOGUE, ids=lambda attack: attack.name)
def test_attack(attack: Attack, main_gateway, world):
    url = main_gateway.base_url + attack.path
    # The attack is made of the very token that each worker has accepted.
    with world.same_tokens():
        control = attack.control_headers(world)
        headers = attack.request_headers(world)
    assert control != headers
    for _ in range(CONNECTIONS):
        assert request(url, headers=control).status == 200, "the control was refused"
    before = world.api.seen()
    first, *others = [request(url, headers=headers) for _ in range(CONNECTIONS)]
    assert first.status in attack.statuses, f"{first.status} {first.body[:200]!r}"
    assert {stable(other) for other in others} == {stable(first)}
    assert world.api.seen() == before, "the attack reached the API"
    value = headers[0][1]
    hidden(first, value.decode("latin-1") if isinstance(value, bytes) else value)
    # The control again: no attack leaves anything behind.
    assert request(url, headers=control).status == 200, "the control was refused after the attack"


def test_the_gateway_survived(main_gateway, world):
    """No trap, no restart: the same processes, and nothing in the log that speaks of one."""
    pids = main_gateway.pids()
    for attack in CATALOGUE:
        assert request(main_gateway.base_url + attack.path, headers=attack.request_headers(world)).status < 500
    assert main_gateway.pids() == pids
    log = main_gateway.log().lower()
    for word in ("panicked", "unreachable", "proxy-wasm failed", "function: proxy_on", "segmentation"):
        assert word not in log, log[-3000:]


def test_no_token_in_the_log(main_gateway, world):
    token = world.own(subject="subject-that-must-not-be-logged")
    request(main_gateway.base_url + "/orders", headers={"authorization": f"Bearer {token}"})
    request(main_gateway.base_url + "/orders", headers={"authorization": f"Bearer {token}x"})
    log = main_gateway.log()
    assert token.split(".")[1][:40] not in log
    assert "subject-that-must-not-be-logged" not in log
