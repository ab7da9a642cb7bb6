"""dist/herdgate-bearer.wasm: the same filter, which the host never enters for an answer of the API."""

import threading

import pytest

from gateway import WASM
from http_client import request
from tokens import forged
from world import World

BEARER = WASM.with_name("herdgate-bearer.wasm")


def call(gateway, token: str, **more) -> int:
    return request(gateway.base_url + "/orders", headers={"authorization": f"Bearer {token}"}, **more).status


def test_tokens_are_checked_as_by_the_whole_filter(start_gateway, world: World):
    gateway = start_gateway(world.config(), wasm=BEARER)
    good, bad = world.own(), forged(world.own())
    for _ in range(2):
        assert (call(gateway, good), call(gateway, bad)) == (200, 401)
        assert (call(gateway, good, body=b"x" * 70_000), call(gateway, bad, body=b"x")) == (200, 401)


def test_a_body_carries_no_request_past_a_verdict_that_is_awaited(start_gateway, world: World):
    world.idp.fault("/jwks", "slow", delay_ms=700)
    gateway = start_gateway(world.config(issuers=[world.idp_issuer()], rules=[]), wasm=BEARER)
    seen, statuses = world.api.seen(), []
    tokens = [forged(world.idp.token()) for _ in range(8)]
    callers = [
        threading.Thread(target=lambda token=token: statuses.append(call(gateway, token, body=b"y" * 20_000)))
        for token in tokens
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert statuses == [401] * 8 and world.api.seen() == seen


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"token_endpoints": [{"path": "/oauth2/token"}]}, "token_endpoints: expected nothing in herdgate-bearer.wasm"),
        (
            {"rate_limits": [{"name": "a", "key": ["address"], "limit": 5, "per_s": 1, "headers": True}]},
            "rate_limits[0].headers: expected nothing in herdgate-bearer.wasm",
        ),
    ],
    ids=["token_endpoints", "headers"],
)
def test_what_needs_answers_is_refused_with_the_other_modules_name(more, says, start_gateway, world: World):
    log = start_gateway(None, wasm=BEARER).refuses({**world.config(), **more})
    assert says in log and "herdgate.wasm sees them" in log
