"""Answers to token calls that several gateways share through a real Redis behind a real Webdis: three Envoys of two workers.

Ten of them with 2,000 callers are in test_answers_many.py.
"""

import os
import signal
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from envoy import Envoy, plain_cluster
from gateway import SECRETS, Upstreams
from http_client import form, request
from processes import PATIENCE_S, wait_until
from servers import token_headers
from token_calls import TOKEN_PATH, Flight, access_tokens, call, config, endpoint, fresh_client
from webdis import Webdis

GATEWAYS = 3
CALLERS = 90
CLIENTS = 6
# All gateways stand behind one name: it is part of what an answer is kept under.
HOST = {"host": "idp.example"}

pytestmark = pytest.mark.only("envoy")


def settings(webdis: Webdis, **more) -> dict:
    gateways = {**webdis.meeting(100), "answers": True, **more}
    return config(endpoint(wait_ms_max=8000, upstream_calls_max=500), gateways=gateways)


@pytest.fixture(scope="module")
def start(directory, idp, api, filter_wasm, webdis):
    """Starts gateways that meet; at the end all are stopped."""
    made = []

    def one(document: dict, env: dict | None = None, **options) -> Envoy:
        upstreams = Upstreams(api.port, idp.port, {**SECRETS, **(env or {})})
        cluster = plain_cluster("webdis", webdis.port)
        gateway = Envoy(directory / f"answers-{time.monotonic_ns()}", upstreams, extra_clusters=[cluster], **options)
        made.append(gateway)
        gateway.start(document)
        return gateway

    yield one
    for gateway in made:
        gateway.stop()


@pytest.fixture(scope="module")
def gateways(start, webdis):
    all_of_them = [start(settings(webdis)) for _ in range(GATEWAYS)]
    wait_until(lambda: all(one.metrics().get("herdgate.gateways.read") > 2 for one in all_of_them), PATIENCE_S, "readings")
    return all_of_them


def counted(gateways, name: str) -> float:
    return sum(gateway.metrics().get(f"herdgate.answers.{name}") for gateway in gateways)


def herd(gateways, count: int, clients: list[str]) -> tuple[list, list[float]]:
    """`count` calls at the same time, spread over the gateways: the answers, and how long each took in ms."""
    flights = [Flight(gateway.base_url, count // len(gateways)) for gateway in gateways]
    begun = time.monotonic()
    for flight in flights:
        flight.send(clients, HOST)
    took, answers = [], []

    def read(flight: Flight) -> None:
        for connection in flight.sockets:
            answers.append(flight._answer(connection))
            took.append((time.monotonic() - begun) * 1000)

    with ThreadPoolExecutor(len(flights)) as pool:
        list(pool.map(read, flights))
    return answers, sorted(took)


def test_a_herd_over_all_gateways_makes_one_call(gateways, idp, redis):
    idp.fault(TOKEN_PATH, "slow", delay_ms=500)
    client, before = fresh_client(), idp.requests(TOKEN_PATH)
    answers, took = herd(gateways, CALLERS, [client])
    assert len(access_tokens(answers)) == 1
    assert idp.requests(TOKEN_PATH) - before == 1
    print(f"\n{CALLERS} callers, {GATEWAYS} gateways: p50 {statistics.median(took):.0f} ms, p99 {took[int(len(took) * 0.99)]:.0f} ms")
    clients, before = [fresh_client() for _ in range(CLIENTS)], idp.requests(TOKEN_PATH)
    answers, took = herd(gateways, CALLERS, clients)
    assert len(access_tokens(answers)) == CLIENTS == idp.requests(TOKEN_PATH) - before
    print(f"{CLIENTS} clients: p50 {statistics.median(took):.0f} ms, p99 {took[int(len(took) * 0.99)]:.0f} ms")
    # Nothing of who and what is there in clear, and nothing for ever.
    there = str(redis.everything())
    token = answers[0].json()["access_token"]
    assert client not in there and token not in there and token.split(".")[0] not in there and "access_token" not in there
    assert all(redis.ask("PTTL", key) > 0 for key in redis.ask("KEYS", "*"))


def test_what_one_has_fetched_serves_at_all_and_is_withdrawn_at_all(gateways, redis, idp):
    idp.document("/oauth2/revoke", "", {"content-length": "0"})
    client, before = fresh_client(), idp.requests(TOKEN_PATH)
    first = call(gateways[0].base_url, client, headers=HOST)
    told = counted(gateways, "told")
    wait_until(lambda: counted(gateways, "told") >= told and call(gateways[1].base_url, client, headers=HOST).body, PATIENCE_S, "an answer")
    assert access_tokens([first, call(gateways[1].base_url, client, headers=HOST)]) == {first.json()["access_token"]}
    assert idp.requests(TOKEN_PATH) - before == 1
    # Revoked at the one that never had it.
    in_force = set(redis.ask("KEYS", "*:t:*"))
    headers = {**token_headers(client), **HOST, "content-type": "application/x-www-form-urlencoded"}
    assert request(gateways[2].base_url + "/oauth2/revoke", "POST", headers, form(token=first.json()["access_token"])).status == 200
    wait_until(lambda: in_force - set(redis.ask("KEYS", "*:t:*")), PATIENCE_S, "a record that is gone")
    wait_until(lambda: call(gateways[2].base_url, client, headers=HOST).json()["access_token"] != first.json()["access_token"], PATIENCE_S, "another")
    second = call(gateways[2].base_url, client, headers=HOST).json()["access_token"]
    wait_until(lambda: all(call(one.base_url, client, headers=HOST).json()["access_token"] == second for one in gateways), PATIENCE_S, "the new one")
    assert idp.requests(TOKEN_PATH) - before == 2
    idp.document("/oauth2/revoke", None)


# One whose answer would be shared, and one that asks for an answer of its own.
@pytest.mark.parametrize("more", [{}, {"cache-control": "no-cache"}], ids=["shared", "fresh"])
def test_a_secret_that_the_server_refuses_at_one_has_no_answer_at_any(gateways, redis, idp, more):
    client, known = fresh_client(), set(redis.ask("KEYS", "*:s:*"))
    first = call(gateways[0].base_url, client, headers=HOST)
    wait_until(lambda: set(redis.ask("KEYS", "*:s:*")) - known, PATIENCE_S, "what was told")
    idp.document(TOKEN_PATH, '{"error":"invalid_client"}', {"content-type": "application/json"}, 401)
    refused = call(gateways[1].base_url, client, headers={**HOST, **more}, scope="orders:write")
    idp.document(TOKEN_PATH, None)
    assert refused.status == 401
    wait_until(lambda: not set(redis.ask("KEYS", "*:s:*")) - known, PATIENCE_S, "a record that is gone")
    for gateway in gateways[1:]:
        assert call(gateway.base_url, client, headers=HOST).json()["access_token"] != first.json()["access_token"]


def test_a_refused_secret_is_refused_at_all(gateways, idp):
    client, before = fresh_client(), idp.requests(TOKEN_PATH)
    for gateway in gateways:
        answer = call(gateway.base_url, client, secret="a wrong one", headers=HOST)
        assert answer.status == 401
        time.sleep(0.1)
    assert idp.requests(TOKEN_PATH) - before <= 2


def test_what_lies_there_of_another_call_is_not_taken(gateways, redis, idp):
    """Whoever can write into Redis swaps the bytes of two clients, cuts them, and brings old ones back."""
    victim, thief = fresh_client(), fresh_client()
    names = []
    for client in (victim, thief):
        known = set(redis.ask("KEYS", "*:a:*"))
        call(gateways[0].base_url, client, headers=HOST)
        wait_until(lambda: len(set(redis.ask("KEYS", "*:a:*")) - known) == 1, PATIENCE_S, "what was told")
        names.append((set(redis.ask("KEYS", "*:a:*")) - known).pop())
    of_victim = redis.ask("HGET", names[0], "sealed")
    own = redis.ask("HGET", names[1], "sealed")
    forged = counted(gateways, "forged")
    redis.ask("HSET", names[1], "sealed", of_victim, "token", redis.ask("HGET", names[0], "token"))
    tokens = [call(gateways[0].base_url, client, headers=HOST).json()["access_token"] for client in (victim, thief)]
    answer = call(gateways[1].base_url, thief, headers=HOST)
    assert answer.status == 200 and answer.json()["access_token"] not in tokens
    assert counted(gateways, "forged") == forged + 1
    redis.ask("HSET", names[0], "sealed", own[:40])
    assert call(gateways[1].base_url, victim, headers=HOST).status == 200
    assert counted(gateways, "forged") == forged + 2


def test_a_dead_gateway_keeps_nobody(start, webdis, gateways, idp):
    """It is killed while it calls the server for all; nobody is refused."""
    idp.fault(TOKEN_PATH, "slow", delay_ms=20_000, times=1)
    dying, client = start(settings(webdis)), fresh_client()
    wait_until(lambda: dying.metrics().get("herdgate.gateways.read") > 2, PATIENCE_S, "readings")
    before = idp.requests(TOKEN_PATH)
    # Kept, or its connection would be closed.
    flight = Flight(dying.base_url, 1).send(client, HOST)
    wait_until(lambda: idp.requests(TOKEN_PATH) > before, PATIENCE_S, "the call")
    os.kill(dying.child.pid, signal.SIGKILL)
    flight.leave()
    answers, took = herd(gateways[:2], 10, [client])
    assert len(access_tokens(answers)) == 1
    assert idp.requests(TOKEN_PATH) - before == 2
    assert took[-1] < 6_000, took


def test_without_redis_each_goes_on_alone(gateways, webdis, redis, idp):
    """Frozen, gone, and back without what it held."""
    idp.fault(TOKEN_PATH, "slow", delay_ms=300)
    os.kill(webdis.child.pid, signal.SIGSTOP)
    try:
        client, before = fresh_client(), idp.requests(TOKEN_PATH)
        answers, _ = herd(gateways, CALLERS, [client])
        access_tokens(answers)
        assert 1 <= idp.requests(TOKEN_PATH) - before <= len(gateways)
    finally:
        os.kill(webdis.child.pid, signal.SIGCONT)
    redis.stop()
    client, before = fresh_client(), idp.requests(TOKEN_PATH)
    answers, _ = herd(gateways, CALLERS, [client])
    access_tokens(answers)
    assert 1 <= idp.requests(TOKEN_PATH) - before <= len(gateways)
    redis.start()
    idp.heal()

    def is_shared() -> bool:
        client, before = fresh_client(), idp.requests(TOKEN_PATH)
        all(call(gateway.base_url, client, headers=HOST).status == 200 and time.sleep(0.05) is None for gateway in gateways)
        return idp.requests(TOKEN_PATH) - before == 1

    wait_until(is_shared, PATIENCE_S, "one call for all", every=0.5)


def test_a_failure_of_the_server_is_told(gateways, idp):
    client, before = fresh_client(), idp.requests(TOKEN_PATH)
    idp.fault(TOKEN_PATH, "status", status=503, headers={"retry-after": "20"})
    assert call(gateways[0].base_url, client, headers=HOST).status == 503
    time.sleep(0.2)
    answers = [call(gateway.base_url, client, headers=HOST) for gateway in gateways[1:]]
    assert [answer.status for answer in answers] == [503] * len(answers)
    assert all(int(answer.header("retry-after")) >= 10 for answer in answers)
    assert idp.requests(TOKEN_PATH) - before == 1
