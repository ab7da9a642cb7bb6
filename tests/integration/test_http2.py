"""HTTP/2 in a real gateway: many token calls on few connections, and trailers, which no filter may be passed by."""


import pytest

from envoy import connection_manager, make_listener, plain_cluster
from http2_client import Http2
from processes import PATIENCE_S, wait_until
from servers import token_headers
from token_calls import TOKEN_PATH, access_tokens, body_of, call, config, endpoint, fresh_client
from tokens import forged
from world import World

pytestmark = [pytest.mark.only("envoy"), pytest.mark.usefixtures("counted")]

TRAILERS = [("x-trailer", "1")]


def test_trailers_carry_no_request_past_a_verdict_that_is_awaited(start_gateway, world: World):
    world.idp.fault("/jwks", "slow", delay_ms=1000)
    gateway = start_gateway(world.config(issuers=[world.idp_issuer()], rules=[]))
    world.api.reset()
    bad = {"authorization": f"Bearer {forged(world.idp.token())}"}
    good = {"authorization": f"Bearer {world.idp.token()}"}
    with Http2(gateway.base_url) as client:
        for body in (None, "a body"):
            client.send("GET", "/orders", bad, body, TRAILERS)
        client.send("GET", "/orders", good, None, TRAILERS)
        answers = client.answers()
    assert [answer.status for answer in answers] == [401, 401, 200], [answer.body for answer in answers]
    assert world.api.seen() == 1


def test_trailers_carry_no_token_call_past_limits_and_cache(start_gateway, world: World):
    client = fresh_client()
    limits = [{"name": "few", "key": ["address"], "limit": 3, "per_s": 3600}]
    gateway = start_gateway(config(endpoint(limits=["few"]), limits=limits))
    with Http2(gateway.base_url) as connection:
        answers = [connection.request("POST", TOKEN_PATH, token_headers(client), body_of(), TRAILERS) for _ in range(6)]
        assert connection.request("POST", TOKEN_PATH, token_headers(client), None, TRAILERS).status == 429
    assert [answer.status for answer in answers] == [200] * 3 + [429] * 3
    assert len(access_tokens(answers[:3])) == 1 and world.idp.requests(TOKEN_PATH) == 1
    assert [answer.header("herdgate-cache") for answer in answers[:3]] == ["miss", "hit", "hit"]


def test_a_body_over_the_limit_with_trailers_is_413(start_gateway, world: World):
    gateway = start_gateway(config(endpoint()))
    with Http2(gateway.base_url) as connection:
        answer = connection.request("POST", TOKEN_PATH, token_headers(fresh_client()), body_of(padding="x" * 9000), TRAILERS)
    assert answer.status == 413 and world.idp.requests(TOKEN_PATH) == 0


def test_identical_misses_over_http2_make_one_call(start_gateway, world: World):
    client, gateway = fresh_client(), start_gateway(config(endpoint()))
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=500)
    connections = [Http2(gateway.base_url) for _ in range(4)]
    for _ in range(50):
        for connection in connections:
            connection.send("POST", TOKEN_PATH, token_headers(client), body_of())
    answers = [answer for connection in connections for answer in connection.answers()]
    assert len(answers) == 200 and len(access_tokens(answers)) == 1 and world.idp.requests(TOKEN_PATH) == 1
    assert [answer.header("herdgate-cache") for answer in answers].count("miss") == 1
    # A stream that is reset is a client that left: the call that it led is made again, by one.
    other = fresh_client()
    # Who waited for that call would wait in vain (wait_ms_max).
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=20_000, times=1)
    connections[0].send("POST", TOKEN_PATH, token_headers(other), body_of())
    wait_until(lambda: world.idp.requests(TOKEN_PATH) == 2, PATIENCE_S, "the leader's call")
    followers = [connection.send("POST", TOKEN_PATH, token_headers(other), body_of()) for connection in connections[1:]]
    connections[0].reset_last()
    assert len(access_tokens([connection.answers()[number] for connection, number in zip(connections[1:], followers)])) == 1
    assert world.idp.requests(TOKEN_PATH) == 3


def test_five_thousand_wait_in_one_worker_for_one_answer(start_gateway, world: World):
    client = fresh_client()
    gateway = start_gateway(None, workers=1)
    listener = make_listener(config(endpoint(wait_ms_max=25_000, lease_ms=30_000)), gateway.wasm, gateway.upstreams.env)
    # Longer than the server takes, which is long enough for all to come.
    connection_manager(listener)["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["timeout"] = "30s"
    gateway.start_listener(listener)
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=12_000)
    connections = [Http2(gateway.base_url) for _ in range(51)]
    for connection in connections[:50]:
        for _ in range(100):
            connection.send("POST", TOKEN_PATH, token_headers(client), body_of())
    connections[50].send("POST", TOKEN_PATH, token_headers(client), body_of())
    wait_until(lambda: gateway.metrics().get("herdgate.wait.started") == 5000, 11, "5,000 waiters")
    with Http2(gateway.base_url) as late:
        refused = late.request("POST", TOKEN_PATH, token_headers(client), body_of())
    assert refused.status == 503 and int(refused.header("retry-after")) >= 1, "there is room for 5,000, and for no more"
    answers = [answer for connection in connections for answer in connection.answers()]
    assert len(answers) == 5001 and len(access_tokens(answers)) == 1 and world.idp.requests(TOKEN_PATH) == 1
    assert gateway.metrics().get("herdgate.wait.timed_out") == 0


def test_an_answer_that_ends_in_trailers_is_one_as_any_other(start_gateway, world: World):
    """A server over HTTP/2 may end so; over HTTP/1.1 Envoy hears of them where it is told to."""
    client, gateway = fresh_client(), start_gateway(None)
    protocol = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
    }
    options = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol}
    gateway.extra_clusters = [plain_cluster("trailed", world.idp.port, typed_extension_protocol_options=options)]
    listener = make_listener(config(endpoint(jitter=0.5)), gateway.wasm, gateway.upstreams.env)
    connection_manager(listener)["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["cluster"] = "trailed"
    gateway.start_listener(listener)
    world.idp.fault(TOKEN_PATH, "trailers")
    answers = [call(gateway.base_url, client) for _ in range(5)]
    assert access_tokens(answers) == {"trailed"} and world.idp.requests(TOKEN_PATH) == 1
    assert [answer.header("herdgate-cache") for answer in answers] == ["miss"] + ["hit"] * 4
    assert 1800 <= answers[1].json()["expires_in"] <= answers[0].json()["expires_in"] < 3600
