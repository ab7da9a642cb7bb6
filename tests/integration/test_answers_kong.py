"""Answers to token calls that two Kongs share through a real Redis behind a real Webdis: what follows from its host.

There an exchange makes its own calls, and what is to be told goes with the next tick.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway import Upstreams, make_gateway
from http_client import form, request
from processes import PATIENCE_S, wait_until
from servers import token_headers
from test_answers import HOST, counted, settings
from token_calls import TOKEN_PATH, Flight, access_tokens, call

pytestmark = pytest.mark.only("kong-host", "kong")

CALLERS = 30
_numbers = iter(range(800, 1_000))


@pytest.fixture(scope="module")
def pair(directory, idp, api, filter_wasm, webdis):
    made = [make_gateway(directory / f"answers-kong-{number}", Upstreams(api.port, idp.port)) for number in range(2)]
    for gateway in made:
        gateway.start(settings(webdis))
    yield made
    deaths = [gateway.deaths() for gateway in made]
    for gateway in made:
        gateway.stop()
    assert not any(deaths), f"workers crashed: {deaths}"


@pytest.fixture(autouse=True)
def sharing(pair, healthy, idp):
    idp.document("/oauth2/revoke", "", {"content-length": "0"})
    wait_until(lambda: shares(pair, idp), PATIENCE_S, "one call for both", every=0.2)
    yield
    idp.document("/oauth2/revoke", None)


def own_client() -> str:
    """A client of the server that no test here has used yet."""
    return f"c{next(_numbers):04}"


def token_at(gateway, client: str) -> str:
    return access_tokens([call(gateway.base_url, client, headers=HOST)]).pop()


def shares(pair, idp) -> bool:
    client, before = own_client(), idp.requests(TOKEN_PATH)
    for gateway in pair:
        token_at(gateway, client)
        # The next tick tells.
        time.sleep(0.3)
    return idp.requests(TOKEN_PATH) - before == 1


def herd(pair, client: str) -> list:
    flights = [Flight(gateway.base_url, CALLERS // 2).send(client, HOST) for gateway in pair]
    with ThreadPoolExecutor(len(flights)) as pool:
        return [answer for answers in pool.map(Flight.answers, flights) for answer in answers]


def test_a_herd_over_two_makes_one_call(pair, idp):
    idp.fault(TOKEN_PATH, "slow", delay_ms=700)
    client, before, waited = own_client(), idp.requests(TOKEN_PATH), counted(pair, "waited")
    assert len(access_tokens(herd(pair, client))) == 1
    assert idp.requests(TOKEN_PATH) - before == 1
    assert counted(pair, "waited") > waited


def test_a_token_that_is_revoked_at_one_is_given_at_none(pair, idp, redis):
    client = own_client()
    known = set(redis.ask("KEYS", "*:t:*"))
    old = token_at(pair[0], client)
    wait_until(lambda: set(redis.ask("KEYS", "*:t:*")) - known, PATIENCE_S, "what was told")
    headers = {**token_headers(client), **HOST}
    assert request(pair[1].base_url + "/oauth2/revoke", "POST", headers, form(token=old)).status == 200
    for gateway in pair:
        wait_until(lambda: token_at(gateway, client) != old, PATIENCE_S, "another")


def test_without_redis_each_makes_its_own_call(pair, idp, webdis):
    idp.fault(TOKEN_PATH, "slow", delay_ms=300)
    webdis.stop()
    try:
        client, before = own_client(), idp.requests(TOKEN_PATH)
        access_tokens(herd(pair, client))
        assert 1 <= idp.requests(TOKEN_PATH) - before <= len(pair)
    finally:
        webdis.start()


def test_what_lies_there_of_another_call_is_not_taken(pair, idp, redis):
    near, far = pair
    names, clients = [], [own_client(), own_client()]
    for client in clients:
        known = set(redis.ask("KEYS", "*:a:*"))
        token_at(near, client)
        wait_until(lambda: set(redis.ask("KEYS", "*:a:*")) - known, PATIENCE_S, "what was told")
        names.append((set(redis.ask("KEYS", "*:a:*")) - known).pop())
    victims, thiefs = names
    for field in ("sealed", "token"):
        redis.ask("HSET", thiefs, field, redis.ask("HGET", victims, field))
    before = idp.requests(TOKEN_PATH)
    tokens = {token_at(near, client) for client in clients}
    assert token_at(far, clients[1]) not in tokens
    assert idp.requests(TOKEN_PATH) - before == 1
