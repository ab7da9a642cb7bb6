"""Introspection beside local verification: asked once, remembered within bounds, never taken for a yes when it fails.

The server's own endpoint introspects opaque tokens alone; here one of the test's own speaks for tokens that verify.
"""

import time

import pytest

from http_client import request
from processes import PATIENCE_S, wait_until
from world import World

PATH = "/told"


def config(world: World, **more) -> dict:
    """Rules with and without introspection; the endpoint is `PATH` at the server unless `more` says otherwise."""
    endpoint = {
        "uri": world.idp.issuer + PATH,
        "allow_http": True,
        "cluster": "idp",
        "client_id": "gateway",
        "client_secret": {"env": "GATEWAY_SECRET"},
        "ttl_s_max": 60,
        "negative_ttl_s": 60,
        **more,
    }
    rules = [
        {"match": {"path_prefix": "/asked"}, "issuers": ["own"], "introspect": True},
        {"match": {"path_prefix": "/orders"}, "issuers": ["own"]},
    ]
    return world.config(issuers=[world.own_issuer()], rules=rules, introspection=endpoint)


def get(gateway, token: str, path: str = "/asked"):
    return request(gateway.base_url + path, headers={"authorization": f"Bearer {token}"})


@pytest.fixture
def says(world: World):
    """Sets what the endpoint says, and forgets how often it was asked."""

    def say(body: str | None, status: int = 200) -> None:
        world.idp.document(PATH, body, status=status)
        world.idp.reset_counts()

    yield say
    world.idp.document(PATH, None)


def test_active_is_asked_once_for_all_workers(start_gateway, world: World, says):
    gateway = start_gateway(config(world))
    says('{"active": true}')
    token = world.own()
    assert [get(gateway, token).status for _ in range(20)] == [200] * 20
    assert world.idp.requests(PATH) == 1
    assert get(gateway, world.own()).status == 200
    assert world.idp.requests(PATH) == 2, "another token is another question"


def test_inactive_is_refused_where_it_is_asked(start_gateway, world: World, says):
    gateway = start_gateway(config(world))
    says('{"active": false}')
    token = world.own()
    assert get(gateway, token, "/orders").status == 200
    for _ in range(10):
        answer = get(gateway, token)
        assert answer.status == 401 and 'error="invalid_token"' in answer.header("www-authenticate")
    assert world.idp.requests(PATH) == 1
    assert gateway.metrics()["herdgate.bearer.rejected.inactive"] == 10


def test_a_local_refusal_asks_nobody(start_gateway, world: World, says):
    gateway = start_gateway(config(world))
    says('{"active": true}')
    expired = world.own(lifetime_s=-120)
    forged = world.own(world.stranger)
    assert [get(gateway, token).status for token in (expired, forged)] == [401, 401]
    assert world.idp.requests(PATH) == 0


def test_what_was_active_is_asked_again(start_gateway, world: World, says):
    gateway = start_gateway(config(world, ttl_s_max=1))
    says('{"active": true}')
    token = world.own()
    assert get(gateway, token).status == 200
    says('{"active": false}')
    time.sleep(1.3)
    assert [get(gateway, token).status for _ in range(6)] == [401] * 6


@pytest.mark.parametrize(
    "body, status",
    [("oops", 500), ("{}", 200), ('{"active": "true"}', 200), ('{"active": true, "active": true}', 200), ("<html>", 200), ('{"active": true}', 302)],
)
def test_no_answer_is_no_yes(body, status, start_gateway, world: World, says):
    gateway = start_gateway(config(world))
    says(body, status)
    answer = get(gateway, world.own())
    assert answer.status == 503 and int(answer.header("retry-after")) >= 1
    assert "invalid_token" not in answer.body.decode()
    assert gateway.metrics()["herdgate.introspection.fetch_failed"] >= 1


def test_a_failing_endpoint_is_not_stormed_and_heals(start_gateway, world: World, says):
    gateway = start_gateway(config(world))
    says("oops", 500)
    token = world.own()
    began = time.monotonic()
    assert [get(gateway, token).status for _ in range(30)] == [503] * 30
    # The pauses between two calls are three quarters of 1, 2, 4, 8 s at least.
    took, allowed, pause = time.monotonic() - began, 1, 0.75
    while took > pause:
        took, allowed, pause = took - pause, allowed + 1, 2 * pause
    assert world.idp.requests(PATH) <= allowed
    says('{"active": true}')
    wait_until(lambda: get(gateway, token).status == 200, PATIENCE_S, "recovery", every=0.2)


@pytest.mark.parametrize("cnf", ['{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}', '{"x5t#S256":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}', "{}", "1"])
def test_a_token_that_the_endpoint_calls_bound_is_refused(cnf, start_gateway, world: World, says):
    gateway = start_gateway(config(world))
    says('{"active": true, "cnf": %s}' % cnf)
    token = world.own()
    assert [get(gateway, token).status for _ in range(10)] == [401] * 10
    assert world.idp.requests(PATH) == 1
    assert gateway.metrics()["herdgate.bearer.rejected.bound"] == 10
    assert get(gateway, token, "/orders").status == 200, "a rule that doesn't ask the endpoint"


def test_by_status_alone(start_gateway, world: World, says):
    gateway = start_gateway(config(world, kind="status"))
    says("", 200)
    good = world.own()
    assert get(gateway, good).status == 200
    for status in (401, 403, 404):
        says("", status)
        assert get(gateway, world.own()).status == 401, status
    says("", 500)
    assert get(gateway, world.own()).status == 503
    assert get(gateway, good).status == 200, "remembered"


@pytest.mark.parametrize("fraction", ["", ".25", ".0"])
def test_an_end_with_a_fraction_is_an_end(fraction, start_gateway, world: World, says):
    gateway = start_gateway(config(world))
    end = int(time.time()) + 3
    says('{"active": true, "exp": %d%s}' % (end, fraction))
    token = world.own()
    assert get(gateway, token).status == 200
    time.sleep(max(0.0, end + 0.2 - time.time()))
    assert [get(gateway, token).status for _ in range(4)] == [401] * 4
    assert gateway.metrics()["herdgate.bearer.rejected.inactive"] == 4


@pytest.mark.parametrize("date", ['"exp": "1795790000"', '"exp": null', '"exp": 1795790000000', '"nbf": "now"', '"iat": -1'])
def test_a_date_that_is_none_is_no_yes(date, start_gateway, world: World, says):
    gateway = start_gateway(config(world))
    says('{"active": true, %s}' % date)
    answer = get(gateway, world.own())
    assert answer.status == 503 and "invalid_token" not in answer.body.decode()
    assert gateway.metrics()["herdgate.introspection.fetch_failed"] >= 1
