"""A filter on a service and on its route: one request meets it twice in Kong, in one instance."""

import pytest

from http_client import request
from kong import Around
from kong_cases import bearer, fetched_keys, seen, statuses, together
from token_calls import call, config as token_config, endpoint, fresh_client
from tokens import jwks
from world import World

pytestmark = pytest.mark.only("kong-host", "kong")

ROUTES = {"same": None, "other": {"realm": "route"}}
# What a host may lack a fact for, and how many requests at one time.
UNKNOWN = {"issuers": 5, "kids": 4}
SLOW_MS = 400


@pytest.fixture(autouse=True)
def nothing_seen_yet(world):
    world.api.reset()


def on_both(start_gateway, config: dict, other: dict | None, **around):
    """One worker, so that all requests meet in one instance. No worker may die: start_gateway looks."""
    return start_gateway(config, around=Around(route_chain=True, route_config=other, **around), workers=1)


def realms(results: list) -> set:
    return {result.header("www-authenticate").split(",")[0] for result in results}


def test_filter_on_service_and_route(start_gateway, world: World):
    """One request, met twice: judged once, counted once, and what the first pass said of it stays."""
    gateway = start_gateway(fetched_keys(world, "twice-keys"), around=Around(route_chain=True))
    for _ in range(3):
        answer = request(gateway.base_url + "/orders", headers=[*bearer(world.own()).items(), ("x-user", "forged")])
        assert answer.status == 200
        assert answer.json()["headers"]["x-user"] == ["user-1"]
    assert gateway.metrics().get("herdgate.bearer.accepted") == 3
    assert request(gateway.base_url + "/orders").status == 401
    assert seen(world, "/orders") == 3


@pytest.mark.parametrize("what", UNKNOWN)
@pytest.mark.parametrize("other", ROUTES.values(), ids=ROUTES.keys())
def test_refused_after_a_callout(other, what, start_gateway, world: World):
    """Kong goes on to the second filter although the first one has answered: whoever answers then kills the worker."""
    config = fetched_keys(world, f"kids-{what}") if what == "kids" else world.config()
    gateway = on_both(start_gateway, config, {**config, **other} if other else None)

    def send(name: str):
        if what == "kids":
            return request(gateway.base_url + "/orders", headers=bearer(world.own(header={"kid": name})), timeout=20)
        return request(gateway.base_url + "/v1/x", headers=bearer(world.hmac(world.legacy, name)), timeout=20)

    # The start's own look at /health is counted, too, where it found no filter yet.
    before = rejected(gateway)
    for attempt in range(4):
        results = together(UNKNOWN[what], lambda number: send(f"unknown-{attempt}-{number}"))
        assert statuses(results) == {401}, statuses(results)
        assert realms(results) == {'Bearer realm="api"'}
    assert rejected(gateway) - before == 4 * UNKNOWN[what]
    assert seen(world, "/orders") == seen(world, "/v1") == 0


def rejected(gateway) -> float:
    return sum(count for name, count in gateway.metrics().items() if "bearer_rejected" in name or "bearer.rejected" in name)


def test_refused_by_a_second_configuration_after_a_callout_of_the_first(start_gateway, world: World):
    """The second one judges in the midst of the first one's callout, and makes one of its own for keys that it lacks."""
    for name in ("first", "second"):
        world.idp.fault(f"/{name}-keys", "slow", delay_ms=SLOW_MS)
    first = fetched_keys(world, "first-keys")
    second = {**fetched_keys(world, "second-keys", jwks(world.stranger)), "realm": "route"}
    gateway = on_both(start_gateway, first, second)
    results = together(6, lambda _: request(gateway.base_url + "/orders", headers=bearer(world.own()), timeout=20))
    assert statuses(results) == {401}, statuses(results)
    assert realms(results) == {'Bearer realm="route"'}
    assert seen(world, "/orders") == 0


def test_admitted_by_two_configurations_after_callouts_of_both(start_gateway, world: World):
    for name in ("first", "second"):
        world.idp.fault(f"/{name}-good-keys", "slow", delay_ms=SLOW_MS)
    gateway = on_both(start_gateway, fetched_keys(world, "first-good-keys"), {**fetched_keys(world, "second-good-keys"), "realm": "route"})
    tokens = [world.own(world.stranger if number % 2 else None) for number in range(8)]
    results = together(8, lambda number: request(gateway.base_url + "/orders", headers=bearer(tokens[number]), timeout=20))
    assert [result.status for result in results] == [200, 401] * 4
    assert seen(world, "/orders") == 4


@pytest.mark.parametrize("says", ['{"active": true}', ""], ids=["told", "told-nothing"])
def test_second_configuration_fetches_after_a_call_with_a_body(says, start_gateway, world: World):
    """The first one introspects, and Kong keeps the buffers of that call for the second one's keys."""
    world.idp.document("/asked-first", says)
    introspection = {"uri": world.idp.issuer + "/asked-first", "allow_http": True, "client_id": "gateway", "client_secret": {"env": "GATEWAY_SECRET"}}
    rules = [{"match": {"path_prefix": "/orders"}, "issuers": ["own"], "introspect": True}]
    first = world.config(issuers=[world.own_issuer()], rules=rules, introspection=introspection)
    gateway = on_both(start_gateway, first, {**fetched_keys(world, "keys-after-introspection"), "realm": "route"})
    for expected in [200, 200] if says else [503, 503]:
        assert request(gateway.base_url + "/orders", headers=bearer(world.own())).status == expected
    assert seen(world, "/orders") == (2 if says else 0)


@pytest.mark.parametrize("named", [True, False], ids=["named", "nameless"])
def test_second_configuration_asks_for_the_route(named, start_gateway, world: World):
    """Kong must not be asked for the route after a callout: a worker can die of it."""
    world.idp.fault("/routed-keys", "slow", delay_ms=SLOW_MS)
    first = fetched_keys(world, "routed-keys")
    limits = [{"name": "per-route", "key": ["route"], "limit": 3, "per_s": 3600}]
    second = world.config(realm="route", rules=[{"match": {"path_prefix": "/orders"}, "limits": ["per-route"]}], rate_limits=limits)
    gateway = on_both(start_gateway, first, second, name_routes=named)
    results = together(6, lambda _: request(gateway.base_url + "/orders", headers=bearer(world.own()), timeout=20))
    assert sorted(result.status for result in results) == [200, 200, 200, 429, 429, 429]


def test_refused_second_configuration_is_closed(start_gateway, world: World):
    """The second one has a configuration that was refused, and says so to all that the first one lets through."""
    world.idp.fault("/closed-keys", "slow", delay_ms=SLOW_MS)
    gateway = start_gateway(None, around=Around(route_chain=True, route_config='{"issuers": [{"name": "x"}]}'), workers=1)
    gateway.launch(fetched_keys(world, "closed-keys"))
    tokens = [world.own(world.stranger if number % 2 else None) for number in range(6)]
    results = together(6, lambda number: request(gateway.base_url + "/orders", headers=bearer(tokens[number]), timeout=20))
    assert [result.status for result in results] == [503, 401] * 3
    assert seen(world, "/orders") == 0


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("other", [None, {"realm": "route"}], ids=["same", "other"])
def test_token_calls(other, start_gateway, world: World):
    """Both hold the call back until its body has come; the first one leads or follows, and the second one doesn't."""
    first = token_config(endpoint())
    gateway = on_both(start_gateway, first, {**first, **other} if other else None)
    client = fresh_client()
    answers = together(8, lambda _: call(gateway.base_url, client))
    assert statuses(answers) == {200}, statuses(answers)
    refused = together(8, lambda number: call(gateway.base_url, client, secret=f"wrong-{number}"))
    assert statuses(refused) == {401}, statuses(refused)
