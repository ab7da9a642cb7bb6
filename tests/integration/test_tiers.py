"""Plans: each token's own numbers, over one counter. In one gateway of two workers, and in two that meet in Redis."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from envoy import Envoy, plain_cluster
from gateway import Upstreams, make_gateway
from http_client import request
from processes import PATIENCE_S, wait_until
from test_sync import sync
from tokens import forged
from world import World

FREE, GOLD = 5, 12
GOLDEN = {"claims": {"https://shop.example/plan": ["gold", "platinum"]}}


def limits(**more) -> list[dict]:
    rate = {"key": ["issuer", "subject"], "limit": FREE, "per_s": 3600, **more}
    return [
        {"name": "per-user", **rate, "tiers": [{"when": GOLDEN, "limit": GOLD, "per_s": 3600}]},
        {"name": "monthly", "key": ["subject"], "quota": FREE, "window": "month", **more, "tiers": [{"when": GOLDEN, "quota": GOLD}]},
    ]


def config(world: World, **more) -> dict:
    rules = [{"match": {"path_prefix": f"/{one['name']}"}, "issuers": ["own"], "limits": [one["name"]]} for one in limits()]
    return world.config(rules=rules, rate_limits=limits(**more))


@pytest.fixture(scope="module")
def gateway(directory, idp, api, filter_wasm, world):
    made = make_gateway(directory / "tiers-gateway", Upstreams(api.port, idp.port))
    made.start(config(world, headers=True))
    yield made
    made.stop()


def free(world: World, who: str) -> str:
    return world.own(sub=who)


def gold(world: World, who: str) -> str:
    return world.own(sub=who, **{"https://shop.example/plan": "gold"})


def passes(gateway, path: str, token: str, tries: int) -> int:
    """How many of so many requests at once pass."""
    headers = {"authorization": f"Bearer {token}"}
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: request(gateway.base_url + path, headers=headers).status, range(tries)))
    assert set(statuses) <= {200, 429}
    return statuses.count(200)


@pytest.mark.parametrize("path", ["/per-user", "/monthly"])
def test_each_plan_has_its_own_numbers_exactly(gateway, world, path):
    assert passes(gateway, path, free(world, f"f{path}"), 3 * FREE) == FREE
    assert passes(gateway, path, gold(world, f"g{path}"), 3 * GOLD) == GOLD


@pytest.mark.parametrize("path", ["/per-user", "/monthly"])
def test_two_tokens_of_one_user_do_not_add_up(gateway, world, path):
    assert passes(gateway, path, gold(world, f"a{path}"), 2 * GOLD) == GOLD
    assert passes(gateway, path, free(world, f"a{path}"), FREE) == 0
    assert passes(gateway, path, free(world, f"b{path}"), 2 * FREE) == FREE
    # Of a rate all time is spent, of a quota five of twelve.
    assert passes(gateway, path, gold(world, f"b{path}"), GOLD) == (0 if path == "/per-user" else GOLD - FREE)


def test_what_one_plan_is_charged_counts_under_the_other_by_its_interval(gateway, world):
    # Three of twelve minutes each; gold takes five for one, and has an hour.
    assert passes(gateway, "/per-user", free(world, "c"), 3) == 3
    assert passes(gateway, "/per-user", gold(world, "c"), GOLD) == (60 - 36) // 5


def test_answers_name_what_applies(gateway, world):
    for token, most in [(free(world, "d"), FREE), (gold(world, "e"), GOLD)]:
        answer = request(gateway.base_url + "/per-user", headers={"authorization": f"Bearer {token}"})
        assert answer.header("ratelimit-policy") == f'"per-user";q={most};w=3600'
        assert answer.header("ratelimit").startswith(f'"per-user";r={most - 1};t=')


def test_a_plan_that_nobody_signed_is_none(gateway, world):
    assert passes(gateway, "/per-user", free(world, "h"), FREE) == FREE
    claimed = forged(gold(world, "h"))
    assert request(gateway.base_url + "/per-user", headers={"authorization": f"Bearer {claimed}"}).status == 401
    assert passes(gateway, "/per-user", world.own(sub="h", **{"https://shop.example/plan": "Gold"}), FREE) == 0
    assert passes(gateway, "/per-user", world.own(sub="h", **{"https://shop": {"example/plan": "gold"}}), FREE) == 0


@pytest.fixture(scope="module")
def two(directory, idp, api, filter_wasm, world, redis, webdis):
    cluster = [plain_cluster("webdis", webdis.port)]
    made = [Envoy(directory / f"plans-{number}", Upstreams(api.port, idp.port), extra_clusters=cluster) for number in range(2)]
    for one in made:
        one.start(config(world, headers=True, **sync(webdis)))
    all_there = lambda: any(redis.ask("TYPE", key) == "zset" and redis.ask("ZCARD", key) == 2 for key in redis.ask("KEYS", "*"))  # noqa: E731
    wait_until(all_there, PATIENCE_S, "a meeting of both gateways")
    news(made)
    yield made
    for one in made:
        one.stop()


def news(gateways: list) -> None:
    """Each worker has told what it charged before this, and heard what the others told until then."""
    for _ in range(2):
        before = [one.metrics().get("herdgate.sync.done") for one in gateways]
        # Workers of a busy machine do not take turns: enough for the one that comes last.
        more = 5 * gateways[0].workers
        wait_until(
            lambda: all(one.metrics().get("herdgate.sync.done") >= count + more for one, count in zip(gateways, before)), PATIENCE_S, "news of the others"
        )


@pytest.mark.only("envoy")
def test_across_gateways_one_key_has_one_counter_for_all_plans(two, world):
    first, second = two
    # Each gateway has half of the burst at one instant: two and a half of free, six of gold.
    assert passes(first, "/per-user", gold(world, "x"), GOLD) == GOLD // 2
    assert passes(first, "/per-user", free(world, "y"), 1) == 1
    assert passes(first, "/monthly", gold(world, "z"), 7) == 7
    # The first has told of them: the second hears of a counter when it has charged it, and no later.
    news(two)
    # What it then lets pass is within its share.
    early = passes(second, "/per-user", gold(world, "y"), 1) + passes(second, "/monthly", gold(world, "z"), 1)
    assert early == 2
    news(two)
    # Of gold's half hour one of free took 12 minutes, and one of gold five.
    assert passes(second, "/per-user", gold(world, "y"), GOLD) == (30 - 12 - 5) // 5
    assert passes(second, "/monthly", gold(world, "z"), GOLD) == GOLD - 8
    assert passes(second, "/monthly", free(world, "z"), FREE) == 0
    # All that both admitted is within what the plan has.
    assert passes(second, "/per-user", gold(world, "x"), GOLD) <= GOLD // 2
    news(two)
    assert passes(first, "/per-user", free(world, "x"), FREE) + passes(second, "/per-user", free(world, "x"), FREE) == 0
