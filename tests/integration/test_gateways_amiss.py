"""Revocations of several gateways while something is wrong with their Redis: two Envoys of two workers, a real Redis behind a
real Webdis, and between them a relay for each gateway.

No wrong yes, no wrong no, and no request that waits. What is wrong with Webdis itself is in test_gateways.py.
"""

import statistics
import time

import pytest

from processes import PATIENCE_S, ROOT, wait_until
from test_gateways import all_refuse, config, counted, revoke, server, start, status  # noqa: F401
from webdis import Redis, Webdis, free_port

SLOW_S = 5
SOURCE = ROOT / "src"
TURNS = 3


@pytest.fixture(scope="module")
def pair(world, webdis, through_relays):
    return through_relays("amiss", config(world, webdis))


@pytest.fixture(autouse=True)
def meeting(pair):
    """Each case begins with gateways that hear each other."""
    read_once_more(pair)


def read_once_more(gateways, name: str = "herdgate.gateways.read") -> None:
    for gateway in gateways:
        before = gateway.metrics().get(name)
        wait_until(lambda: gateway.metrics().get(name) > before + 1, PATIENCE_S, name)


def statuses(gateway, *tokens: str) -> list[int]:
    return [status(gateway, token) for token in tokens]


def keys_of(redis: Redis) -> dict[str, str]:
    """Those of revocations; gateways say that they are there in a set of its own."""
    named = {key.rpartition(":")[2]: key for key in redis.ask("KEYS", "herdgate:{*")}
    return {name: key for name, key in named.items() if name in ("state", "ends", "order")}


def entries(redis: Redis) -> set[str]:
    order = keys_of(redis).get("order")
    return set(redis.ask("ZRANGE", order, "0", "-1")) if order else set()


def script(redis: Redis, text: str, *more: str) -> None:
    """In one step: a gateway that looks between two takes it for a loss."""
    keys = keys_of(redis)
    redis.ask("EVAL", text, "3", keys["state"], keys["ends"], keys["order"], *more)


@pytest.mark.only("envoy")
def test_a_redis_that_is_slow_by_seconds_slows_nobody(world, pair, relays):
    """Medians by turns: slow, well, slow, well."""
    near, _ = pair
    good, took = world.own(), {SLOW_S: [], 0: []}
    for _ in range(TURNS):
        for seconds in took:
            for relay in relays:
                relay.answers_after_s = seconds
            for _ in range(60):
                begun = time.monotonic()
                assert status(near, good) == 200
                took[seconds].append((time.monotonic() - begun) * 1000)
    medians = {seconds: statistics.median(all) for seconds, all in took.items()}
    print(f"\nslow by {SLOW_S} s: median {medians[SLOW_S]:.2f} ms, most {max(took[SLOW_S]):.0f} ms; well: {medians[0]:.2f} ms", end="")
    # One that waited would take as long as a call may: a second.
    assert medians[SLOW_S] < 2 * medians[0] + 50
    for relay in relays:
        relay.answers_after_s = SLOW_S
    read_once_more([near], "herdgate.gateways.read_failed")
    token = world.own(jti="while it is slow")
    revoke(near, token)
    assert statuses(near, token, good) == [401, 200]
    for relay in relays:
        relay.answers_after_s = 0
    all_refuse(pair, [token])


@pytest.mark.only("envoy")
def test_what_is_no_entry_in_redis_revokes_nothing_and_opens_nothing(start, world, pair, redis, webdis):  # noqa: F811
    """Cut ones, another token's MAC, other bytes: among ours, in their order."""
    near, far = pair
    tokens = [world.own(jti=f"among lies {number}") for number in range(2)]
    for token in tokens:
        revoke(near, token)
    all_refuse(pair, tokens)
    own = sorted(entries(redis))
    lies = {text[: len(text) // 2] for text in own} | {"B" + text[1:] for text in own} | {own[0][:60] + own[-1][60:], "", "x" * 5_000}
    lies -= set(own)
    forged = [gateway.metrics().get("herdgate.gateways.forged") for gateway in pair]
    add = """local last = tonumber(redis.call('HGET', KEYS[1], 'last'))
        for i = 2, #ARGV do
          redis.call('ZADD', KEYS[2], ARGV[1], ARGV[i])
          redis.call('ZADD', KEYS[3], last + i, ARGV[i])
        end
        redis.call('HSET', KEYS[1], 'last', string.format('%.0f', last + #ARGV), 'count', redis.call('ZCARD', KEYS[3]))"""
    script(redis, add, str(int(time.time()) + 10_000_000), *lies)
    for gateway, before in zip(pair, forged):
        wait_until(lambda: gateway.metrics().get("herdgate.gateways.forged") >= before + len(lies), PATIENCE_S, "entries that are none")
        assert statuses(gateway, *tokens, world.own()) == [401, 401, 200]
    # What comes after them is heard as ever, and a gateway that starts among them knows all before its first yes.
    news = world.own(jti="behind the lies")
    revoke(far, news)
    all_refuse(pair, [news, *tokens])
    late = start(config(world, webdis, failure_mode="deny"))
    assert statuses(late, news, *tokens, world.own()) == [401, 401, 401, 200]


@pytest.mark.only("envoy")
def test_an_old_state_of_redis_is_seen_and_made_good(world, pair, redis):
    """As after a restart from an older file, or where a replica that lagged takes over; then one that was emptied."""
    first, second = world.own(jti="in the old state too"), world.own(jti="in the new one alone")
    before = entries(redis)
    revoke(pair[0], first)
    all_refuse(pair, [first])
    script(redis, "for i, key in ipairs(KEYS) do redis.call('SET', 'old' .. i, redis.call('DUMP', key)) end")
    revoke(pair[1], second)
    all_refuse(pair, [second])
    told = entries(redis) - before
    assert len(told) == 4, "two names of each"
    back = "for i, key in ipairs(KEYS) do redis.call('RESTORE', key, 0, redis.call('GET', 'old' .. i), 'REPLACE') end"
    for lose in (lambda: script(redis, back), lambda: redis.ask("FLUSHALL")):
        lost = counted(pair, "herdgate.gateways.lost")
        lose()
        wait_until(lambda: counted(pair, "herdgate.gateways.lost") > lost, PATIENCE_S, "a loss that is seen")
        wait_until(lambda: told <= entries(redis), PATIENCE_S, "all, told again")
        for gateway in pair:
            assert statuses(gateway, first, second, world.own()) == [401, 401, 200]


@pytest.mark.only("envoy")
def test_a_reading_that_finds_nothing_new_writes_nothing(world, pair, redis):
    token = world.own(jti="before the silence")
    revoke(pair[0], token)
    all_refuse(pair, [token])

    def written() -> int:
        stats = redis.ask("INFO", "commandstats").splitlines()
        calls = {line.split(":")[0]: int(line.split("calls=")[1].split(",")[0]) for line in stats if "calls=" in line}
        return sum(calls.get(f"cmdstat_{name}", 0) for name in ("hset", "expire", "zadd", "zrem", "del"))

    def is_silent() -> bool:
        before = written()
        read_once_more(pair)
        return written() == before

    wait_until(is_silent, PATIENCE_S, "readings that write nothing")
    # A quarter of their time to live after it was set it is set anew, so that keys end with their gateways and no sooner.
    script(redis, "for i, key in ipairs(KEYS) do redis.call('EXPIRE', key, 1000) end")
    read_once_more(pair)
    keys = keys_of(redis)
    assert redis.ask("TTL", keys["state"]) <= 1000
    redis.ask("HINCRBY", keys["state"], "kept", "-8640001")
    wait_until(lambda: all(redis.ask("TTL", key) > 34_000_000 for key in keys.values()), PATIENCE_S, "a time to live")


@pytest.mark.only("envoy")
def test_a_password_of_redis_that_webdis_does_not_have(world, pair, redis, webdis):
    near, far = pair
    webdis.stop()
    redis.ask("CONFIG", "SET", "requirepass", "another-password")
    webdis.start()
    read_once_more(pair, "herdgate.gateways.read_failed")
    token, good = world.own(jti="without a password"), world.own()
    revoke(near, token)
    assert statuses(near, token, good) + statuses(far, good) == [401, 200, 200]
    # Without one again, and empty.
    redis.stop()
    redis.start()
    all_refuse(pair, [token])


@pytest.mark.only("envoy")
def test_redis_cluster_serves_where_webdis_speaks_to_the_slots_server(world, pair, relays, webdis, directory):
    """Scripts keep to a cluster's rules: keys in one slot, all of them named. A server that sends them elsewhere tells nothing."""
    near, far = pair
    servers: list[Redis] = []
    buses = {name: free_port() for name in ("cluster-has", "cluster-lacks")}
    for name, bus in buses.items():
        (directory / name).mkdir()
        servers.append(Redis(directory / name, "--cluster-enabled", "yes", "--cluster-port", bus))
    has, lacks = servers
    ways = [Webdis(redis.directory, redis) for redis in servers]
    try:
        has.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        has.ask("CLUSTER", "MEET", "127.0.0.1", str(lacks.port), str(buses["cluster-lacks"]))
        for redis in servers:
            wait_until(lambda: "cluster_state:ok" in redis.ask("CLUSTER", "INFO"), PATIENCE_S, "a cluster")
        with pytest.raises(RuntimeError, match="MOVED"):
            lacks.ask("EVAL", "return 1", "1", "herdgate:{any}:state")
        relays[0].lead(ways[0].port)
        relays[1].lead(ways[1].port)
        read_once_more([near])
        read_once_more([far], "herdgate.gateways.read_failed")
        # Of two secrets too, while one takes the other's place: all keys are in one slot.
        two = [f"herdgate:{{gateways}}:{name}:" for name in ("in force", "before")]
        asked = has.ask("EVAL", (SOURCE / "token_endpoint/elsewhere/ask.lua").read_text(), "2", *two, "7", "1000", "a", "", "b", "")
        kept = ["keep", "a", "7", "60000", "1", "sealed", "token", "", "9"]
        told = has.ask("EVAL", (SOURCE / "token_endpoint/elsewhere/tell.lua").read_text(), "1", two[0], *kept)
        assert (asked, told) == (["l"], ["0"])
        token, good = world.own(jti="in a cluster"), world.own()
        revoke(near, token)
        assert statuses(near, token, good) + statuses(far, token, good) == [401, 200, 200, 200]
        relays[1].lead(ways[0].port)
        all_refuse(pair, [token])
        assert len(keys_of(has)) == 3
    finally:
        for relay in relays:
            relay.lead(webdis.port)
        for one in [*ways, *servers]:
            one.stop()
