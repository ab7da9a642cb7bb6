"""An outage that one gateway finds, told to the others: two Envoys of two workers, a real Redis behind a real Webdis."""

import time

import pytest

from processes import PATIENCE_S, wait_until
from test_answers import HOST, settings, start  # noqa: F401
from token_calls import TOKEN_PATH, Flight, access_tokens, call, fresh_client

pytestmark = pytest.mark.only("envoy")

ASKED_S = 4


@pytest.fixture(scope="module")
def pair(start, webdis):  # noqa: F811
    made = [start(settings(webdis)) for _ in range(2)]
    wait_until(lambda: all(one.metrics().get("herdgate.gateways.read") > 2 for one in made), PATIENCE_S, "readings")
    return made


def call_from(gateway, address: str) -> int:
    """The status that a client gets which nobody has seen, at this address."""
    return Flight(gateway.base_url, 1, address).send(fresh_client(), HOST).answers()[0].status


def counted(gateway, name: str) -> float:
    return gateway.metrics().get(f"herdgate.gateways.{name}")


def test_an_outage_that_one_finds_another_holds_off_for(pair, idp, redis):
    near, far = pair
    kept = fresh_client()
    token = access_tokens([call(far.base_url, kept, headers=HOST)])
    idp.fault(TOKEN_PATH, "status", status=503, headers={"retry-after": str(ASKED_S)})
    # At different addresses, so that it is for all; one more within the outage is asked for the same.
    for number in range(5):
        assert call_from(near, f"127.0.0.{10 + number}") == 503
    before, begun = idp.requests(TOKEN_PATH), time.monotonic()

    def has_asked_twice() -> bool:
        call_from(near, "127.0.0.20")
        return idp.requests(TOKEN_PATH) > before

    wait_until(has_asked_twice, PATIENCE_S, "another call in the outage", every=0.1)
    wait_until(lambda: counted(far, "outage_heard") > 0, PATIENCE_S, "what was told")
    assert counted(near, "outage_told") >= 2 and counted(near, "outage_heard") == 0
    time.sleep(0.5)
    # The far one asks no more than the near one would, and says when it will.
    before = idp.requests(TOKEN_PATH)
    answer = call(far.base_url, fresh_client(), headers=HOST)
    assert answer.status == 503 and int(answer.header("retry-after")) >= 1
    assert idp.requests(TOKEN_PATH) == before
    assert access_tokens([call(far.base_url, kept, headers=HOST)]) == token, "what is kept is served"
    assert "another gateway has no answer from it" in far.log()
    # Nothing of the endpoint is in Redis in clear, and it ends.
    notes = next(key for key in redis.ask("KEYS", "*:notes"))
    assert TOKEN_PATH not in str(redis.everything()[notes]) and redis.ask("TTL", notes) > 0
    idp.heal()
    wait_until(lambda: call_from(far, "127.0.0.30") == 200, PATIENCE_S, "a call at the far one", every=0.2)
    assert time.monotonic() - begun > ASKED_S / 2


def test_an_old_word_silences_nobody(pair, idp, redis):
    """Whoever can write into Redis brings back what was told a while ago, and something else."""
    near, far = pair
    wait_until(lambda: call_from(near, "127.0.0.31") == 200, PATIENCE_S, "a call at the near one", every=0.2)
    notes = next(key for key in redis.ask("KEYS", "*:notes"))
    name, text = redis.ask("HGETALL", notes)[:2]
    heard, forged = counted(far, "outage_heard"), counted(far, "forged")
    redis.ask("HSET", notes, name, text)
    redis.ask("HSET", notes, "forged", "A" + text[1:])
    wait_until(lambda: counted(far, "forged") > forged, PATIENCE_S, "a note that is none")
    redis.ask("HDEL", notes, "forged")
    assert counted(far, "outage_heard") == heard
    assert call_from(far, "127.0.0.32") == 200
