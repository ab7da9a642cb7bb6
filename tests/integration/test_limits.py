"""Limits in a real gateway with two workers. HERDGATE_FULL=1 sends the full number of requests."""

import http.client
import os
import time
from datetime import datetime, timezone
from urllib.parse import urlsplit

import pytest

from envoy import connection_manager, make_listener
from gateway import Upstreams, make_gateway
from http_client import Answer, request
from load import load
from processes import PATIENCE_S, wait_until
from servers import token_headers
from token_calls import TOKEN_PATH, Caller, Flight, access_tokens, body_of, call, config, endpoint, fresh_client
from tokens import device_issuer
from world import World

pytestmark = pytest.mark.only("envoy")

FULL = os.environ.get("HERDGATE_FULL") == "1"


def limit(name: str, key: list[str], most: int, per_s: int, **more) -> dict:
    return {"name": name, "key": key, "limit": most, "per_s": per_s, **more}


def rules(world: World, limits: list[dict], public: list[dict], **more) -> dict:
    """A configuration with public paths, each limited."""
    return world.config(rules=[{"match": match, "access": "public", "limits": names} for match, names in public], rate_limits=limits, **more)


def get(base: str, path: str, headers=(), source: str | None = None, method: str = "GET", body: str | None = None) -> Answer:
    """A request from a chosen address of this machine."""
    address = urlsplit(base)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=15, source_address=(source, 0) if source else None)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


def is_refusal(answer: Answer) -> bool:
    """Whether it is a 429, which then has everything that one must have."""
    if answer.status != 429:
        return False
    assert int(answer.header("retry-after")) >= 1
    assert answer.header("cache-control") == "no-store"
    assert 'r=0' in answer.header("ratelimit") and answer.header("ratelimit-policy")
    return True


# The limits of the tests that share a gateway: each is of one path of its own.
SHARED = {
    "/spoofed": [limit("spoofed", ["address"], 5, 3600)],
    "/spelt": [limit("spelt", ["address"], 3, 3600)],
    "/v1/devices": [limit("per-device", ["issuer"], 3, 3600)],
    "/several": [limit("wide", ["address"], 5, 3600), limit("narrow", ["header:x-who"], 2, 3600)],
    "/told": [limit("told", ["address"], 10, 60, headers=True), limit("silent", ["address"], 100, 60)],
    "/watched": [limit("watched", ["address"], 2, 3600, shadow=True), limit("held", ["address"], 5, 3600)],
    "/daily": [{"name": "daily", "key": ["address"], "quota": 3, "window": "day"}],
}


@pytest.fixture(scope="module")
def gateway(directory, idp, api, filter_wasm, world):
    made = make_gateway(directory / "limits-gateway", Upstreams(api.port, idp.port))
    entries = []
    for path, limits in SHARED.items():
        who = {"issuers": ["mobile"]} if path.startswith("/v1") else {"access": "public"}
        entries.append({"match": {"path_prefix": path}, "limits": [one["name"] for one in limits], **who})
    every = [one for limits in SHARED.values() for one in limits]
    made.start(world.config(rules=entries, rate_limits=every, token_endpoints=[endpoint(limits=["told", "silent"])]))
    yield made
    made.stop()


# ---- the token endpoint -------------------------------------------------------------------------------------------


def test_the_21st_token_call_of_a_second_is_refused(start_gateway, world: World):
    client = fresh_client()
    limits = [limit("token-calls", ["client_id", "address"], 20, 1)]
    gateway = start_gateway(config(endpoint(limits=["token-calls", "token-address"]), limits=limits))
    caller = Caller(gateway.base_url)
    began = time.monotonic()
    answers = [caller.call(client) for _ in range(40)]
    took = time.monotonic() - began
    passed = [answer for answer in answers if answer.status == 200]
    # While they come, more pass at the rate of the limit.
    assert 20 <= len(passed) <= 20 + 20 * took + 1, f"{len(passed)} in {took} s"
    assert [answer.status for answer in answers[:20]] == [200] * 20
    refused = [answer for answer in answers if is_refusal(answer)]
    assert len(refused) == 40 - len(passed)
    for answer in refused:
        assert answer.json()["error"] == "temporarily_unavailable" and answer.header("content-type") == "application/json"
        assert answer.header("retry-after") == "1" and '"token-calls";r=0' in answer.header("ratelimit")
        assert '"token-calls";q=20;w=1' in answer.header("ratelimit-policy")
        assert answer.header("www-authenticate") is None
    assert gateway.metrics().get("herdgate.limit.token-calls.denied") == len(refused)
    # What bypasses the cache is limited all the same, and so is what can't be read.
    for headers in ({}, {"cache-control": "no-cache"}, {"content-type": "text/plain"}):
        wait_until(lambda: any(is_refusal(answer) for answer in Flight(gateway.base_url, 60).send(client, headers).answers()), PATIENCE_S, "a refusal")


def test_who_obeys_is_never_refused_again(start_gateway, world: World):
    client = fresh_client()
    gateway = start_gateway(config(endpoint(limits=["slow", "token-address"]), limits=[limit("slow", ["client_id", "address"], 2, 3)]))
    caller, obeyed = Caller(gateway.base_url), 0
    while obeyed < 3:
        answer = caller.call(client)
        if is_refusal(answer):
            time.sleep(int(answer.header("retry-after")))
            assert caller.call(client).status == 200, "refused though it waited as long as it was told"
            obeyed += 1


def test_nobody_locks_a_client_out_from_another_address(start_gateway, world: World):
    victim = fresh_client()
    limits = [limit("token-calls", ["client_id", "address"], 5, 60)]
    gateway = start_gateway(config(endpoint(limits=["token-calls", "token-address"]), limits=limits))
    attack = Flight(gateway.base_url, 30, source="127.0.0.2").send(victim).answers()
    assert sum(is_refusal(answer) for answer in attack) == 25
    guess = {**token_headers(victim, "guess")}
    assert is_refusal(get(gateway.base_url, TOKEN_PATH, guess, "127.0.0.2", "POST", body_of()))
    assert access_tokens([call(gateway.base_url, victim)])
    # The attacker can't spend the victim's calls by claiming its address either.
    forged = {**token_headers(victim), "x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1", "forwarded": "for=127.0.0.1"}
    for _ in range(10):
        assert is_refusal(get(gateway.base_url, TOKEN_PATH, forged, "127.0.0.2", "POST", body_of()))
    assert [call(gateway.base_url, victim).status for _ in range(5)] == [200] * 4 + [429]


def test_many_client_ids_from_one_address_meet_the_limit_of_the_address(start_gateway, world: World):
    limits = [limit("token-calls", ["client_id", "address"], 5, 60), limit("all", ["address"], 20, 3600)]
    gateway = start_gateway(config(endpoint(limits=["token-calls", "all"], upstream_calls_max=1000), limits=limits))
    answers = [get(gateway.base_url, TOKEN_PATH, token_headers(f"guess-{n}"), None, "POST", body_of()) for n in range(30)]
    assert [answer.status for answer in answers] == [401] * 20 + [429] * 10
    variants = ["/oauth2/toke%6e", "/oauth2//token", "/oauth2/./token", "/oauth2/%2e/token", "/oauth2/token/", "/OAUTH2/token", "/oauth2/token?x=1"]
    for path in variants:
        assert get(gateway.base_url, path, token_headers("client-a"), None, "POST", body_of()).status in (400, 401, 403, 404, 429), path
    assert world.idp.requests("/oauth2//token") == 0
    for body in ("%", "client_id=a&client_id=b", ""):
        assert is_refusal(get(gateway.base_url, TOKEN_PATH, token_headers("client-a"), None, "POST", body))


# ---- rules --------------------------------------------------------------------------------------------------------


def test_no_update_is_lost(start_gateway, world: World):
    total = 100_000 if FULL else 20_000
    gateway = start_gateway(rules(world, [limit("hourly", ["address"], 1, 3600, burst=1000)], [({"path_prefix": "/open"}, ["hourly"])]))
    world.api.reset()
    report = load(gateway.base_url + "/open", connections=128, requests=total)
    assert report["statuses"] == {"200": 1000, "429": total - 1000}, report
    assert world.api.seen() == 1000
    metrics = gateway.metrics()
    assert metrics["herdgate.limit.hourly.allowed"] == 1000
    # Whoever lost eight races was denied, and counted as such.
    lost = metrics.get("herdgate.shared.cas_exhausted")
    assert metrics["herdgate.limit.hourly.denied"] + lost == total - 1000


def test_a_spoofed_address_does_not_widen(gateway):
    statuses = []
    for number in range(20):
        forged = f"10.0.0.{number}"
        headers = {"x-forwarded-for": forged, "x-real-ip": forged, "forwarded": f"for={forged}", "x-envoy-external-address": forged}
        statuses.append(get(gateway.base_url, "/spoofed", headers).status)
    assert statuses == [200] * 5 + [429] * 15
    assert get(gateway.base_url, "/spoofed", (), "127.0.0.3").status == 200, "another address has its own"


def test_one_client_has_one_address_however_it_is_written(start_gateway, world: World):
    """Behind a load balancer that is trusted, addresses come as text: IPv6 by /64, mapped IPv4 as IPv4."""
    gateway = start_gateway(None)
    settings = rules(world, [limit("address", ["address"], 3, 3600)], [({"path_prefix": "/open"}, ["address"])])
    listener = make_listener(settings, gateway.wasm, gateway.upstreams.env)
    connection_manager(listener)["xff_num_trusted_hops"] = 1
    gateway.start_listener(listener)

    def statuses(addresses: list[str]) -> list[int]:
        return [get(gateway.base_url, "/open", {"x-forwarded-for": address}).status for address in addresses]

    alike = [f"2001:db8:0:1::{n:x}" for n in range(3)]
    spelt = ["2001:DB8:0:1:ffff:ffff:ffff:ffff", "2001:0db8:0000:0001::1", "2001:db8::1:0:0:0:9", "9.9.9.9, 2001:db8:0:1::77"]
    assert statuses(alike + spelt) == [200] * 3 + [429] * 4
    assert statuses(["2001:db8:0:2::1"]) == [200], "another /64"
    mapped = ["192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207", "::FFFF:192.0.2.7", "192.0.2.7", "198.51.100.1, 192.0.2.7"]
    assert statuses(mapped) == [200] * 3 + [429] * 3
    assert statuses(["192.0.2.8"]) == [200]


def test_spellings_of_a_path_do_not_widen(gateway):
    assert [get(gateway.base_url, "/spelt/a").status for _ in range(4)] == [200] * 3 + [429]
    same = ["/spelt", "/spelt/b", "/s%70elt", "/%73pelt/a", "/spelt?x", "/spelt/a?b=/c"]
    other = ["/spelt/", "//spelt", "/./spelt", "/x/../spelt", "/%2e/spelt", "/spelt//a", "/SPELT", "/spelt%2Fa", "/spelt;x", "/spelt%00", "/spelt\\a"]
    for path in same + other:
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            status = get(gateway.base_url, path, (), None, method).status
            assert status == 429 or (path in other and status in (400, 403)), f"{method} {path}: {status}"


def test_devices_have_limits_of_their_own(gateway, world: World):
    issuers = [device_issuer(f"device-{number}", 1_800_000_000) for number in range(3)]
    for issuer in issuers:
        # Each request has another token of the same device.
        statuses = [get(gateway.base_url, "/v1/devices", {"authorization": f"Bearer {world.device(issuer)}"}).status for _ in range(5)]
        assert statuses == [200] * 3 + [429] * 2


def test_forged_tokens_charge_nobody(gateway, world: World):
    issuer = device_issuer("device-9")
    for _ in range(10):
        assert get(gateway.base_url, "/v1/devices", {"authorization": f"Bearer {world.device(issuer, key=world.stranger)}"}).status == 401
    good = {"authorization": f"Bearer {world.device(issuer)}"}
    assert [get(gateway.base_url, "/v1/devices", good).status for _ in range(4)] == [200] * 3 + [429]


def test_several_limits_charge_all_or_none(gateway):
    statuses = [get(gateway.base_url, "/several", {"x-who": "a"}).status for _ in range(10)]
    assert statuses == [200] * 2 + [429] * 8
    # The eight that the narrow one refused were not charged to the wide one.
    statuses = [get(gateway.base_url, "/several", {"x-who": f"b{n}"}).status for n in range(5)]
    assert statuses == [200] * 3 + [429] * 2


# ---- answers ------------------------------------------------------------------------------------------------------


def test_allowed_answers_say_how_much_is_left(gateway, world: World):
    client, left = fresh_client(), []
    for number in range(6):
        answer = get(gateway.base_url, "/told") if number < 3 else call(gateway.base_url, client)
        assert answer.status == 200 and answer.header("ratelimit-policy") == '"told";q=10;w=60', answer.headers
        assert answer.header("herdgate-cache") is None, "only with debug_headers"
        left.append(int(answer.header("ratelimit").removeprefix('"told";r=').partition(";")[0]))
    assert left == [9, 8, 7, 6, 5, 4], "miss and hit of a token call as any other request"


def test_kongs_own_headers(start_gateway, world: World):
    limits = [limit("per-minute", ["address"], 3, 60, headers=True)]
    gateway = start_gateway(rules(world, limits, [({"path_prefix": "/open"}, ["per-minute"])], errors="kong"))
    for number in range(3):
        answer = get(gateway.base_url, "/open")
        assert (answer.header("x-ratelimit-limit-minute"), answer.header("x-ratelimit-remaining-minute")) == ("3", str(2 - number))
    answer = get(gateway.base_url, "/open")
    assert is_refusal(answer) and answer.json() == {"message": "API rate limit exceeded"}
    assert (answer.header("x-ratelimit-limit-minute"), answer.header("x-ratelimit-remaining-minute")) == ("3", "0")


def test_problem_details(start_gateway, world: World):
    limits = [limit("one", ["address"], 1, 60)]
    more = {"token_endpoints": [endpoint(limits=["one"])]}
    gateway = start_gateway(rules(world, limits, [({"path_prefix": "/open"}, ["one"])], errors="problem", **more))
    assert get(gateway.base_url, "/open").status == 200
    for answer in (get(gateway.base_url, "/open"), call(gateway.base_url, fresh_client())):
        assert is_refusal(answer) and answer.header("content-type") == "application/problem+json"
        assert answer.json()["status"] == 429 and answer.json()["title"] == "Too Many Requests"


def test_a_shadow_limit_only_counts(gateway):
    assert [get(gateway.base_url, "/watched").status for _ in range(7)] == [200] * 5 + [429] * 2
    metrics = gateway.metrics()
    assert metrics["herdgate.limit.watched.allowed"] == 2 and metrics["herdgate.limit.watched.denied"] >= 3
    assert metrics["herdgate.limit.held.allowed"] == 5 and metrics["herdgate.limit.held.denied"] == 2


def test_a_quota_lasts_until_midnight(gateway):
    now = datetime.now(timezone.utc)
    left_s = 86_400 - (now.hour * 3600 + now.minute * 60 + now.second)
    if left_s < 20:
        time.sleep(left_s + 1)
        left_s = 86_400
    answers = [get(gateway.base_url, "/daily") for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 3 + [429] * 2
    assert is_refusal(answers[4]) and left_s - 20 <= int(answers[4].header("retry-after")) <= left_s + 1


def test_counts_survive_another_configuration_and_code(start_gateway, world: World):
    limits = [limit("few", ["address"], 3, 3600)]
    gateway = start_gateway(rules(world, limits, [({"path_prefix": "/open"}, ["few"])]))
    assert [get(gateway.base_url, "/open").status for _ in range(2)] == [200] * 2
    gateway.reload(rules(world, limits, [({"path_prefix": "/open"}, ["few"]), ({"path_prefix": "/else"}, ["few"])]))
    assert [get(gateway.base_url, "/else").status for _ in range(3)] == [200] + [429] * 2


def test_the_path_of_a_token_endpoint_takes_post_alone(gateway):
    for method in ("GET", "PUT", "HEAD"):
        assert request(gateway.base_url + TOKEN_PATH, method).status == 403
