"""Logins that are strong and recent enough (RFC 9470): a token is good for one path and not for another, and not for ever."""

import time

import pytest

from http_client import request
from world import World

MAX_AGE_S = 60
LOGIN = 'error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required"'
WANTED = f'acr_values="myACR urn:mfa", max_age="{MAX_AGE_S}"'


def rules(**more) -> list:
    return [
        {"match": {"path_prefix": "/payments"}, "scopes_all": ["pay"], "acr_values": ["myACR", "urn:mfa"], "max_age_s": MAX_AGE_S, **more},
        {"match": {"path_prefix": "/orders"}},
    ]


def get(gateway, token: str, path: str = "/payments"):
    return request(gateway.base_url + path, headers={"authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
def gateway(directory, idp, api, filter_wasm, world: World):
    from conftest import _end, _starter

    start, started = _starter(directory, idp, api)
    yield start(world.config(issuers=[world.own_issuer(leeway_s=0)], rules=rules()))
    _end(started, False)


def test_a_login_that_is_good_enough_passes_on_every_worker(gateway, world: World):
    token = world.own(scope="pay", acr="urn:mfa", auth_time=int(time.time()))
    assert [get(gateway, token).status for _ in range(8)] == [200] * 8


@pytest.mark.parametrize(
    "login",
    [
        {},
        {"acr": "myACR"},
        {"auth_time": 0},
        {"acr": "other", "auth_time": 0},
        {"acr": ["myACR"], "auth_time": 0},
        {"acr": "myACR", "auth_time": -MAX_AGE_S - 2},
        # Who says that a login is yet to come says nothing.
        {"acr": "myACR", "auth_time": 3600},
        {"acr": "myACR", "auth_time": None},
        {"acr": "myACR", "auth_time": "now"},
    ],
    ids=repr,
)
def test_any_other_is_sent_to_log_in_again(gateway, world: World, api, login):
    if isinstance(login.get("auth_time"), int):
        login = {**login, "auth_time": int(time.time()) + login["auth_time"]}
    token = world.own(scope="pay", **login)
    api.reset()
    for _ in range(4):
        answer = get(gateway, token)
        assert (answer.status, answer.header("www-authenticate")) == (401, f'Bearer realm="api", {LOGIN}, {WANTED}')
        assert answer.json()["error"] == "insufficient_user_authentication"
    assert api.seen() == 0
    # The token is as good as ever.
    assert get(gateway, token, "/orders").status == 200
    assert gateway.metrics()["herdgate.bearer.rejected.authentication"] >= 4


def test_one_more_login_is_enough(gateway, world: World):
    """What scope is missing is said with it (RFC 9470, section 3)."""
    answer = get(gateway, world.own(scope="orders:read", acr="other"))
    assert (answer.status, answer.header("www-authenticate")) == (401, f'Bearer realm="api", {LOGIN}, scope="pay", {WANTED}')
    good = world.own(scope="orders:read", acr="myACR", auth_time=int(time.time()))
    assert (get(gateway, good).status, 'error="insufficient_scope"' in get(gateway, good).header("www-authenticate")) == (403, True)


def test_a_login_grows_old_while_its_token_is_hot(start_gateway, world: World):
    gateway = start_gateway(world.config(issuers=[world.own_issuer(leeway_s=1)], rules=rules(max_age_s=2)))
    now = int(time.time())
    token = world.own(scope="pay", acr="myACR", auth_time=now)
    assert [get(gateway, token).status for _ in range(6)] == [200] * 6
    time.sleep(max(0.0, now + 4.1 - time.time()))
    assert [get(gateway, token).status for _ in range(6)] == [401] * 6
    assert get(gateway, token, "/orders").status == 200


def test_in_shadow_it_is_counted_and_passes(start_gateway, world: World):
    gateway = start_gateway(world.config(issuers=[world.own_issuer()], rules=rules(shadow=True)))
    assert get(gateway, world.own(scope="pay")).status == 200
    assert gateway.metrics()["herdgate.bearer.shadowed.authentication"] == 1
