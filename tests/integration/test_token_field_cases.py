"""Inputs that people reported of other gateways' token endpoints, in a real gateway: what is meant is read.

field-cases/token-endpoint has the inputs as they came, each with what was seen and what would have been right.
"""

import base64
import copy
import hashlib
import itertools
import json
import subprocess
import time
from pathlib import Path

import pytest

from gateway import Upstreams, make_gateway
from http_client import Answer, form, request
from processes import ROOT
from token_calls import TOKEN_PATH, upstream
from world import World

pytestmark = [pytest.mark.only("envoy", "kong-host"), pytest.mark.usefixtures("counted")]

CASES = {path.name[:3]: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "field-cases" / "token-endpoint").glob("*.json"))}
REVOKE_PATH = "/oauth2/revoke"
FORM = "application/x-www-form-urlencoded"
GOOD = {"access_token": "tok", "token_type": "Bearer", "expires_in": 3600}
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

_numbers = itertools.count(1)


def settings(case: str, **more) -> dict:
    """A case's configuration, with headers that tell how an answer came about."""
    config = copy.deepcopy(CASES[case]["config"])
    config["token_endpoints"][0].update(more)
    return {**config, "debug_headers": True}


@pytest.fixture(scope="module")
def gateway(directory, idp, api, filter_wasm):
    """The configuration that most cases share."""
    shared = [CASES[name]["config"] for name in ("w06", "w07", "w08", "w09", "w10", "w11", "w17", "w21")]
    assert all(config == shared[0] for config in shared)
    made = make_gateway(directory / "field-cases", Upstreams(api.port, idp.port))
    made.start(settings("w06"))
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def no_documents(idp):
    yield
    for path in (REVOKE_PATH, "/oauth2/authorize", "/oauth2/one/token", "/oauth2/two/token"):
        idp.document(path, None)


@pytest.fixture
def client() -> str:
    return f"field-{next(_numbers)}"


def call(base: str, client: str, headers: dict | list = (), *, path: str = TOKEN_PATH, body: str | None = None) -> Answer:
    """A token call with the secret in the body."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    if not any(name == "content-type" for name, _ in pairs):
        pairs.append(("content-type", FORM))
    fields = {"grant_type": "client_credentials", "client_id": client, "client_secret": "s"}
    return request(base + path, "POST", pairs, body or form(**fields))


def serves(world: World, answer: dict | str = GOOD, headers: dict | None = None, status: int = 200, path: str = TOKEN_PATH) -> str:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    world.idp.document(path, text, headers or {}, status)
    world.idp.reset_counts()
    return text


def is_kept(world: World, base: str, client: str, headers=(), again=None) -> bool:
    """Whether the second of two calls is answered without the server; `again` are its headers if they are others."""
    world.idp.reset_counts()
    answers = [call(base, client, headers), call(base, client, headers if again is None else again)]
    assert [answer.status for answer in answers] == [200, 200]
    calls = upstream(world)
    assert [answer.header("herdgate-cache") for answer in answers] in (["miss", "hit"], ["miss", "miss"], ["bypass", "bypass"])
    assert (answers[1].header("herdgate-cache") == "hit") == (calls == 1)
    return calls == 1


# ---- answers ------------------------------------------------------------------------------------------------------


def test_a_cookie_goes_to_the_first_client_alone(gateway, world: World, client):
    """w06."""
    serves(world, headers={"set-cookie": "fpc=abc; path=/; secure"})
    first, second = call(gateway.base_url, client), call(gateway.base_url, client)
    assert first.header("set-cookie") == "fpc=abc; path=/; secure" and first.header("herdgate-cache") == "miss"
    assert second.header("set-cookie") is None and second.header("herdgate-cache") == "hit"
    assert upstream(world) == 1 and second.json()["access_token"] == "tok"


@pytest.mark.parametrize(
    "vary, kept",
    [
        ("Origin, Access-Control-Request-Method, Access-Control-Request-Headers", True),
        ("Authorization", True),
        ("Accept, Accept-Encoding, Cookie", True),
        ("X-Tenant", True),
        ("User-Agent", False),
        ("x-forwarded-for", False),
        ("*", False),
    ],
)
def test_vary_by_what_is_in_the_key(gateway, world: World, client, vary, kept):
    """w07."""
    serves(world, headers={"vary": vary})
    assert is_kept(world, gateway.base_url, client) is kept


def test_what_vary_names_is_told_apart(gateway, world: World, client):
    serves(world, headers={"vary": "X-Tenant, Authorization"})
    assert not is_kept(world, gateway.base_url, client, {"x-tenant": "a"}, {"x-tenant": "b"})
    basic = {"authorization": "Basic " + base64.b64encode(f"{client}:s".encode()).decode()}
    other = call(gateway.base_url, client, basic, body=form(grant_type="client_credentials"))
    assert other.header("herdgate-cache") == "miss"


IDS = [name.strip() for name in CASES["w08"]["requests"][0].split("another ")[1].replace("(", ",").replace(")", "").split(",")]


@pytest.mark.parametrize("name", [name for name in IDS if name not in ("...", "forwarded: for=")])
def test_ids_shape_no_answer(gateway, world: World, client, name):
    """w08."""
    serves(world)
    assert is_kept(world, gateway.base_url, client, {name: "one"}, {name: "two"})


def test_forwarded_goes_by_its_parts(gateway, world: World, client):
    """w08."""
    serves(world)
    assert is_kept(world, gateway.base_url, client, {"forwarded": "for=192.0.2.1;by=10.0.0.1"}, {"forwarded": 'for="[2001:db8::1]:4711", for=192.0.2.9'})
    for number, (one, other) in enumerate([("host=a.example", "host=b.example"), ("for=1;proto=http", "for=1;proto=https"), ("for=a b", "for=a c")]):
        assert not is_kept(world, gateway.base_url, f"{client}-{number}", {"forwarded": one}, {"forwarded": other}), one


def test_ignore_headers(start_gateway, world: World, client):
    gateway = start_gateway(settings("w08", ignore_headers=["X-Acme-Trace"]))
    serves(world)
    assert is_kept(world, gateway.base_url, client, {"x-acme-trace": "1"}, {"X-ACME-Trace": "2"})
    assert not is_kept(world, gateway.base_url, client + "-tenant", {"x-acme-tenant": "1"}, {"x-acme-tenant": "2"})
    serves(world, headers={"vary": "x-acme-trace"})
    assert not is_kept(world, gateway.base_url, client + "-vary")


@pytest.mark.parametrize("number, kind", [('"3600"', str), ("3600.0", float), ('"3600.0"', str), ("3600", int)])
def test_a_lifetime_in_its_own_type(gateway, world: World, client, number, kind):
    """w09."""
    serves(world, f'{{"access_token":"tok","token_type":"Bearer","expires_in":{number}}}')
    said = [call(gateway.base_url, client).json()["expires_in"] for _ in range(2)]
    assert upstream(world) == 1
    assert [type(value) for value in said] == [kind, kind]
    assert all(3600 * 0.9 - 30 <= float(value) <= 3600 for value in said) and float(said[1]) <= float(said[0])


def test_it_is_shortened(start_gateway, world: World, client):
    """w09: of many clients nearly all draw another number than the server's."""
    gateway = start_gateway(settings("w09", jitter=0.5))
    serves(world, '{"access_token":"tok","token_type":"Bearer","expires_in":"3600"}')
    said = [int(call(gateway.base_url, f"{client}-{number}").json()["expires_in"]) for number in range(10)]
    assert min(said) < 3600 and len(set(said)) > 2


@pytest.mark.parametrize("member", ['"refresh_token":null', '"id_token":null', '"error":null', '"scope":null'])
def test_members_that_are_null_are_absent(gateway, world: World, client, member):
    """w10."""
    serves(world, f'{{"access_token":"tok","token_type":"Bearer","expires_in":3600,{member}}}')
    assert is_kept(world, gateway.base_url, client)


@pytest.mark.parametrize("member", ['"refresh_token":"r"', '"id_token":"i"', '"error":"x"', '"refresh_token":""'])
def test_members_that_are_there_are_not(gateway, world: World, client, member):
    serves(world, f'{{"access_token":"tok","token_type":"Bearer","expires_in":3600,{member}}}')
    assert not is_kept(world, gateway.base_url, client)


def test_other_spans_age_along(start_gateway, world: World, client):
    """w16."""
    gateway = start_gateway(settings("w16"))
    serves(world, CASES["w16"]["server"].replace('"t"', '"tok"'))
    first = call(gateway.base_url, client).json()
    assert (first["expires_in"], first["ext_expires_in"], first["refresh_in"]) == (60, 60, 30)
    # From here on more than two seconds have passed since the server was asked, on the slowest machine too.
    time.sleep(2.1)
    later = call(gateway.base_url, client)
    assert later.header("herdgate-cache") == "hit", "the reuse period is half a minute"
    said = later.json()
    assert said["expires_in"] <= 57 and said["ext_expires_in"] <= said["expires_in"] and said["refresh_in"] <= 27


def test_a_lifetime_that_nobody_says(start_gateway, world: World, client):
    bare = '{"access_token":"tok","token_type":"Bearer"}'
    gateway = start_gateway(settings("w16"))
    serves(world, bare)
    assert not is_kept(world, gateway.base_url, client)
    # A JWT says itself when it ends.
    claims = base64.urlsafe_b64encode(json.dumps({"exp": int(time.time()) + 600}).encode()).decode().rstrip("=")
    serves(world, bare.replace('"tok"', f'"e30.{claims}.c2ln"'))
    assert is_kept(world, gateway.base_url, client + "-jwt")
    assert 1 <= call(gateway.base_url, client + "-jwt").json()["expires_in"] <= 600

    gateway.start(settings("w16", default_lifetime_s=300))
    serves(world, bare)
    first, second = call(gateway.base_url, client), call(gateway.base_url, client)
    assert first.body.decode() == bare, "what the server says is passed on as it is"
    assert second.header("herdgate-cache") == "hit" and 1 <= second.json()["expires_in"] <= 300


@pytest.mark.parametrize("challenge", ['Basic realm="idp"', 'Bearer error="invalid_client", error_description="a, b"', None, "Negotiate abc=="])
def test_a_remembered_401_has_a_challenge(gateway, world: World, client, challenge):
    """w17: the server's, or where it has none that can be told again, Basic."""
    serves(world, '{"error":"invalid_client"}', {"www-authenticate": challenge} if challenge else {}, 401)
    first, second = call(gateway.base_url, client), call(gateway.base_url, client)
    assert (first.status, second.status, upstream(world)) == (401, 401, 1)
    assert first.header("www-authenticate") == challenge
    told_again = challenge if challenge and "abc" not in challenge else 'Basic realm="api"'
    assert second.header("www-authenticate") == told_again and second.json() == {"error": "invalid_client"}


@pytest.mark.parametrize("name", ["content-digest", "repr-digest", "digest", "no-transform", "signature"])
def test_a_sealed_answer_is_not_changed(start_gateway, gateway, world: World, client, name):
    """w19."""
    jittered = start_gateway(settings("w19"))
    text = json.dumps(GOOD)
    digest = "sha-256=:" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + ":"
    header = {"no-transform": {"cache-control": "no-store, no-transform"}, "signature": {"signature": "sig1=:AA==:", "signature-input": "sig1=()"}}
    serves(world, text, header.get(name, {name: digest}))
    for number in range(5):
        answer = call(jittered.base_url, f"{client}-{number}")
        assert answer.body.decode() == text, "half of it would be cut off, differently for each client"
        again = call(jittered.base_url, f"{client}-{number}")
        if name in header:
            assert again.body.decode() == text and again.header("herdgate-cache") == "miss"
        else:
            assert again.header("herdgate-cache") == "hit" and again.header(name) is None


# ---- requests -----------------------------------------------------------------------------------------------------


PREFLIGHT = {"origin": "https://spa.example", "access-control-request-method": "POST"}


@pytest.mark.parametrize("path", [TOKEN_PATH, REVOKE_PATH])
def test_preflights_go_to_the_server(gateway, world: World, path):
    """w11."""
    serves(world, "", {"access-control-allow-origin": "*"}, 204, path)
    answer = request(gateway.base_url + path, "OPTIONS", PREFLIGHT)
    assert (answer.status, answer.header("access-control-allow-origin")) == (204, "*")
    assert world.idp.requests(path) == 1
    for other in ({"origin": "https://spa.example"}, {**PREFLIGHT, "access-control-request-method": "DELETE"}):
        assert request(gateway.base_url + path, "OPTIONS", other).status == 403


def test_preflights_are_charged_and_can_be_checked(start_gateway, world: World):
    serves(world, "", {"access-control-allow-origin": "*"}, 204)
    limited = settings("w11", limits=["few"])
    limited["rate_limits"] = [{"name": "few", "key": ["address"], "limit": 2, "per_s": 3600}]
    gateway = start_gateway(limited)
    assert [request(gateway.base_url + TOKEN_PATH, "OPTIONS", PREFLIGHT).status for _ in range(3)] == [204, 204, 429]
    gateway.start({**settings("w11"), "cors_preflight": "check"})
    assert request(gateway.base_url + TOKEN_PATH, "OPTIONS", PREFLIGHT).status == 403


def test_ascii_in_any_charset(gateway, world: World, client):
    """w21."""
    serves(world)
    latin = {"content-type": f"{FORM}; charset=ISO-8859-1"}
    assert is_kept(world, gateway.base_url, client, latin)
    body = form(grant_type="client_credentials", client_id=client, client_secret="s") + "&x=%e4"
    assert call(gateway.base_url, client, latin, body=body).header("herdgate-cache") == "bypass"
    # What another charset makes of the same bytes isn't known, so the answers are apart.
    assert call(gateway.base_url, client).header("herdgate-cache") == "miss"


def test_json_bodies(gateway, world: World, client):
    serves(world)
    fields = {"grant_type": "client_credentials", "client_id": client, "client_secret": "s", "audience": "https://api"}

    def send(body: str) -> str:
        return call(gateway.base_url, client, {"content-type": "application/json"}, body=body).header("herdgate-cache")

    assert send(json.dumps(fields)) == "miss"
    assert send(json.dumps(dict(reversed(fields.items())), indent=1)) == "hit"
    assert send(json.dumps({**fields, "client_secret": "t"})) == "miss"
    assert call(gateway.base_url, client, body=form(**fields)).header("herdgate-cache") == "miss"
    for body in (json.dumps({**fields, "scope": None}), json.dumps(fields)[:-1] + ',"client_id":"x"}', json.dumps({**fields, "Scope": "a"}), "[]"):
        assert send(body) == "bypass", body


def test_the_client_of_an_assertion(start_gateway, world: World):
    """w22."""
    limited = settings("w06", limits=["c"])
    limited["rate_limits"] = CASES["w22"]["config"]["rate_limits"]
    gateway = start_gateway(limited)
    serves(world)

    def asserted(client: str, **more) -> Answer:
        claims = base64.urlsafe_b64encode(json.dumps({"iss": client, "sub": client}).encode()).decode().rstrip("=")
        fields = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": f"e30.{claims}.c2ln"}
        return call(gateway.base_url, client, body=form(**fields, **more))

    assert [asserted(client).status for client in ("a", "a", "b", "b")] == [200] * 4
    assert asserted("a").status == 429 and asserted("a", client_id="a").status == 429
    # One that says two things is nobody in particular, and has the limit of those.
    assert [asserted("c", client_id="d").status for _ in range(3)] == [200, 200, 429]


def test_realms_have_answers_of_their_own(start_gateway, world: World, client):
    templated = settings("w06", path_template="/oauth2/{realm}/token", revocation_path="/oauth2/{realm}/revoke", limits=["realm"])
    del templated["token_endpoints"][0]["path"]
    templated["rate_limits"] = [{"name": "realm", "key": ["capture:realm", "address"], "limit": 3, "per_s": 3600}]
    gateway = start_gateway(templated)
    one, two = "/oauth2/one/token", "/oauth2/two/token"
    for realm, path in (("one", one), ("two", two)):
        serves(world, {**GOOD, "access_token": f"tok-{realm}"}, path=path)

    def ask(path: str) -> tuple:
        answer = call(gateway.base_url, client, path=path)
        return answer.status, answer.header("herdgate-cache"), answer.json().get("access_token")

    assert [ask(one), ask(two), ask(one), ask(two)] == [
        (200, "miss", "tok-one"),
        (200, "miss", "tok-two"),
        (200, "hit", "tok-one"),
        (200, "hit", "tok-two"),
    ]
    # Realms have limits of their own, too.
    assert [ask(one)[0], ask(one)[0], ask(two)[0]] == [200, 429, 200]
    assert call(gateway.base_url, client, path="/oauth2/one/two/token").status == 403
    # A token that is taken back isn't handed out again.
    world.idp.document("/oauth2/two/revoke", "")
    assert request(gateway.base_url + "/oauth2/two/revoke", "POST", {"content-type": FORM}, form(token="tok-one")).status in (200, 429)
    world.idp.document("/oauth2/two/revoke", None)


# ---- limits and rules ---------------------------------------------------------------------------------------------


def test_an_uncharged_limit_says_its_own_reset(start_gateway, world: World):
    """w20."""
    config = {**CASES["w20"]["config"], "shared": {"secret": {"env": "HERDGATE_SECRET"}}}
    config["rules"] = [{"match": {"path_prefix": "/orders"}, "access": "public", "limits": ["a", "b"]}]
    gateway = start_gateway(config)
    first, second = (request(gateway.base_url + "/orders", headers={"x-k": "1"}) for _ in range(2))
    assert (first.status, second.status) == (200, 429)

    def reset(answer: Answer) -> int:
        [said] = [part for part in answer.header("ratelimit").split(", ") if part.startswith('"a";r=4;t=')]
        return int(said.rpartition("=")[2])

    # Seconds may have passed between the two.
    assert reset(first) == 720 and 600 <= reset(second) <= 720


def test_the_servers_other_endpoints(start_gateway, world: World):
    """w18: what the README shows opens them."""
    config = json.loads((ROOT / "examples" / "token-endpoint" / "herdgate.json").read_text())
    config.pop("$schema", None)
    gateway = start_gateway(config)
    serves(world, "<html>", path="/oauth2/authorize")
    assert request(gateway.base_url + "/oauth2/authorize").status == 200
    for asked in CASES["w18"]["requests"]:
        method, path = asked.split()
        assert request(gateway.base_url + path, method).status not in (401, 403) or world.idp.requests(path) == 1, asked


@pytest.mark.only("envoy")
def test_make_check_tells_of_closed_endpoints(tmp_path):
    """w18: it warns of the case's own configuration, and not of the example's."""

    def check(config: dict) -> str:
        file = tmp_path / "config.json"
        file.write_text(json.dumps(config))
        command = ["cargo", "run", "-q", "--locked", "--manifest-path", "tools/check/Cargo.toml", "--target-dir", "target", "--", file]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "no rule covers the other paths under /oauth2/" in check(CASES["w18"]["config"])
    assert "no rule opens" not in check(json.loads((ROOT / "examples" / "token-endpoint" / "herdgate.json").read_text()))
