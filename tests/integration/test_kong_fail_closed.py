"""Kong goes on without a filter in many ways that nobody sees. In each of them the API sees no request that was not admitted."""

import json
import time

import pytest

from gateway import Refused, kind
from http_client import request
from kong import FIXTURE, Around, bolt
from kong_cases import bearer, fetched_keys, seen, statuses, together
from processes import ROOT
from tokens import claims, jwks
from world import World

pytestmark = pytest.mark.only("kong-host", "kong")

SLOW_MS = 1500


@pytest.fixture(autouse=True)
def nothing_seen_yet(world):
    world.api.reset()


@pytest.mark.dies
def test_trap_in_a_callback_of_the_filter(start_gateway, world: World):
    """Keys that are larger than the zone: storing them traps in the callback of the filter's own callout."""
    keys = json.loads(jwks(world.rsa))
    many = [{**keys["keys"][0], "kid": f"k{number}"} for number in range(90)]
    config = fetched_keys(world, "many-keys", json.dumps({"keys": keys["keys"] + many}))
    gateway = start_gateway(config, around=Around(zone="40k eviction=none"), workers=1)
    results = together(4, lambda _: request(gateway.base_url + "/orders", headers=bearer(world.own())))
    assert not statuses(results) & {200}, statuses(results)
    assert seen(world, "/orders") == 0


@pytest.mark.dies
def test_trap_of_a_neighbour(start_gateway, world: World):
    """Another filter traps while requests wait for their keys: Kong lets one of those go, and the worker dies."""
    around = Around(routes={"/trap": [(FIXTURE, "req_headers: trap")]})
    world.idp.fault("/slow-keys", "slow", delay_ms=SLOW_MS)
    gateway = start_gateway(fetched_keys(world, "slow-keys"), around=around, workers=1)

    def send(number: int):
        if number < 6:
            return request(gateway.base_url + "/orders", headers=bearer(world.own(world.stranger)))
        time.sleep(0.5)
        return request(gateway.base_url + "/trap")

    results = together(8, send)
    # What becomes of the neighbour's own requests is its own matter.
    assert not statuses(results[:6]) & {200}, statuses(results)
    assert seen(world, "/orders") == 0


@pytest.mark.dies
def test_write_to_a_full_zone_beside_a_paused_neighbour(start_gateway, world: World):
    """It traps where nothing is evicted; the request that trapped may then go to the API, though it never paused."""
    world.idp.document("/paused-keys", jwks(world.rsa))
    world.idp.fault("/paused-keys", "slow", delay_ms=8000)
    slow = world.own_issuer(name="slow", issuer="https://slow.example", jwks_uri=f"{world.idp.issuer}/paused-keys", allow_http=True)
    del slow["keys"]
    rules = [{"match": {"path_prefix": "/orders"}, "scopes_all": ["orders:read"]}]
    config = world.config(issuers=[world.own_issuer(), slow], rules=rules)
    gateway = start_gateway(config, around=Around(zone="64k eviction=none"), workers=1)

    def fill(tokens: range) -> int:
        """Each token is remembered as verified, until there is no room; gives the last answer's status."""
        status = 403
        for number in tokens:
            if status == 403:
                headers = bearer(world.own(jti=str(number), scope="other"))
                status = request(gateway.base_url + "/orders", headers=headers, timeout=20).status
        return status

    def send(number: int):
        if number < 4:
            token = world.rsa.token(claims("https://slow.example", scope="other"))
            return request(gateway.base_url + "/orders", headers=bearer(token), timeout=20)
        time.sleep(0.5)
        return fill(range(120, 400))

    assert fill(range(120)) == 403
    *paused, filled = together(5, send)
    assert filled != 403, "the zone has room for all of them"
    assert not statuses(paused) & {200}, statuses(paused)
    assert seen(world, "/orders") == 0


@pytest.mark.dies
def test_trap_of_a_filter_before_ours(start_gateway, world: World):
    """Our filter never runs, and the bolt holds."""
    trap = "req_headers: trap\n"
    around = Around(before=[(FIXTURE, trap)], plugins=[bolt()])
    gateway = start_gateway(None, around=around, workers=1)
    gateway.launch(world.config())
    assert request(gateway.base_url + "/orders").status >= 500
    assert request(gateway.base_url + "/orders", headers=bearer(world.own())).status >= 500
    assert world.api.seen() == 0


@pytest.mark.dies
def test_trap_in_a_callout_of_a_filter_before_ours(start_gateway, world: World):
    program = f"req_headers: dispatch 127.0.0.1:{world.idp.port} /slow-callout\nreq_headers: pause\ncall: trap\n"
    gateway = start_gateway(None, around=Around(before=[(FIXTURE, program)], plugins=[bolt()]), workers=1)
    gateway.launch(world.config())
    results = together(3, lambda _: request(gateway.base_url + "/orders"))
    assert not statuses(results) & {200}, statuses(results)
    assert world.api.seen() == 0


def test_resume_by_itself(start_gateway, world: World):
    """Whatever a callout brings, the request does not go on by it: cold start, forged tokens, slow keys."""
    world.idp.fault("/late-keys", "slow", delay_ms=SLOW_MS)
    gateway = start_gateway(fetched_keys(world, "late-keys"))
    results = together(20, lambda _: request(gateway.base_url + "/orders", headers=bearer(world.own(world.stranger))))
    assert statuses(results) == {401}
    assert world.api.seen() == 0
    assert request(gateway.base_url + "/orders", headers=bearer(world.own())).status == 200


def test_keys_that_never_come(start_gateway, world: World):
    # Before the start, which warms up.
    world.idp.fault("/no-keys", "status", status=500)
    gateway = start_gateway(fetched_keys(world, "no-keys"))
    results = together(5, lambda _: request(gateway.base_url + "/orders", headers=bearer(world.own()), timeout=20))
    assert statuses(results) == {503}
    assert all(result.header("retry-after") for result in results)
    assert world.api.seen() == 0


def test_wait_server_missing(start_gateway, world: World):
    """A wait that doesn't wait is no endless loop: whoever can't wait fetches for itself."""
    world.idp.fault("/wait-keys", "slow", delay_ms=500)
    config = fetched_keys(world, "wait-keys")
    config["kong"] = {"wait_uri": "unix:/nonexistent/herdgate-wait.sock"}
    gateway = start_gateway(config)
    results = together(8, lambda number: request(gateway.base_url + "/orders", headers=bearer(world.own(world.stranger if number % 2 else None))))
    assert [result.status for result in results] == [200, 401] * 4


def test_wait_server_by_address(start_gateway, world: World):
    """Kong traps on a target that isn't HOST:PORT, so the URL of `wait_uri` must not go to it as it stands."""
    world.idp.document("/20", ".")
    world.idp.fault("/awaited-keys", "slow", delay_ms=SLOW_MS)
    config = fetched_keys(world, "awaited-keys")
    config["kong"] = {"wait_uri": f"http://127.0.0.1:{world.idp.port}"}
    gateway = start_gateway(config, workers=1)
    world.idp.reset_counts()
    results = together(6, lambda number: request(gateway.base_url + "/orders", headers=bearer(world.own(world.stranger if number % 2 else None)), timeout=20))
    assert [result.status for result in results] == [200, 401] * 3
    # Once for all, and once more at most since a forged token may be of a key that changed.
    assert 1 <= world.idp.requests("/awaited-keys") <= 2
    assert world.idp.requests("/20") > 5


def test_wait_server_that_answers_without_a_body(start_gateway, world: World):
    """Who has waited there must fetch nothing: the host would copy the answer past the end of a buffer."""
    world.idp.document("/20", "")
    world.idp.fault("/emptily-awaited-keys", "slow", delay_ms=SLOW_MS)
    config = fetched_keys(world, "emptily-awaited-keys")
    config["kong"] = {"wait_uri": f"http://127.0.0.1:{world.idp.port}"}
    gateway = start_gateway(config, workers=1)
    for _ in range(3):
        results = together(6, lambda number: request(gateway.base_url + "/orders", headers=bearer(world.own(world.stranger if number % 2 else None)), timeout=20))
        assert statuses(results[::2]) == {200}
        assert statuses(results[1::2]) <= {401, 503}
    assert gateway.log().count("answers without a body") == 1


def test_bad_configuration_at_start(start_gateway, world: World):
    gateway = start_gateway(None)
    assert "issuers" in gateway.refuses('{"issuers": [{"name": "x"}]}')
    assert world.api.seen() == 0


def test_bad_configuration_on_a_push(start_gateway, world: World):
    gateway = start_gateway(world.config())
    with pytest.raises(Refused):
        gateway.reload('{"issuers": [{"name": "x"}]}')
    for headers in ({}, bearer(world.own()), bearer(world.own(world.stranger))):
        assert request(gateway.base_url + "/orders", headers=headers).status == 503
    assert request(gateway.base_url + "/health").status == 503
    assert seen(world, "/orders") == 0
    gateway.reload(world.config())
    assert request(gateway.base_url + "/orders", headers=bearer(world.own())).status == 200


BUFFERING = {"name": "pre-function", "config": {"access": ["kong.service.request.enable_buffering()"]}}


# One of a user's own, which replaces the global one on its service.
OWN_FUNCTION = {"name": "post-function", "config": {"access": ["kong.ctx.shared.own = true"]}}
GUARDS = {
    "plugin": Around(plugins=[BUFFERING], nginx_guard=False),
    "nginx": Around(plugins=[BUFFERING], guard=False),
    "own-function": Around(plugins=[BUFFERING, OWN_FUNCTION]),
    "bolt": Around(plugins=[BUFFERING, bolt()], nginx_guard=False),
}


@pytest.mark.parametrize("around", GUARDS.values(), ids=GUARDS.keys())
def test_buffering_plugin(around, start_gateway, world: World):
    gateway = start_gateway(None, around=around)
    gateway.launch(world.config())
    for headers in ({}, bearer(world.own())):
        answer = request(gateway.base_url + "/orders", headers=headers)
        assert (answer.status, answer.json()["message"]) == (503, "buffered requests are refused")
        assert request(gateway.base_url + "/orders", "POST", headers, b"a=b").status == 503
    assert world.api.seen() == 0


def test_function_of_ones_own_replaces_the_plugin(start_gateway, world: World):
    """What kong.yml warns of."""
    gateway = start_gateway(None, around=Around(plugins=[BUFFERING, OWN_FUNCTION], nginx_guard=False))
    gateway.launch(world.config())
    request(gateway.base_url + "/orders")
    assert world.api.seen() == 1


def test_missing_chain_with_the_bolt(start_gateway, world: World):
    gateway = start_gateway(None, around=Around(chain=False, plugins=[bolt()]))
    gateway.launch(world.config())
    for headers in ({}, bearer(world.own())):
        assert request(gateway.base_url + "/orders", headers=headers).status >= 500
    assert world.api.seen() == 0


def test_the_bolt_opens_for_what_is_admitted(start_gateway, world: World):
    gateway = start_gateway(fetched_keys(world, "bolted-keys"), around=Around(plugins=[bolt()]))
    # The first one pauses, the others don't.
    for _ in range(4):
        assert request(gateway.base_url + "/orders", headers=bearer(world.own())).status == 200
    assert request(gateway.base_url + "/orders").status == 401
    assert seen(world, "/orders") == 4


ZONES = {"unset": {"zone": ""}, "named": {"zone_name": "named"}}


@pytest.mark.dies
@pytest.mark.parametrize("with_bolt", [False, True], ids=["plain", "bolt"])
@pytest.mark.parametrize("zone", ZONES.values(), ids=ZONES.keys())
def test_no_zone_of_shared_memory(zone, with_bolt, start_gateway, world: World):
    """Each use of shared memory traps then, and one at the start would have Kong serve the route without the filter."""
    gateway = start_gateway(None, around=Around(**zone, plugins=[bolt()] if with_bolt else []))
    gateway.launch(world.config())
    header, payload, _ = world.own(header={"alg": "none"}).split(".")
    unsigned = f"{header}.{payload}."
    # A tick of the filter's comes in between: it must not touch the memory either.
    for pause_s in (0, 1.5):
        time.sleep(pause_s)
        for headers in ({}, bearer(world.own(world.stranger)), bearer(unsigned), bearer(world.own())):
            for path in ("/orders", "/health"):
                assert request(gateway.base_url + path, headers=headers).status >= 500
    results = together(8, lambda _: request(gateway.base_url + "/orders", headers=bearer(world.own(world.stranger))))
    assert not {status for status in statuses(results) if isinstance(status, int) and status < 500}, statuses(results)
    assert world.api.seen() == 0


def test_full_zone_neither_traps_nor_kills(start_gateway, world: World):
    gateway = start_gateway(world.config(), around=Around(zone="256k eviction=lru"))
    pids = gateway.pids()
    for number in range(1500):
        assert request(gateway.base_url + "/v1/x", headers=bearer(world.hmac(world.legacy, "device-1", jti=str(number)))).status == 200
    assert gateway.pids() == pids
    assert "trap" not in gateway.log().lower().replace("fake_trap", "")


def test_more_headers_than_the_host_hands_over(start_gateway, world: World):
    """Kong's host shows a filter a hundred of them: what is forged behind these must not arrive."""
    gateway = start_gateway(world.config())
    world.api.reset()
    many = [(f"x-filler-{number}", "1") for number in range(120)]
    headers = [*bearer(world.own()).items(), *many, ("x-user", "forged"), ("x-consumer-username", "forged")]
    assert request(gateway.base_url + "/orders", headers=headers).status == 431
    assert request(gateway.base_url + "/health", headers=headers).status == 431
    assert seen(world, "/orders") == seen(world, "/health") == 0
    assert request(gateway.base_url + "/orders", headers=[*bearer(world.own()).items(), *many[:60]]).status == 200


@pytest.mark.parametrize("doubled", [("x-user", "X-User"), ("X-CONSUMER-ID", "x-consumer-id"), ("x-user", "x-user")])
def test_header_doubled_in_another_case(doubled, start_gateway, main_gateway, world: World):
    for values in (("forged", "forged"), ("", "forged")):
        headers = [*bearer(world.own()).items(), *zip(doubled, values)]
        answer = request(main_gateway.base_url + "/orders", headers=headers)
        assert answer.status == 400, answer.body
        assert request(main_gateway.base_url + "/health", headers=headers).status == 400
    assert seen(world, "/orders") == seen(world, "/health") == 0


def test_token_in_the_query_is_removed(start_gateway, world: World):
    config = world.config(issuers=[world.own_issuer(forward={"token": False})], rules=[], bearer={"sources": [{"query": "jwt"}]})
    gateway = start_gateway(config)
    answer = request(f"{gateway.base_url}/orders?a=%201&jwt={world.own()}&b=2")
    assert answer.status == 200
    assert answer.json()["path"] == "/orders?a=%201&b=2"


def test_shipped_configuration_loads(start_gateway, world: World):
    """kong/kong.yml but for the address of its API, through Kong's own check and the filter's."""
    gateway = start_gateway(None)
    document = (ROOT / "kong" / "kong.yml").read_text().replace("api:8080", f"127.0.0.1:{world.api.port}")
    if kind() == "kong-host":
        # It has no upstreams.
        document = document.replace("host: api.upstream\n    port: 8080", f"host: 127.0.0.1\n    port: {world.api.port}")
    gateway.launch_document(document)
    assert request(gateway.base_url + "/health").status == 200
    answer = request(gateway.base_url + "/orders")
    assert answer.status == 401
    assert answer.header("www-authenticate").startswith('Bearer realm="api", resource_metadata="https://')
    assert request(gateway.base_url + "/nothing").status == 403
    assert "expected" not in gateway.log()
