"""The token endpoint in Kong, and in the host that behaves as it does: followers wait by calls of their own, bodies are rewritten in place."""

import time

import pytest

from gateway import Upstreams, kind, make_gateway
from http_client import Answer, form, request
from kong import Around
from processes import PATIENCE_S
from servers import token_headers
from token_calls import TOKEN_PATH, Flight, access_tokens, at_once, body_of, call, config, endpoint, fresh_client, sources, upstream
from world import World

pytestmark = [pytest.mark.only("kong-host", "kong"), pytest.mark.usefixtures("counted")]


@pytest.fixture(scope="module")
def gateway(directory, idp, api, filter_wasm):
    made = make_gateway(directory / "token-gateway", Upstreams(api.port, idp.port), around=Around(read_timeout_ms=3000))
    made.start(config(endpoint(negative_ttl_s=1)))
    workers = made.pids()
    yield made
    assert made.pids() == workers, "a worker has died"
    made.stop()


def is_whole(answer: Answer) -> bool:
    return int(answer.header("content-length") or len(answer.body)) == len(answer.body)


def test_identical_misses_make_one_call(gateway, world: World):
    client = fresh_client()
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=700)
    answers = at_once(gateway.base_url, 60, client)
    assert len(access_tokens(answers)) == 1 and upstream(world) == 1
    assert sources(answers) == {"miss": 1, "shared": 59}
    world.idp.heal()
    hits = [call(gateway.base_url, client) for _ in range(20)]
    assert access_tokens(hits) == access_tokens(answers) and upstream(world) == 1 and sources(hits) == {"hit": 20}
    for answer in answers + hits:
        assert 1 <= answer.json()["expires_in"] <= 3600 and is_whole(answer) and "no-store" in answer.header("cache-control")


def test_a_refusal_and_a_wrong_secret(gateway, world: World):
    client = fresh_client()
    [token] = access_tokens([call(gateway.base_url, client)])
    direct = call(world.idp.issuer, client, secret="wrong")
    # The host ends each answer of a filter's own with a line break.
    for _ in range(2):
        refused = call(gateway.base_url, client, secret="wrong")
        assert (refused.status, refused.body.rstrip()) == (401, direct.body) and token.encode() not in refused.body
    assert access_tokens([call(gateway.base_url, client)]) == {token}


def test_a_first_answer_is_shortened_and_nothing_else(gateway, world: World):
    text = '{"access_token":"a","refresh_token":"r","expires_in":3600,"token_type":"Bearer","more":[1,2.50,"\\u00e9"]}'
    world.idp.document(TOKEN_PATH, text, {"x-of-the-server": "kept"})
    lifetimes = set()
    for number in range(12):
        answer = call(gateway.base_url, fresh_client(), body=form(grant_type="refresh_token", refresh_token=f"r{number}"))
        lifetimes.add(answer.json()["expires_in"])
        assert answer.body.decode().replace(" ", "") == text.replace("3600", str(answer.json()["expires_in"]))
        assert answer.header("x-of-the-server") == "kept" and is_whole(answer)
    assert len(lifetimes) > 6 and min(lifetimes) >= 3240 and max(lifetimes) <= 3600


@pytest.mark.parametrize("fault", ["status", "reset", "garbage", "empty", "html", "hang"])
def test_a_fault_during_a_miss_is_not_kept(fault, gateway, world: World):
    client = fresh_client()
    world.idp.fault(TOKEN_PATH, fault)
    answers = at_once(gateway.base_url, 6, client)
    assert all(b'"access_token":"' not in answer.body for answer in answers)
    if fault in ("status", "reset", "hang"):
        assert all(answer.status >= 500 for answer in answers)
        # Kong itself answers for a server that doesn't, past all callbacks for responses: then the filter can't know
        # that the call has failed, and followers call one after the other.
        assert upstream(world) <= (6 if kind() == "kong" and fault != "status" else 1)
    world.idp.heal()
    healed = time.monotonic()
    while (answer := call(gateway.base_url, client)).status != 200 or answer.header("herdgate-cache") != "hit":
        assert time.monotonic() - healed < PATIENCE_S, answer
        time.sleep(0.1)
    assert access_tokens([answer])


def test_a_leader_that_leaves_is_followed_by_another(start_gateway, world: World):
    client, gateway = fresh_client(), start_gateway(config(endpoint()))
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=3000, times=1)
    leader = Flight(gateway.base_url, 1).send(client)
    time.sleep(0.5)
    followers = Flight(gateway.base_url, 10).send(client)
    time.sleep(0.3)
    leader.leave()
    assert len(access_tokens(followers.answers())) == 1
    assert upstream(world) <= 2


def test_more_followers_than_there_is_room_for_are_told_to_come_back(start_gateway, world: World):
    client, gateway = fresh_client(), start_gateway(config(endpoint(waiters_max=5)))
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=1000)
    answers = at_once(gateway.base_url, 40, client)
    good = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status != 200]
    assert 1 < len(good) <= 11 and upstream(world) == 1 and len(access_tokens(good)) == 1
    assert all(answer.status == 503 and int(answer.header("retry-after")) >= 1 for answer in refused)


def test_five_hundred_wait_in_one_worker(start_gateway, world: World):
    client, gateway = fresh_client(), start_gateway(config(endpoint()), workers=1)
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=2500)
    answers = at_once(gateway.base_url, 501, client)
    assert len(access_tokens(answers)) == 1 and upstream(world) == 1


def test_reserved_headers_that_come_twice_take_no_place(start_gateway, world: World):
    gateway = start_gateway(config(endpoint(upstream_calls_max=2)))
    for _ in range(4):
        headers = [*token_headers(fresh_client()).items(), ("x-consumer-id", "1"), ("x-consumer-id", "2")]
        assert request(gateway.base_url + TOKEN_PATH, "POST", headers, body_of()).status == 400
    assert upstream(world) == 0
    assert access_tokens([call(gateway.base_url, fresh_client()) for _ in range(2)])


def test_a_revoked_token_is_not_served_again(gateway, world: World):
    client = fresh_client()
    body = body_of(resource=None)
    [token] = access_tokens(at_once(gateway.base_url, 8, client, body=body))
    assert request(gateway.base_url + "/oauth2/revoke", "POST", token_headers(client), form(token=token)).status == 200
    after = access_tokens(at_once(gateway.base_url, 8, client, body=body))
    assert len(after) == 1 and token not in after


def test_a_renewal_that_fails_is_seen_by_no_client(start_gateway, world: World):
    client, gateway = fresh_client(), start_gateway(config(endpoint(jitter=0, refresh_ahead=True)))
    # Twelve seconds of reuse, of which the last 10 to 20 % are for the renewal.
    world.idp.document(TOKEN_PATH, '{"access_token":"first","token_type":"Bearer","expires_in":24}')
    began = time.monotonic()
    assert access_tokens([call(gateway.base_url, client)]) == {"first"}
    time.sleep(9.3)
    world.idp.reset_counts()
    world.idp.fault(TOKEN_PATH, "html")
    while time.monotonic() < began + 11.0:
        answer = call(gateway.base_url, client)
        assert access_tokens([answer]) == {"first"} and is_whole(answer), answer
    assert upstream(world) >= 1
