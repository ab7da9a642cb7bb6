"""Token Status Lists: signed by the issuer's key and served by a real server, and all the ways in which one can lie."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway import kind
from http_client import request
from processes import wait_until
from status_lists import StatusLists
from tokens import Key, b64, forged
from world import World


@pytest.fixture
def lists(world: World):
    made = StatusLists(world)
    world.idp.reset_counts()
    yield made
    made.clear()
    world.idp.heal()


def get(gateway, token: str, path: str = "/orders"):
    return request(gateway.base_url + path, headers={"authorization": f"Bearer {token}"})


def statuses(gateway, token: str, times: int = 12) -> set[int]:
    """Each request is a connection of its own, so that of two workers both get some."""
    return {get(gateway, token).status for _ in range(times)}


def test_every_value_but_valid_is_refused(start_gateway, lists: StatusLists):
    gateway = start_gateway(lists.config())
    for bits, values in ((1, [1]), (2, [1, 2, 3]), (4, [1, 2, 15]), (8, [1, 2, 255])):
        name = f"bits-{bits}"
        taken = {100 + place: value for place, value in enumerate(values)}
        lists.serve(name, taken, bits, size=10_000)
        for place in range(100, 100 + len(values)):
            refused = get(gateway, lists.token(place, name))
            assert refused.status == 401, (bits, place)
            assert 'error="invalid_token"' in refused.header("www-authenticate")
        for place in (0, 99, 100 + len(values), 9_999):
            assert get(gateway, lists.token(place, name)).status == 200, (bits, place)
        assert get(gateway, lists.token(10_000, name)).status == 401, "beyond the end"
    assert gateway.metrics()["herdgate.bearer.rejected.status"] == 14
    assert lists.fetched() == 4


def test_a_flipped_status_is_refused_on_both_workers_within_the_time(start_gateway, lists: StatusLists):
    ttl_s = 3
    gateway = start_gateway(lists.config(ttl_s_max=ttl_s))
    lists.serve()
    token, other = lists.token(54_321), lists.token(54_322)
    assert statuses(gateway, token) == statuses(gateway, other) == {200}
    lists.serve("1", {54_321: 1})
    flipped = time.monotonic()
    # Both go on being asked for: hot tokens, whose list is renewed ahead of its end.
    while time.monotonic() < flipped + ttl_s:
        assert statuses(gateway, other, 2) == {200}
        get(gateway, token)
        time.sleep(0.1)
    for _ in range(10):
        assert statuses(gateway, token) == {401}
        assert statuses(gateway, other) == {200}
    # And back again: only VALID counts, not what was before.
    lists.serve()
    time.sleep(ttl_s + 0.1)
    assert statuses(gateway, token) == {200}


def test_two_hundred_first_uses_fetch_one_list(start_gateway, lists: StatusLists):
    tokens = [lists.token(place, subject=f"user-{place}") for place in range(200)]
    lists.serve("1", {199: 1})
    lists.world.idp.fault("/status/1", "slow", delay_ms=500)
    gateway = start_gateway(lists.config())
    together = 200 if kind() == "envoy" else 40
    with ThreadPoolExecutor(together) as pool:
        answers = list(pool.map(lambda token: get(gateway, token).status, tokens[-together:]))
    assert answers == [200] * (together - 1) + [401], answers
    assert lists.fetched() == 1
    assert gateway.metrics()["herdgate.status_list.fetched"] == 1


def test_a_million_places_fit(start_gateway, lists: StatusLists):
    # Of random bits nothing is made smaller: 125,000 bytes inflated, and as many on their way.
    import random

    bits = random.Random(1)
    taken = {place: 1 for place in range(1_000_000) if bits.random() < 0.5}
    lists.serve("1", taken)
    gateway = start_gateway(lists.config(bytes_max=125_000))
    places = [0, 1, 15_151, 15_152, 499_999, 500_000, 999_998, 999_999]
    for place in places:
        assert statuses(gateway, lists.token(place), 4) == {401 if place in taken else 200}, place
    assert get(gateway, lists.token(1_000_000)).status == 401
    assert lists.fetched() == 1
    metrics = gateway.metrics()
    assert metrics.get("herdgate.shared.full", 0) == metrics.get("herdgate.status_list.full", 0) == 0


LIES = {
    "another list's": lambda lists: lists.signed(lists.claims("2")),
    "another issuer's": lambda lists: lists.signed(lists.claims(iss="https://other.example")),
    "expired": lambda lists: lists.signed(lists.claims(exp=int(time.time()) - 1)),
    "of tomorrow": lambda lists: lists.signed(lists.claims(iat=int(time.time()) + 86_400)),
    "unsigned": lambda lists: b64(b'{"alg":"none","typ":"statuslist+jwt"}') + "." + lists.signed(lists.claims()).split(".")[1] + ".",
    "signed by another key": lambda lists: lists.signed(lists.claims(), Key("ES256", kid=lists.key.kid)),
    "forged": lambda lists: forged(lists.signed(lists.claims())),
    "of another type": lambda lists: lists.signed(lists.claims(), typ="at+jwt"),
    "of 3 bits": lambda lists: lists.signed(lists.claims(status_list={"bits": 3, "lst": "eNrbuRgAAhcBXQ"})),
    "no zlib": lambda lists: lists.signed(lists.claims(status_list={"bits": 1, "lst": b64(b"\0" * 1000)})),
    "a bomb": lambda lists: lists.signed(lists.claims(bits=8, size=200_000_000)),
    "longer than it may be": lambda lists: lists.signed(lists.claims(size=1_000_008)),
    "HTML": lambda lists: "<!doctype html><title>Sign in</title>",
    "empty": lambda lists: "",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_list_that_lies_lets_nobody_in(lie: str, start_gateway, lists: StatusLists):
    lists.serve_body(LIES[lie](lists))
    gateway = start_gateway(lists.config(bytes_max=125_000))
    began = time.monotonic()
    answer = get(gateway, lists.token(7))
    assert answer.status == 503 and answer.header("retry-after"), answer.body
    assert time.monotonic() - began < 5
    assert get(gateway, lists.world.own()).status == 200, "a token without a status"
    metrics = gateway.metrics()
    assert metrics["herdgate.status_list.fetch_failed"] >= 1
    assert metrics.get("herdgate.status_list.too_long", 0) == (lie in ("a bomb", "longer than it may be"))
    assert "issuer own: status list below " in gateway.log()
    lists.serve()
    wait_until(lambda: get(gateway, lists.token(7)).status == 200, 20, "the list is there", every=0.3)
    assert gateway.deaths() == 0


@pytest.mark.parametrize("fault", ["hang", "status", "reset", "garbage", "empty", "html"])
def test_a_server_that_fails_leaves_what_is_known_until_its_end(fault: str, start_gateway, lists: StatusLists):
    gateway = start_gateway(lists.config(ttl_s_max=4, timeout_ms=500))
    lists.serve("1", {7: 1})
    good, taken = lists.token(8), lists.token(7)
    assert statuses(gateway, good) == {200} and statuses(gateway, taken) == {401}
    fetched = time.monotonic()
    lists.world.idp.fault("/status/1", fault)
    while time.monotonic() < fetched + 3.5:
        assert statuses(gateway, good, 2) == {200} and statuses(gateway, taken, 2) == {401}
    time.sleep(1.5)
    assert statuses(gateway, good) == statuses(gateway, taken) == {503}
    lists.world.idp.heal()
    wait_until(lambda: get(gateway, good).status == 200, 20, "recovery", every=0.3)
    assert statuses(gateway, taken) == {401}


def test_who_may_do_without_passes(start_gateway, lists: StatusLists):
    gateway = start_gateway(lists.config(failure_mode="allow"))
    assert statuses(gateway, lists.token(7)) == {200}
    assert gateway.metrics()["herdgate.status_list.allowed"] == 12
    bad = lists.world.own(status={"status_list": {"idx": 1, "uri": "http://evil.example/1"}})
    assert statuses(gateway, bad) == {401}


def test_nothing_but_a_good_token_causes_a_fetch(start_gateway, lists: StatusLists):
    gateway = start_gateway(lists.config())
    lists.serve()
    stranger = Key("ES256", kid=lists.key.kid)
    for place in range(20):
        assert get(gateway, lists.token(place, key=stranger)).status == 401
        assert get(gateway, forged(lists.token(place))).status == 401
    for status in ({}, 1, [], {"status_list": {"idx": "1", "uri": lists.uri()}}, {"status_list": {"idx": 1, "uri": lists.uri("../jwks")}}):
        assert get(gateway, lists.world.own(status=status)).status == 401
    assert lists.fetched() == 0
    assert get(gateway, lists.signed(lists.claims(iss="https://own.example", aud="orders-api", exp=int(time.time()) + 60))).status == 401


def test_many_lists_are_bounded(start_gateway, lists: StatusLists):
    gateway = start_gateway(lists.config(lists_max=3))
    for number in range(6):
        lists.serve(f"many-{number}", size=1_000)
    answers = [get(gateway, lists.token(7, f"many-{number}")).status for number in range(6)]
    assert answers == [200, 200, 200, 503, 503, 503]
    assert lists.fetched() == 3
    assert gateway.metrics()["herdgate.status_list.full"] >= 3
    assert statuses(gateway, lists.token(8, "many-0")) == {200}


def test_without_lists_a_status_is_counted(start_gateway, lists: StatusLists):
    gateway = start_gateway({"issuers": [lists.world.own_issuer()], "shared": {"secret": {"env": "HERDGATE_SECRET"}}})
    assert statuses(gateway, lists.token(7)) == {200}
    assert gateway.metrics()["herdgate.status_list.unchecked"] >= 1
    assert lists.fetched() == 0
