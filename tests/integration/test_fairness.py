"""A state that one client causes is that client's: what others feel of a noisy, failing or hanging one, and of strangers.

HERDGATE_THROTTLED_S sets for how long one client of twenty is throttled; 120 is the long form.
"""

import os
import socket
import threading
import time
from email.utils import formatdate
from urllib.parse import urlsplit

import pytest

from gateway import Upstreams, make_gateway
from http_client import Answer, request
from processes import cpu_ns, wait_until
from token_calls import TOKEN_PATH, Caller, Flight, access_tokens, at_once, body_of, call, config, endpoint, fresh_client, upstream
from tokens import Key
from world import World

pytestmark = [pytest.mark.only("envoy", "kong-host", "kong"), pytest.mark.usefixtures("counted")]

THROTTLED_S = float(os.environ.get("HERDGATE_THROTTLED_S", 10))
ONLY_ENVOY = pytest.mark.only("envoy")


@pytest.fixture(scope="module")
def gateway(directory, idp, api, filter_wasm):
    made = make_gateway(directory / "fair-gateway", Upstreams(api.port, idp.port))
    made.start(config(endpoint(), shared={"secret": {"env": "HERDGATE_SECRET"}, "answers_max": 65536}))
    yield made
    made.stop()


def retry_after(answer: Answer) -> int:
    return int(answer.header("retry-after") or 0)


def throttle(world: World, client: str | None, status: int = 429, after: str | None = "30") -> None:
    headers = {"retry-after": after} if after else {}
    world.idp.fault(TOKEN_PATH, "status", status=status, headers=headers, **({"client": client} if client else {}))


# ---- what the server says to one client -----------------------------------------------------------------------------


@pytest.mark.parametrize("status, after", [(429, "30"), (429, None), (502, None), (503, None), (503, "30"), (504, None)])
def test_what_one_client_earns_no_other_feels(status, after, gateway, world: World):
    noisy = fresh_client()
    throttle(world, noisy, status, after)
    answers = [call(gateway.base_url, noisy, body=body_of(n=str(n))) for n in range(12)]
    assert answers[0].status == status
    # From then on it is told by the gateway.
    assert {answer.status for answer in answers} <= ({429} if status == 429 else {status, 503})
    calls = upstream(world)
    assert calls == 1 if status == 429 or after else 5 <= calls <= 8, calls
    others = [call(gateway.base_url, fresh_client()) for _ in range(5)]
    assert len(access_tokens(others)) == 5


@ONLY_ENVOY
def test_resets_of_one_client_are_no_outage(gateway, world: World):
    noisy = fresh_client()
    world.idp.fault(TOKEN_PATH, "reset", client=noisy)
    for number in range(12):
        assert call(gateway.base_url, noisy, body=body_of(n=str(number))).status == 503
    assert len(access_tokens([call(gateway.base_url, fresh_client()) for _ in range(3)])) == 3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_throttled_client_is_told_what_remains(form, gateway, world: World):
    client = fresh_client()
    throttle(world, client, after="30" if form == "seconds" else formatdate(time.time() + 30, usegmt=True))
    first = call(gateway.base_url, client)
    began = time.monotonic()
    assert first.status == 429
    while (elapsed := time.monotonic() - began) < 4:
        answer = call(gateway.base_url, client)
        left = 30 - (time.monotonic() - began)
        # With up to a quarter of jitter, and a date is of whole seconds.
        assert answer.status == 429 and left - 2 <= retry_after(answer) <= (30 - elapsed) * 1.25 + 2, (left, retry_after(answer))
        time.sleep(0.1)
    assert upstream(world) == 1


@ONLY_ENVOY
def test_followers_of_a_throttled_call_are_told_too(gateway, world: World):
    client = fresh_client()
    world.idp.fault(TOKEN_PATH, "status", status=429, headers={"retry-after": "30"}, delay_ms=400, client=client)
    answers = at_once(gateway.base_url, 40, client)
    assert {answer.status for answer in answers} == {429} and upstream(world) == 1
    assert all(25 <= retry_after(answer) <= 40 for answer in answers)


def test_a_pause_ends_and_a_wrong_secret_makes_none(gateway, world: World):
    client = fresh_client()
    # Whoever knows a client's id has the server throttle it: that is not for the client itself.
    throttle(world, client, after="30")
    assert call(gateway.base_url, client, secret="wrong").status == 429
    world.idp.heal()
    assert access_tokens([call(gateway.base_url, client)])
    other = fresh_client()
    throttle(world, other, after="1")
    assert call(gateway.base_url, other).status == 429
    world.idp.heal()
    wait_until(lambda: call(gateway.base_url, other).status == 200, 10, "the end of the pause", every=0.1)


def test_twenty_clients_one_of_them_throttled(gateway, world: World):
    """Twenty calls a second of the one, one a second of each of the others, which all ask for fresh answers."""
    clients = [fresh_client() for _ in range(20)]
    noisy, others = clients[0], clients[1:]
    throttle(world, noisy, after=None)
    over = threading.Event()
    statuses: dict[str, list[int]] = {"noisy": [], "others": []}

    def noise():
        number, caller = 0, Caller(gateway.base_url)
        while not over.wait(0.05):
            number += 1
            statuses["noisy"].append(caller.call(noisy, body=body_of(n=str(number))).status)

    thread = threading.Thread(target=noise)
    thread.start()
    try:
        caller, end = Caller(gateway.base_url), time.monotonic() + THROTTLED_S
        while time.monotonic() < end:
            for client in others:
                statuses["others"].append(caller.call(client, headers={"cache-control": "no-cache"}).status)
                time.sleep(1 / 19)
    finally:
        over.set()
        thread.join()
    assert set(statuses["others"]) == {200} and len(statuses["others"]) > THROTTLED_S, statuses["others"]
    assert set(statuses["noisy"]) == {429}
    print(f"{len(statuses['noisy'])} calls of the throttled one, {len(statuses['others'])} of the others, {upstream(world)} reached the server")
    # Its own pause grows from a second to thirty.
    assert upstream(world) - len(statuses["others"]) <= THROTTLED_S / 2 + 5


def test_hanging_calls_of_one_client_leave_room(start_gateway, world: World):
    gateway = start_gateway(config(endpoint()))
    hog = fresh_client()
    world.idp.fault(TOKEN_PATH, "hang", client=hog)
    flights = []
    for number in range(60):
        flights.append(Flight(gateway.base_url, 1).send(hog, body=body_of(n=str(number))))
    wait_until(lambda: upstream(world) >= 25, 10, "the calls that hang")
    answers = [call(gateway.base_url, fresh_client()) for _ in range(10)]
    for flight in flights:
        flight.leave()
    assert len(access_tokens(answers)) == 10
    assert upstream(world) <= 25 + 10
    assert gateway.metrics()["herdgate.token.over_share"] >= 35


# ---- what strangers cause -------------------------------------------------------------------------------------------


def made_up(world: World, name: str) -> str:
    return world.hmac(Key("HS256", secret=b"a secret that nobody knows, of 32 bytes"), f"nobody-{name}")


def get(gateway, token: str | None, path: str = "/v1/content", timeout: float = 15) -> Answer:
    return request(gateway.base_url + path, headers={"authorization": f"Bearer {token}"} if token else {}, timeout=timeout)


def send(gateway, token: str) -> socket.socket:
    """A request whose answer isn't waited for."""
    address = urlsplit(gateway.base_url)
    connection = socket.create_connection((address.hostname, address.port), 30)
    connection.sendall(f"GET /v1/content HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode())
    return connection


def legacy(world: World, timeout_ms: int = 2000, calls_per_s_max: int = 400, **more) -> dict:
    document = world.config(**more)
    for issuer in document["issuers"]:
        if issuer["name"] == "legacy":
            issuer["credentials"]["lookup"].update(timeout_ms=timeout_ms, calls_per_s_max=calls_per_s_max)
    return document


@ONLY_ENVOY
def test_waiting_costs_nearly_nothing(start_gateway, world: World):
    """600 requests wait for lookups of made-up ids, on a server that doesn't answer."""
    gateway = start_gateway(legacy(world, timeout_ms=8000))
    world.idp.fault("/jwts/*", "hang")
    sockets = [send(gateway, made_up(world, f"waiting-{number}")) for number in range(600)]
    wait_until(lambda: gateway.metrics().get("herdgate.wait.started") >= 600, 10, "600 that wait")
    wait_until(lambda: world.idp.requests_below("/jwts/nobody-waiting") >= 590, 10, "their lookups")
    time.sleep(0.3)
    began, used = time.monotonic(), sum(cpu_ns(pid) for pid in gateway.pids())
    time.sleep(3)
    share = (sum(cpu_ns(pid) for pid in gateway.pids()) - used) / 1e9 / (time.monotonic() - began)
    print(f"600 waiters: {share:.2%} of a core")
    for connection in sockets:
        connection.close()
    assert share <= 0.03, share


def test_made_up_ids_are_looked_up_at_a_pace(start_gateway, world: World):
    gateway = start_gateway(legacy(world, calls_per_s_max=5))
    began = time.monotonic()
    statuses = [get(gateway, made_up(world, f"pace-{number}")).status for number in range(100)]
    elapsed = time.monotonic() - began
    assert set(statuses) <= {401, 503} and 401 in statuses
    looked_up = world.idp.requests_below("/jwts/nobody-pace")
    assert looked_up <= 10 + 5 * elapsed + 1 and statuses.count(503) >= 100 - looked_up
    assert get(gateway, world.hmac(world.looked_up, "device-9")).status in (200, 503)


@ONLY_ENVOY
def test_token_calls_have_places_of_their_own(start_gateway, world: World):
    """As many wait for lookups as may, and followers of a token call still find a place."""
    gateway = start_gateway(legacy(world, timeout_ms=6000, calls_per_s_max=5000, token_endpoints=[{"path": TOKEN_PATH, "waiters_max": 5}]))
    world.idp.fault("/jwts/*", "hang")
    sockets = [send(gateway, made_up(world, f"place-{number}")) for number in range(30)]
    wait_until(lambda: world.idp.requests_below("/jwts/nobody-place") >= 30, 10, "lookups that hang")
    client = fresh_client()
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=500)
    answers = at_once(gateway.base_url, 4, client)
    for connection in sockets:
        connection.close()
    assert len(access_tokens(answers)) == 1 and upstream(world) == 1


def test_introspection_asks_for_a_pause(start_gateway, world: World):
    path = "/told"
    world.idp.document(path, "slow down", {"retry-after": "30"}, status=429)
    introspection = {"uri": world.idp.issuer + path, "allow_http": True, "cluster": "idp", "client_id": "gateway", "client_secret": "s"}
    rules = [{"match": {"path_prefix": "/asked"}, "issuers": ["own"], "introspect": True}]
    gateway = start_gateway(world.config(issuers=[world.own_issuer()], rules=rules, introspection=introspection))
    tokens = [world.own(sub=f"user-{number}") for number in range(20)]
    end = time.monotonic() + 4
    while time.monotonic() < end:
        for token in tokens:
            answer = get(gateway, token, "/asked")
            assert answer.status == 503 and 20 <= retry_after(answer) <= 40, (answer.status, retry_after(answer))
        time.sleep(0.1)
    world.idp.document(path, None)
    assert 1 <= world.idp.requests(path) <= 4


# ---- limits of refused requests -------------------------------------------------------------------------------------


def flooded(world: World, charge: str, **more) -> dict:
    rules = [{"match": {"path_prefix": "/orders"}, "issuers": ["own"], "limits": ["flood"]}]
    limit = {"name": "flood", "key": ["address"], "limit": 1, "per_s": 3600, "burst": 10, "charge": charge}
    return world.config(issuers=[world.own_issuer()], rules=rules, rate_limits=[limit], **more)


def test_a_limit_of_all_slows_bad_signatures(start_gateway, world: World):
    gateway = start_gateway(flooded(world, "all"))
    forged = [world.own(world.stranger) for _ in range(10)]
    statuses = [get(gateway, token, "/orders").status for token in forged for _ in range(2)]
    assert statuses == [401] * 10 + [429] * 10
    over = get(gateway, world.own(), "/orders")
    assert over.status == 429 and retry_after(over) > 60 and over.header("ratelimit")
    assert get(gateway, None, "/orders").status == 429
    metrics = gateway.metrics()
    assert metrics["herdgate.bearer.rejected.bad_signature"] == 10 and metrics["herdgate.limit.flood.allowed"] == 10


def test_a_limit_of_all_charges_what_is_accepted_once(start_gateway, world: World):
    gateway = start_gateway(flooded(world, "all"))
    token = world.own()
    assert [get(gateway, token, "/orders").status for _ in range(12)] == [200] * 10 + [429] * 2


def test_a_limit_of_what_is_accepted_knows_no_refused_request(start_gateway, world: World):
    gateway = start_gateway(flooded(world, "accepted"))
    assert [get(gateway, world.own(world.stranger), "/orders").status for _ in range(15)] == [401] * 15
    assert get(gateway, world.own(), "/orders").status == 200
