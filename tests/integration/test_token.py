"""The token endpoint in a real gateway with two workers, before a real authorization server."""

import base64
import http.client
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from envoy import connection_manager, make_listener
from gateway import Upstreams, make_gateway
from http_client import Answer, form, request
from processes import PATIENCE_S, SERVERS, wait_until
from servers import secret_of, token_headers
from token_calls import RESOURCE, TOKEN_PATH, Caller, Flight, access_tokens, at_once, body_of, call, config, endpoint, expiry, fresh_client, sources, upstream
from world import World

pytestmark = [pytest.mark.only("envoy"), pytest.mark.usefixtures("counted")]

LIFETIME_S = 3600
NEGATIVE_TTL_S = 3


@pytest.fixture(scope="module")
def gateway(directory, idp, api, filter_wasm):
    """One gateway for all tests that need no settings of their own; each test has a client of its own."""
    made = make_gateway(directory / "token-gateway", Upstreams(api.port, idp.port))
    start_impatient(made, 2, config(endpoint(negative_ttl_s=NEGATIVE_TTL_S), shared={"secret": {"env": "HERDGATE_SECRET"}, "answers_max": 65536}))
    yield made
    made.stop()


def start_impatient(gateway, timeout_s: float, settings: dict) -> None:
    """Starts a gateway that waits this long for the server's answer: a test needn't sit out the shipped 8 s."""
    listener = make_listener(settings, gateway.wasm, gateway.upstreams.env)
    route = connection_manager(listener)["route_config"]["virtual_hosts"][0]["routes"][0]
    assert route["name"] == "token"
    route["route"]["timeout"] = f"{timeout_s}s"
    gateway.start_listener(listener)


# ---- one call for many --------------------------------------------------------------------------------------------


def test_identical_misses_make_one_call(start_gateway, world: World):
    world.idp.settings(lifetime_s=20)
    client, gateway = fresh_client(), start_gateway(None)
    settings = config(endpoint(jitter=0))
    gateway.start(settings)
    first = at_once(gateway.base_url, 200, client)
    assert upstream(world) == 1
    [token] = access_tokens(first)
    assert sources(first).get("miss") == 1 and set(sources(first)) <= {"miss", "shared", "hit"}

    # At the end of the reuse period, half of twenty seconds, they come together again.
    time.sleep(10.1)
    [second] = access_tokens(at_once(gateway.base_url, 200, client))
    assert second != token and upstream(world) == 2

    gateway.start(settings)
    [third] = access_tokens(at_once(gateway.base_url, 200, client))
    assert third != second and upstream(world) == 3


def test_identical_misses_wait_for_a_slow_server(gateway, world: World):
    client = fresh_client()
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=700)
    answers = at_once(gateway.base_url, 200, client)
    assert len(access_tokens(answers)) == 1 and upstream(world) == 1
    assert sources(answers) == {"miss": 1, "shared": 199}


def test_a_thousand_calls_are_one_call(gateway, world: World):
    client, caller = fresh_client(), Caller(gateway.base_url)
    answers, before, asked = [], None, time.monotonic()
    for _ in range(1000):
        sent = time.time()
        answer = caller.call(client)
        fields, answered = answer.json(), time.monotonic()
        assert 1 <= fields["expires_in"] <= expiry(fields["access_token"]) - sent
        assert before is None or before - 2 - (answered - asked) <= fields["expires_in"] <= before, "it only shrinks, and with the clock"
        before, asked = fields["expires_in"], answered
        answers.append(answer)
    assert len(access_tokens(answers)) == 1 and upstream(world) == 1
    assert sources(answers) == {"miss": 1, "hit": 999}
    assert all((a.header("cache-control"), a.header("content-type")) == ("no-store", "application/json; charset=utf-8") for a in answers)
    assert all(a.header("pragma") == "no-cache" for a in answers[1:])
    time.sleep(1.1)
    assert caller.call(client).json()["expires_in"] < before


def test_a_hit_differs_from_the_servers_answer_in_expires_in_alone(gateway, world: World):
    client = fresh_client()
    text = '{"token_type" : "Bearer",\n "access_token":"opaque-%s", "x":{"expires_in":9}, "expires_in": 3600 , "scope":"orders:read"}' % client
    world.idp.document(TOKEN_PATH, text)
    for source in ("miss", "hit"):
        answer = call(gateway.base_url, client)
        shortened = answer.json()["expires_in"]
        assert answer.header("herdgate-cache") == source
        assert 3600 * 0.9 - 2 <= shortened <= 3600
        assert answer.body.decode().replace(" ", "") == text.replace("3600", str(shortened)).replace(" ", "")
        assert int(answer.header("content-length") or len(answer.body)) == len(answer.body)


# ---- what is not shared -------------------------------------------------------------------------------------------


def test_no_cache_bypasses(gateway, world: World):
    client = fresh_client()
    [kept] = access_tokens([call(gateway.base_url, client)])
    for directive in ({"cache-control": "no-cache"}, {"pragma": "no-cache"}, {"cache-control": "max-age=0"}):
        answer = call(gateway.base_url, client, headers=directive)
        assert answer.header("herdgate-cache") == "bypass" and access_tokens([answer]) != {kept}
        [kept] = access_tokens([answer])
        assert access_tokens([call(gateway.base_url, client)]) == {kept}, "the fresh one takes the kept one's place"
    assert upstream(world) == 4


def test_a_refresh_passes_with_a_shorter_lifetime_and_nothing_else_changed(gateway, world: World):
    client = fresh_client()
    for number in (1, 2):
        grant = world.idp.grant(client_id=client)
        answer = call(gateway.base_url, client, body=form(grant_type="refresh_token", resource=RESOURCE, **grant))
        fields = answer.json()
        assert answer.status == 200 and answer.header("herdgate-cache") == "bypass", answer.body
        assert {"access_token", "refresh_token", "expires_in", "token_type", "scope"} <= set(fields)
        assert LIFETIME_S * 0.9 - 2 <= fields["expires_in"] <= LIFETIME_S
        assert upstream(world) == number
    text = '{"access_token":"a","refresh_token":"r","expires_in":3600,"token_type":"Bearer","more":[1,2.50,"\\u00e9"]}'
    world.idp.document(TOKEN_PATH, text, {"x-of-the-server": "kept", "set-cookie": "a=b"})
    body = form(grant_type="refresh_token", refresh_token="r")
    lifetimes = set()
    for number in range(20):
        answer = call(gateway.base_url, client, body=body + f"&n={number}")
        lifetimes.add(answer.json()["expires_in"])
        assert answer.body.decode().replace(" ", "") == text.replace("3600", str(answer.json()["expires_in"]))
        assert (answer.header("x-of-the-server"), answer.header("set-cookie")) == ("kept", "a=b")
    assert len(lifetimes) > 10, "users of one client do not end together"


def test_a_wrong_secret_never_gets_the_token(gateway, world: World):
    client = fresh_client()
    [token] = access_tokens([call(gateway.base_url, client)])
    for secret in ("wrong", secret_of(client)[:-1], secret_of(client) + "x", secret_of(client).upper(), ""):
        direct = call(world.idp.issuer, client, secret=secret or ":")
        refused = call(gateway.base_url, client, secret=secret or ":")
        assert refused.status == direct.status == 401
        assert (refused.body, refused.header("content-type"), refused.header("www-authenticate")) == (
            direct.body,
            direct.header("content-type"),
            direct.header("www-authenticate"),
        )
        assert token.encode() not in refused.body
    # The refusal of each wrong secret is remembered for a while, and that of no other.
    first = time.monotonic()
    assert call(gateway.base_url, client, secret="yet another").status == 401
    before = upstream(world)
    again = call(gateway.base_url, client, secret="yet another")
    assert again.status == 401 and again.body == refused.body and again.header("www-authenticate")
    assert upstream(world) == before or time.monotonic() - first > NEGATIVE_TTL_S
    time.sleep(NEGATIVE_TTL_S + 0.1)
    before = upstream(world)
    assert call(gateway.base_url, client, secret="yet another").status == 401
    assert upstream(world) == before + 1
    assert access_tokens([call(gateway.base_url, client)]) == {token}


def test_what_differs_is_not_shared(gateway, world: World):
    client, other = fresh_client(), fresh_client()
    base = gateway.base_url
    different = [
        call(base, client),
        call(base, client, scope="orders:write"),
        call(base, client, scope="orders:read orders:write"),
        call(base, client, resource="https://other.example"),
        call(base, client, resource=None),
        call(base, client, body=body_of(unknown="1")),
        call(base, client, body=body_of(unknown="2")),
        call(base, client, headers={"x-tenant": "a"}),
        call(base, other),
    ]
    assert len(access_tokens(different)) == len(different) == upstream(world)
    # The same words in another order mean the same, and so does another spelling of a letter.
    same = [
        call(base, client, scope="orders:write orders:read"),
        call(base, client, body=body_of(scope="orders:read orders:write").replace("orders", "order%73")),
        call(base, client, body="&".join(reversed(body_of(scope="orders:read orders:write").split("&")))),
    ]
    assert access_tokens(same) == access_tokens(different[2:3]) and upstream(world) == len(different)
    # The same client with the same secret in the body: another way to authenticate, another answer.
    by_body = {"content-type": "application/x-www-form-urlencoded"}
    posted = [request(base + TOKEN_PATH, "POST", by_body, body_of(client_id=client, client_secret=secret_of(client))) for _ in range(2)]
    assert len(access_tokens(posted)) == 1 and not access_tokens(posted) & access_tokens(different)
    assert upstream(world) == len(different) + 1


def test_a_twofold_parameter_goes_upstream(gateway, world: World):
    client = fresh_client()
    answers = [call(gateway.base_url, client, body=body_of() + "&scope=orders:read") for _ in range(2)]
    assert upstream(world) == 2
    direct = call(world.idp.issuer, client, body=body_of() + "&scope=orders:read")
    assert {(a.status, a.body) for a in answers} == {(direct.status, direct.body)}


@pytest.mark.parametrize("resource", [RESOURCE, None], ids=["jwt", "opaque"])
def test_a_revoked_token_is_not_served_again(resource, gateway, world: World):
    client = fresh_client()
    [token] = access_tokens(at_once(gateway.base_url, 16, client, body=body_of(resource=resource)))
    answer = request(gateway.base_url + "/oauth2/revoke", "POST", token_headers(client), form(token=token))
    direct = request(world.idp.issuer + "/oauth2/revoke", "POST", token_headers(client), form(token=token))
    assert (answer.status, answer.body) == (direct.status, direct.body)
    after = access_tokens(at_once(gateway.base_url, 16, client, body=body_of(resource=resource)))
    if answer.status == 200:
        assert len(after) == 1 and token not in after and upstream(world) == 2
    else:
        # The server revokes no JWTs: then it is still good.
        assert after == {token} and upstream(world) == 1


@pytest.mark.parametrize(
    "body",
    [
        body_of(resource="https://nowhere.example"),
        form(grant_type="client_credentials", scope="orders:read", resource="no-uri"),
        form(grant_type="urn:unknown"),
        form(scope="orders:read"),
        "{}",
    ],
)
def test_errors_of_the_server_arrive_unchanged(body, gateway, world: World):
    client = fresh_client()
    direct = call(world.idp.issuer, client, body=body)
    for _ in range(2):
        answer = call(gateway.base_url, client, body=body)
        assert (answer.status, answer.body, answer.header("content-type")) == (direct.status, direct.body, direct.header("content-type"))
        assert answer.status == 400


def test_a_body_over_the_limit_is_413(gateway, world: World):
    client = fresh_client()
    long = body_of(padding="x" * 9000)
    chunked = f"{len(long):x}\r\n{long}\r\n0\r\n\r\n"
    for headers, body in (({}, long), ({"transfer-encoding": "chunked"}, chunked)):
        headers = list({**token_headers(client), **headers}.items())
        connection = http.client.HTTPConnection(urlsplit(gateway.base_url).netloc, timeout=10)
        connection.putrequest("POST", TOKEN_PATH)
        for name, value in headers + ([] if body is chunked else [("content-length", str(len(body)))]):
            connection.putheader(name, value)
        connection.endheaders(body.encode())
        answer = connection.getresponse()
        assert answer.status == 413 and json.loads(answer.read())["error"] == "invalid_request"
    assert upstream(world) == 0
    fits = body_of(padding="x" * (8192 - len(body_of(padding=""))))
    assert access_tokens([call(gateway.base_url, client, body=fits)])


def test_an_old_secret_stops_at_the_servers_refusal_and_with_the_reuse_period(start_gateway, world: World):
    client = fresh_client()
    gateway = start_gateway(config(*(endpoint(path=f"{TOKEN_PATH}{n}", revocation_path=f"/oauth2/revoke{n}", jitter=0, refresh_ahead=n == 1) for n in (0, 1))))
    for ahead in (0, 1):
        path = f"{TOKEN_PATH}{ahead}"
        caller = Caller(gateway.base_url, path=path)
        # Half of it is the reuse period; the last tenth of that and more is for the renewal.
        lifetime_s = 16 if ahead else 6
        world.idp.document(path, '{"access_token":"old","token_type":"Bearer","expires_in":%d}' % lifetime_s)
        asked = time.monotonic()
        assert access_tokens([caller.call(client)]) == {"old"}
        begun, longest, sent = time.monotonic(), 0.0, asked
        # From here on the server knows another secret.
        world.idp.document(path, '{"error":"invalid_client"}', status=401)
        while True:
            longest, sent = max(longest, time.monotonic() - sent), time.monotonic()
            if (answer := caller.call(client)).status != 200:
                break
            assert answer.json()["access_token"] == "old" and sent < begun + lifetime_s / 2 + 0.1
            time.sleep(0.02)
        # Ahead of the end, unless this machine let nobody ask then.
        assert not ahead or sent < begun + lifetime_s / 2 or longest > 0.5
        # One renewal was refused, and with it the answer is gone for everyone.
        assert {caller.call(client).status for _ in range(8)} == {401} and answer.status == 401
        world.idp.document(path, None)


def test_identical_refreshes_become_one_call_and_nothing_of_them_is_kept(start_gateway, world: World):
    client = fresh_client()
    gateway = start_gateway(config(endpoint(coalesce_refresh=True)), workers=1)
    world.idp.document(TOKEN_PATH, '{"access_token":"a","refresh_token":"r2","token_type":"Bearer","expires_in":3600}')
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=400)
    body = form(grant_type="refresh_token", refresh_token="r1")
    answers = at_once(gateway.base_url, 100, client, body=body)
    assert access_tokens(answers) == {"a"} and upstream(world) == 1
    assert sources(answers) == {"bypass": 1, "shared": 99}
    assert len({answer.body for answer in answers}) == 1 and all(a.header("cache-control") == "no-store" for a in answers if a.header("herdgate-cache") == "shared")
    # Another client, another token, another time: each asks for itself.
    others = [call(gateway.base_url, client, body=body), call(gateway.base_url, fresh_client(), body=body), call(gateway.base_url, client, body=body + "2")]
    assert access_tokens(others) == {"a"} and upstream(world) == 4


# ---- leaders that fail --------------------------------------------------------------------------------------------


def test_a_leader_that_leaves_is_followed_by_another(gateway, world: World):
    client = fresh_client()
    # Who went on waiting for that call would wait in vain (wait_ms_max).
    world.idp.fault(TOKEN_PATH, "slow", delay_ms=20_000, times=1)
    leader = Flight(gateway.base_url, 1).send(client)
    wait_until(lambda: upstream(world) == 1, PATIENCE_S, "the leader's call")
    followers = Flight(gateway.base_url, 20).send(client)
    time.sleep(0.3)
    leader.leave()
    assert len(access_tokens(followers.answers())) == 1
    assert upstream(world) == 2


# ---- faults at the server -----------------------------------------------------------------------------------------

FAULTS = {
    "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503},
    "reset": {"kind": "reset"},
    "cut": {"kind": "cut"},
    "garbage": {"kind": "garbage"},
    "slow": {"kind": "slow", "delay_ms": 300},
    "hang": {"kind": "hang"},
    "empty": {"kind": "empty"},
    "huge": {"kind": "huge"},
    "html": {"kind": "html"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_during_a_miss_is_not_kept(fault, gateway, world: World):
    client = fresh_client()
    world.idp.fault(TOKEN_PATH, **FAULTS[fault])
    answers = at_once(gateway.base_url, 6, client)
    if fault == "slow":
        assert len(access_tokens(answers)) == 1
    else:
        assert all(b'"access_token"' not in answer.body or fault == "cut" for answer in answers)
        assert upstream(world) <= 6
    if fault in ("500", "503"):
        assert (answers[0].status, answers[0].body) == (int(fault), b"deliberate failure") or answers[0].header("retry-after")
    if fault in ("500", "503", "reset", "cut", "hang"):
        assert upstream(world) == 1, "followers of a failed call do not make their own at once"
        assert all(answer.status >= 500 for answer in answers)
    if fault in ("garbage", "empty", "html", "huge"):
        assert all(answer.status == 200 for answer in answers)
    world.idp.heal()
    healed = time.monotonic()
    while (sent := time.monotonic()) and call(gateway.base_url, client).status != 200:
        assert sent < healed + 1.5, "a failure is remembered for a second"
        time.sleep(0.05)
    # An answer that could not be shared lets identical calls through for a while; then it is as ever.
    [token] = access_tokens([wait_until(lambda: (a := call(gateway.base_url, client)).header("herdgate-cache") == "hit" and a, PATIENCE_S, "a hit", 0.2)])
    assert access_tokens([call(gateway.base_url, client)]) == {token}


def test_faults_during_a_renewal_are_seen_by_no_client(start_gateway, world: World):
    client, idp = fresh_client(), world.idp
    # One endpoint for each fault, so that all are tried at once; a document stands for the server there.
    paths = {fault: f"/oauth2/token-{fault}" for fault in FAULTS}
    common = {"jitter": 0, "refresh_ahead": True, "revocation_path": None}
    endpoints = [{name: value for name, value in endpoint(path=path, **common).items() if value is not None} for path in paths.values()]
    gateway = start_gateway(None)
    start_impatient(gateway, 0.4, config(*endpoints))

    def serve(token: str) -> None:
        for path in paths.values():
            idp.document(path, '{"access_token":"%s","token_type":"Bearer","expires_in":16}' % token)

    serve("first")
    callers = {fault: Caller(gateway.base_url, path=path) for fault, path in paths.items()}
    # Eight seconds of reuse from then on, of which the last 10 to 20 % are for the renewal.
    asked = {}
    for fault, caller in callers.items():
        asked[fault] = time.monotonic()
        assert access_tokens([caller.call(client)]) == {"first"}
    with ThreadPoolExecutor(len(FAULTS)) as pool:

        def all_until(age_s: float) -> dict[str, list[tuple[Answer, float]]]:
            running = {fault: pool.submit(timed, caller, client, asked[fault] + age_s) for fault, caller in callers.items()}
            return {fault: future.result() for fault, future in running.items()}

        calm = all_until(4)
        idp.reset_counts()
        for fault, path in paths.items():
            idp.fault(path, **{**FAULTS[fault], **({"delay_ms": 150} if fault == "slow" else {})})
        time.sleep(max(0.0, min(asked.values()) + 5.5 - time.monotonic()))
        troubled = all_until(7.5)
    for fault, path in paths.items():
        assert idp.requests(path) >= 1, f"{fault}: nobody renewed"
        assert idp.requests(path) <= 2, f"{fault}: {idp.requests(path)} calls to a server in trouble"
        answers = [answer for answer, _ in troubled[fault]]
        if fault == "cut":
            # Envoy answers the one caller that renews by itself when the server breaks off in the body, past all filters.
            broken = [answer for answer in answers if answer.status != 200]
            assert len(broken) <= idp.requests(path)
            answers = [answer for answer in answers if answer.status == 200]
        assert access_tokens(answers) == {"first"}, fault
        for answer in answers:
            assert int(answer.header("content-length") or len(answer.body)) == len(answer.body)
            assert answer.header("content-type") == "application/json" and answer.header("cache-control") in ("no-store", None)
        # Who waited for the server would wait for 150 ms and more.
        assert median(troubled[fault]) <= max(1.5 * median(calm[fault]) + 0.002, 0.1), fault
    # Recovery: at the end of the period the first caller gets a new token, and everyone has it from then on.
    idp.heal()
    serve("second")
    time.sleep(max(0.0, max(asked.values()) + 8.1 - time.monotonic()))
    for fault, caller in callers.items():
        if fault == "slow":
            continue  # Its renewal succeeded.
        wait_until(lambda: (a := caller.call(client)).status == 200 and a.json()["access_token"] == "second", PATIENCE_S, f"{fault}: recovery")
        assert access_tokens([caller.call(client) for _ in range(4)]) == {"second"}


def timed(caller: Caller, client: str, end: float) -> list[tuple[Answer, float]]:
    """Calls until `end`, each with its duration in seconds."""
    out = []
    while (began := time.monotonic()) < end:
        answer = caller.call(client)
        out.append((answer, time.monotonic() - began))
        time.sleep(0.002)
    return out


def median(calls: list[tuple[Answer, float]]) -> float:
    return sorted(seconds for _, seconds in calls)[len(calls) // 2]


def test_a_renewal_ahead_is_one_call_and_nobody_waits(start_gateway, world: World):
    client = fresh_client()
    world.idp.settings(lifetime_s=8)
    gateway = start_gateway(config(endpoint(jitter=0, refresh_ahead=True)))
    caller = Caller(gateway.base_url)
    [token] = access_tokens([caller.call(client)])
    answers = [answer for answer, _ in timed(caller, client, time.monotonic() + 4.5)]
    assert len(access_tokens(answers)) == 2 and upstream(world) == 2
    assert set(sources(answers)) == {"hit", "miss"} and sources(answers)["miss"] == 1


# ---- a thousand clients -------------------------------------------------------------------------------------------


def test_lifetimes_of_many_clients_are_spread(gateway, world: World):
    clients = [f"c{number:04}" for number in range(201, 1201)]
    caller = Caller(gateway.base_url, 8)
    lifetimes = []
    for client in clients:
        answer = caller.call(client)
        lifetimes.append(answer.json()["expires_in"])
        assert answer.header("herdgate-cache") == "miss"
    assert upstream(world) == 1000
    least, most = LIFETIME_S * 0.9, LIFETIME_S
    assert least - 2 <= min(lifetimes) < least + 15 and most - 15 < max(lifetimes) <= most
    tenths = [sum(1 for one in lifetimes if least + 36 * n <= one + 1 < least + 36 * (n + 1)) for n in range(10)]
    assert all(55 <= count <= 150 for count in tenths), tenths
    again = [caller.call(client).json()["expires_in"] for client in clients[:50]]
    assert all(first - 60 <= now <= first for first, now in zip(lifetimes, again)), list(zip(lifetimes, again))
    assert upstream(world) <= 1001, "an entry or so may have given way to another"


def test_the_secret_is_in_no_log_and_no_metric(gateway, world: World):
    client = fresh_client()
    [token] = access_tokens([call(gateway.base_url, client)])
    text = gateway.log() + json.dumps(gateway.metrics())
    for secret in (token, secret_of(client), base64.b64encode(f"{client}:{secret_of(client)}".encode()).decode()):
        assert secret not in text


# ---- strict clients -----------------------------------------------------------------------------------------------


def oauth4webapi(gateway, client: str, secret: str, count: int, method: str = "basic") -> list[dict]:
    command = ["node", SERVERS / "strict_client.mjs", gateway.base_url + TOKEN_PATH, client, secret, str(count), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("method", ["basic", "post"])
def test_oauth4webapi_accepts_every_cached_answer(method, gateway, world: World):
    client = fresh_client()
    answers = oauth4webapi(gateway, client, secret_of(client), 50, method)
    assert upstream(world) == 1 and len({answer["access_token"] for answer in answers}) == 1
    for answer in answers:
        assert answer["token_type"] == "bearer" and 1 <= answer["expires_in"] <= expiry(answer["access_token"]) - answer["asked_at"]
    refused = oauth4webapi(gateway, client, "wrong", 3, method)
    assert [(answer["refused"], answer["error"]) for answer in refused] == [(401, "invalid_client")] * 3
    assert method == "post" or [answer["challenges"] for answer in refused] == [["basic"]] * 3
    assert upstream(world) == 2


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib_accepts_every_cached_answer(method, gateway, world: World, monkeypatch):
    from authlib.integrations.base_client import OAuthError
    from authlib.integrations.httpx_client import OAuth2Client

    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    client = fresh_client()
    fields = {"grant_type": "client_credentials", "scope": "orders:read", "resource": RESOURCE}
    with OAuth2Client(client, secret_of(client), token_endpoint_auth_method=method) as session:
        for _ in range(20):
            asked_at = time.time()
            token = session.fetch_token(gateway.base_url + TOKEN_PATH, **fields)
            assert not token.is_expired() and 1 <= token["expires_in"] <= expiry(token["access_token"]) - asked_at
    assert upstream(world) == 1
    with OAuth2Client(client, "wrong", token_endpoint_auth_method=method) as session:
        for _ in range(2):
            with pytest.raises(OAuthError) as refusal:
                session.fetch_token(gateway.base_url + TOKEN_PATH, **fields)
            assert refusal.value.error == "invalid_client"
    assert upstream(world) == 2
