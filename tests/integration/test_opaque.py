"""Opaque tokens: what their issuer's introspection endpoint says of them. The server is real (oidc-provider) where
nothing else is said; lies and failures come from documents and faults in its place."""

import http.client
import itertools
import json
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from gateway import Upstreams, kind, make_gateway
from http_client import Answer, form, request
from load import load, token_file
from processes import PATIENCE_S, wait_until
from servers import token_headers
from world import World

ENDPOINT = "/introspect"
TOLD = "/told"
RESOURCE = "https://orders.example/opaque"
_numbers = itertools.count(1)


def issuer(world: World, path: str = ENDPOINT, prefix: str | None = None, more: dict | None = None, **endpoint) -> dict:
    introspection = {
        "uri": world.idp.issuer + path,
        "allow_http": True,
        "cluster": "idp",
        "client_id": "gateway",
        "client_secret": {"env": "GATEWAY_SECRET"},
        "ttl_s_max": 60,
        "negative_ttl_s": 60,
        **endpoint,
    }
    made = {"name": "opaque", "issuer": world.idp.issuer, "tokens": "opaque", "audiences": ["orders-api"], "introspection": introspection,
            "forward": {"claims": {"sub": "x-user", "client_id": "x-client"}}, **(more or {})}
    return {**made, **({"token_prefix": prefix} if prefix else {})}


def config(world: World, opaque: dict, **more) -> dict:
    rules = [
        {"match": {"path_prefix": "/orders"}, "issuers": ["opaque", "own"], "scopes_all": ["orders:read"]},
        {"match": {"path_prefix": "/write"}, "scopes_all": ["orders:write"]},
        {"match": {"path_prefix": "/watched"}, "scopes_all": ["orders:write"], "shadow": True},
        {"match": {"path_prefix": "/jwt"}, "issuers": ["own"]},
        {"match": {"path_prefix": "/oauth2"}, "access": "public"},
    ]
    return {"issuers": [opaque, world.own_issuer()], "rules": rules, "shared": {"secret": {"env": "HERDGATE_SECRET"}}, **more}


def get(gateway, token: str, path: str = "/orders/1") -> Answer:
    return request(gateway.base_url + path, headers={"authorization": f"Bearer {token}"})


def statuses(gateway, token: str, times: int = 12, path: str = "/orders/1") -> list[int]:
    """Each request is a connection of its own, so that of two workers both get some."""
    return [get(gateway, token, path).status for _ in range(times)]


def rejected(gateway, reason: str) -> int:
    return gateway.metrics().get(f"herdgate.bearer.rejected.{reason}", 0)


@pytest.fixture
def says(world: World):
    """What the endpoint at TOLD says of every token."""

    def say(body: str | dict | None, status: int = 200) -> None:
        world.idp.document(TOLD, json.dumps(body) if isinstance(body, dict) else body, status=status)
        world.idp.reset_counts()

    yield say
    world.idp.document(TOLD, None)


def good(world: World, **more) -> dict:
    now = int(time.time())
    return {"active": True, "iss": world.idp.issuer, "sub": "alice", "client_id": "app", "aud": "orders-api", "scope": "orders:read",
            "iat": now - 5, "exp": now + 600, **more}


def new_token(prefix: str = "") -> str:
    return prefix + secrets.token_urlsafe(24)


# ---- the real server ------------------------------------------------------------------------------------------------


def test_a_token_of_the_real_server_costs_one_call(start_gateway, world: World):
    gateway = start_gateway(config(world, issuer(world)))
    token = world.idp.token(resource=RESOURCE)
    assert "." not in token
    world.idp.reset_counts()
    answers = [get(gateway, token) for _ in range(40)]
    assert {answer.status for answer in answers} == {200}
    seen = answers[0].json()["headers"]
    assert seen["x-client"] == ["client-a"] and "x-user" not in seen, "the server names no subject"
    assert world.idp.requests(ENDPOINT) == 1
    metrics = gateway.metrics()
    assert metrics["herdgate.introspection.fetched"] == 1
    # The one that asked finds it in memory as well.
    assert metrics["herdgate.bearer.l1_hit"] + metrics.get("herdgate.introspection.hit") == 40
    assert get(gateway, token, "/write").status == 403
    assert get(gateway, token, "/jwt").status == 403
    assert world.idp.requests(ENDPOINT) == 1
    assert get(gateway, world.own()).status == 200, "a JWT beside it"


def test_a_token_without_our_audience_is_refused(start_gateway, world: World):
    gateway = start_gateway(config(world, issuer(world)))
    without, others = world.idp.token(resource=None), world.idp.token(resource="https://other.example/opaque")
    assert statuses(gateway, without, 6) + statuses(gateway, others, 6) == [401] * 12
    assert rejected(gateway, "wrong_audience") == 12


def test_the_body_may_say_who_asks(start_gateway, world: World):
    secret = {"client_id": "client-a-post", "client_secret": "secret-a-post", "client_auth": "post"}
    gateway = start_gateway(config(world, issuer(world, **secret)))
    assert statuses(gateway, world.idp.token(resource=RESOURCE), 4) == [200] * 4
    assert "authorization" not in world.idp.headers(ENDPOINT)


def test_revoked_through_the_gateway_it_is_refused_at_the_next_request(start_gateway, world: World):
    gateway = start_gateway(config(world, issuer(world), token_endpoints=[{"path": "/oauth2/token", "revocation_path": "/oauth2/revoke"}]))
    for _ in range(5):
        call = request(gateway.base_url + "/oauth2/token", "POST", token_headers("client-b"),
                       form(grant_type="client_credentials", scope="orders:read", resource=RESOURCE, n=str(next(_numbers))))
        token = call.json()["access_token"]
        assert set(statuses(gateway, token)) == {200}
        answer = request(gateway.base_url + "/oauth2/revoke", "POST", token_headers("client-b"), form(token=token))
        assert answer.status == 200
        assert statuses(gateway, token) == [401] * 12
    assert rejected(gateway, "revoked") + rejected(gateway, "inactive") == 60


def test_revoked_behind_its_back_it_stops_within_the_time(start_gateway, world: World):
    gateway = start_gateway(config(world, issuer(world, ttl_s_max=2)))
    token = world.idp.token(resource=RESOURCE)
    assert set(statuses(gateway, token)) == {200}
    assert request(world.idp.issuer + "/oauth2/revoke", "POST", token_headers(), form(token=token)).status == 200
    time.sleep(2.1)
    assert statuses(gateway, token) == [401] * 12
    assert rejected(gateway, "inactive") == 12


def test_many_first_uses_at_once_make_one_call(start_gateway, world: World):
    gateway = start_gateway(config(world, issuer(world)))
    token = world.idp.token(resource=RESOURCE)
    world.idp.fault(ENDPOINT, "slow", delay_ms=400)
    world.idp.reset_counts()
    # A worker of Kong lets fifty wait for what strangers can name.
    count = 200 if kind() == "envoy" else 40
    barrier = threading.Barrier(count)

    def one(_):
        barrier.wait()
        return get(gateway, token).status

    with ThreadPoolExecutor(count) as pool:
        assert set(pool.map(one, range(count))) == {200}, gateway.metrics()
    assert world.idp.requests(ENDPOINT) == 1


# ---- an endpoint that lies, fails or is slow ------------------------------------------------------------------------

LIES = {
    "no JSON": "oops",
    "HTML": "<html><body>active: true</body></html>",
    "nothing": "",
    "an empty object": "{}",
    "a list": '[{"active":true}]',
    "active as text": {"active": "true"},
    "active as a number": {"active": 1},
    "active null": {"active": None},
    "active twice": '{"active":false,"active":true}',
    "another issuer": {"iss": "https://other.example"},
    "no issuer at all": {"iss": None},
    "an end that is text": {"exp": "9999999999"},
    "an end in milliseconds": {"exp": 1795790000000},
    "a subject that is none": {"sub": {"a": 1}},
    "an audience that is none": {"aud": 7},
}


@pytest.fixture(scope="module")
def told(directory, idp, api, filter_wasm, world):
    """A gateway whose issuer's endpoint is TOLD."""
    gateway = make_gateway(directory / "told-gateway", Upstreams(api.port, idp.port))
    gateway.start(config(world, issuer(world, TOLD)))
    yield gateway
    gateway.stop()


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_a_lie_is_no_yes(lie, told, world: World, says):
    body, gateway, before = LIES[lie], told, rejected(told, "introspection_unavailable")
    says(good(world, **body) if isinstance(body, dict) else body)
    answers = [get(gateway, token) for token in (new_token(), new_token()) for _ in range(4)]
    assert {answer.status for answer in answers} == {503}
    assert all(int(answer.header("retry-after")) >= 1 and b"invalid_token" not in answer.body for answer in answers)
    assert rejected(gateway, "introspection_unavailable") == before + 8
    says(good(world))
    assert get(gateway, new_token()).status == 200


@pytest.mark.parametrize("status", [201, 204, 301, 302, 400, 401, 403, 404, 500, 503])
def test_another_status_is_no_yes(status, told, world: World, says):
    says(good(world), status)
    assert statuses(told, new_token(), 4) == [503] * 4


@pytest.fixture(scope="module")
def impatient(directory, idp, api, filter_wasm, world):
    gateway = make_gateway(directory / "impatient-gateway", Upstreams(api.port, idp.port))
    gateway.start(config(world, issuer(world, timeout_ms=500)))
    yield gateway
    gateway.stop()


@pytest.mark.parametrize("kind", ["hang", "reset", "cut", "garbage", "empty", "huge", "html"])
def test_a_failing_endpoint_is_503_until_it_works(kind, impatient, world: World):
    gateway, token = impatient, world.idp.token(resource=RESOURCE)
    world.idp.fault(ENDPOINT, kind)
    assert statuses(gateway, token, 4) == [503] * 4
    world.idp.heal()
    wait_until(lambda: get(gateway, token).status == 200, PATIENCE_S, "recovery", every=0.2)


@pytest.mark.parametrize("lie", ["active as text", "another issuer", "HTML", "an end that is text"])
def test_while_it_fails_what_was_said_before_serves_within_its_time(lie, start_gateway, world: World, says):
    gateway = start_gateway(config(world, issuer(world, TOLD, ttl_s_max=1, stale_s_max=3)))
    says(good(world))
    token = new_token()
    began = time.monotonic()
    assert set(statuses(gateway, token, 4)) == {200}
    body = LIES[lie]
    says(good(world, **body) if isinstance(body, dict) else body)
    time.sleep(1.2)
    assert set(statuses(gateway, token, 8)) == {200}
    assert gateway.metrics()["herdgate.introspection.stale"] > 0
    time.sleep(max(0.0, began + 4.6 - time.monotonic()))
    assert set(statuses(gateway, token, 8)) == {503}


def test_inactive_is_asked_once(told, world: World, says):
    says({"active": False})
    token, before = new_token(), rejected(told, "inactive")
    assert statuses(told, token) == [401] * 12
    assert world.idp.requests(TOLD) == 1 and rejected(told, "inactive") == before + 12


def test_bound_and_refresh_tokens_are_no_bearer_tokens(told, world: World, says):
    gateway = told
    for more, reason in [({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}, "bound"), ({"token_use": "refresh_token"}, "wrong_type")]:
        says(good(world, **more))
        assert statuses(gateway, new_token(), 6) == [401] * 6
        assert rejected(gateway, reason) == 6


def test_shadow_changes_nothing(told, world: World, says):
    says(good(world))
    answer = get(told, new_token(), "/watched")
    assert answer.status == 200 and "x-user" not in answer.json()["headers"]
    assert told.metrics()["herdgate.bearer.shadowed.scope"] == 1


def test_limits_count_its_subject(start_gateway, world: World, says):
    limits = [{"name": "per-user", "key": ["issuer", "subject"], "limit": 3, "per_s": 600}]
    configured = config(world, issuer(world, TOLD), rate_limits=limits)
    configured["rules"][0]["limits"] = ["per-user"]
    gateway = start_gateway(configured)
    says(good(world))
    # Two tokens of one person are one person's.
    answers = [get(gateway, token).status for token in (new_token(), new_token()) for _ in range(3)]
    assert answers.count(200) == 3 and answers.count(429) == 3
    says(good(world, sub="bob"))
    assert get(gateway, new_token()).status == 200


# ---- what is no opaque token of ours --------------------------------------------------------------------------------


def test_nobody_is_asked_about_a_jwt_or_another_prefix(start_gateway, told, world: World, says):
    gateway = told
    says(good(world))
    token = world.own()
    header, payload, signature = token.split(".")
    badly = [f"{token}=", f"{header}=.{payload}.{signature}", f"{header}.{payload}", header, f"{token}.{payload}", f".{token}",
             f"{token}.{payload}.{payload}", world.own(world.stranger)]
    assert {get(gateway, one).status for one in badly} <= {400, 401}
    assert world.idp.requests(TOLD) == 0
    prefixed = start_gateway(config(world, issuer(world, TOLD, prefix="at_")))
    assert [get(prefixed, new_token()).status for _ in range(4)] == [401] * 4
    assert world.idp.requests(TOLD) == 0 and rejected(prefixed, "malformed") == 4
    assert get(prefixed, new_token("at_")).status == 200


# ---- strangers ------------------------------------------------------------------------------------------------------


def _flood(url: str, until: float, counts: dict) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    while time.monotonic() < until:
        connection.request("GET", "/orders/1", headers={"authorization": f"Bearer {new_token()}"})
        answer = connection.getresponse()
        answer.read()
        counts[answer.status] = counts.get(answer.status, 0) + 1
    connection.close()


def test_random_strings_starve_neither_good_clients_nor_the_endpoint(start_gateway, world: World):
    """The good tokens are few and are asked about again every second, from the very address of the flood."""
    per_s, seconds = 20, 6
    gateway = start_gateway(config(world, issuer(world, ttl_s_max=1, calls_per_s_max=per_s)))
    tokens = [world.idp.token(resource=RESOURCE) for _ in range(3)]
    for token in tokens:
        assert get(gateway, token).status == 200
    world.idp.reset_counts()
    until, began = time.monotonic() + seconds, time.monotonic()
    floods: list[dict] = [{} for _ in range(8)]
    threads = [threading.Thread(target=_flood, args=(gateway.base_url, until, counts)) for counts in floods]
    for thread in threads:
        thread.start()
    answers = []
    while time.monotonic() < until:
        answers += [get(gateway, token).status for token in tokens]
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    strangers = {status: sum(counts.get(status, 0) for counts in floods) for status in (200, 401, 503)}
    assert set(answers) == {200} and len(answers) > 60, answers
    assert strangers[200] == 0 and strangers[401] > 0 and strangers[503] > 0, strangers
    assert sum(strangers.values()) > 100 * seconds, strangers
    # As much at one instant as comes in two seconds, and then the pace.
    assert world.idp.requests(ENDPOINT) <= per_s * (took + 2), (world.idp.requests(ENDPOINT), took)
    assert gateway.metrics()["herdgate.introspection.capped"] > 0


@pytest.mark.only("envoy")
def test_a_thousand_random_strings_a_second(start_gateway, world: World, tmp_path):
    """At the default pace's quarter, for five seconds: good clients keep their 200s, the endpoint has what is configured."""
    per_s, seconds, rate = 100, 5, 1_000
    gateway = start_gateway(config(world, issuer(world, ttl_s_max=1, calls_per_s_max=per_s)))
    tokens = [world.idp.token(resource=RESOURCE) for _ in range(5)]
    assert [get(gateway, token).status for token in tokens] == [200] * 5
    strangers = token_file(tmp_path / "random", [new_token() for _ in range(rate * seconds)])
    world.idp.reset_counts()
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(load, f"{gateway.base_url}/orders/1", connections=32, requests=rate * seconds, rate=rate, tokens=strangers)
        answers = []
        while not flood.done():
            answers += [get(gateway, token).status for token in tokens]
            time.sleep(0.02)
    took, told = time.monotonic() - began, flood.result()["statuses"]
    # A busy machine may send them more slowly, but always faster than the endpoint is asked.
    assert took < 8 * seconds, "a flood that dribbles is none"
    assert set(answers) == {200} and len(answers) > 100, answers
    assert set(told) == {"401", "503"} and sum(told.values()) == rate * seconds, told
    assert world.idp.requests(ENDPOINT) <= per_s * (took + 2), (world.idp.requests(ENDPOINT), took)
    assert gateway.metrics()["herdgate.introspection.capped"] > 0
