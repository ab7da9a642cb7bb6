"""Revocation calls (RFC 7009), and what the token endpoint hands out afterwards: with spellings that other readers
understand, with tokens whose key isn't known yet, and with tokens that the gateway itself refuses."""

import http.client
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from gateway import Gateway, kind
from http_client import Answer, form, request
from processes import wait_until
from servers import secret_of, token_headers
from token_calls import TOKEN_PATH, call, config, endpoint
from tokens import Key, claims
from world import OWN, World

REVOCATION_PATH = "/oauth2/revoke"
FORM = "application/x-www-form-urlencoded"
NOT_KEPT, UNREAD = "herdgate.revocation.not_kept", "herdgate.revocation.unread"

_numbers = itertools.count(1)
# Clients of the server that no other file uses.
_clients = itertools.count(900)


class Server:
    """An authorization server that answers as it is told to."""

    def __init__(self, world: World):
        self.idp, self.token = world.idp, ""
        self.revokes()

    def grants(self, token: str | None = None, expires_in: int = 3600) -> str:
        """From now on it grants this token."""
        self.token = token or f"tok-{next(_numbers)}-{time.time_ns()}"
        answer = {"access_token": self.token, "token_type": "Bearer", "expires_in": expires_in}
        self.idp.document(TOKEN_PATH, json.dumps(answer))
        return self.token

    def refuses(self) -> None:
        self.idp.document(TOKEN_PATH, '{"error":"invalid_client"}', status=401)

    def revokes(self, status: int = 200) -> None:
        self.idp.document(REVOCATION_PATH, "", {"content-length": "0"}, status)

    def gone(self) -> None:
        for path in (TOKEN_PATH, REVOCATION_PATH):
            self.idp.document(path, None)


@pytest.fixture
def server(world: World):
    made = Server(world)
    yield made
    made.gone()


@pytest.fixture
def client() -> str:
    return f"c{next(_clients):04}"


def calls_config(world: World, **more) -> dict:
    return config(endpoint(jitter=0), rules=[{"match": {"path_prefix": "/api"}, "access": "public"}], **more)


def api_config(world: World, **more) -> dict:
    """An API and its token endpoint in one configuration; the keys are fetched."""
    issuer = {"name": "own", "issuer": OWN, "algorithms": ["RS256", "ES256"], "jwks_uri": world.idp.issuer + "/own-keys",
              "allow_http": True, "cluster": "idp", "audiences": ["orders-api"], "jwks": {"ttl_s": 1, "refetch_s": 1, "stale_s_max": 60}}
    return config(endpoint(jitter=0), **{"issuers": [issuer], "rules": [{"match": {"path_prefix": "/orders"}}], **more})


def serve_keys(world: World, *keys: Key) -> None:
    world.idp.document("/own-keys", json.dumps({"keys": [key.jwk() for key in keys]}))


def revoke(gateway: Gateway, client: str, body: str | bytes, content_type: str | None = FORM, path: str = REVOCATION_PATH) -> Answer:
    headers = {**token_headers(client), **({"content-type": content_type} if content_type is not None else {})}
    if content_type is None:
        del headers["content-type"]
    return request(gateway.base_url + path, "POST", headers, body)


def granted(gateway: Gateway, client: str, **more) -> str:
    answer = call(gateway.base_url, client, **more)
    assert answer.status == 200, (answer.status, answer.body)
    return answer.json()["access_token"]


def status(gateway: Gateway, token: str) -> int:
    return request(gateway.base_url + "/orders/1", headers={"authorization": f"Bearer {token}"}).status


def statuses(gateway: Gateway, token: str, times: int = 12) -> set[int]:
    return {status(gateway, token) for _ in range(times)}


def twin(token: str) -> str:
    """The other spelling of an ES256 signature: (r, n - s)."""
    import base64

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    other = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    return f"{signed}.{base64.urlsafe_b64encode(other).rstrip(b'=').decode()}"


# ---- what a body means --------------------------------------------------------------------------------------------

SPELLINGS = [
    (FORM, "token=TOK&"),
    (FORM + "; charset=ISO-8859-1", "token=TOK"),
    (FORM, "token=TOK&token_type_hint"),
    (FORM + ";", "token=TOK"),
    (FORM, "token=TOK\r\n"),
    (FORM, "\ntoken = TOK "),
    (FORM, "&&token=TOK&&"),
    (FORM, "token_type_hint=access_token;token=TOK"),
    (FORM, "token=other&token=TOK"),
    (FORM, "%74oken=TOK"),
    (FORM, "token=TOK&x=%zz"),
    (FORM, 'token="TOK"'),
    (FORM, "token=TOK&x=\xff"),
    (None, "token=TOK"),
    ("text/plain", "token=TOK"),
    ("application/json", '{"token":"TOK"}'),
    ("application/json; charset=utf-8", ' {"token_type_hint":"access_token", "token" : "TOK", "token":"TOK"} '),
    ("multipart/form-data; boundary=b", '--b\r\nContent-Disposition: form-data; name="token"\r\n\r\nTOK\r\n--b--\r\n'),
]


@pytest.fixture(scope="module")
def calls_gateway(directory, idp, api, filter_wasm, world):
    from gateway import Upstreams, make_gateway

    made = make_gateway(directory / "revocation-calls", Upstreams(api.port, idp.port))
    made.start(calls_config(world))
    yield made
    made.stop()


@pytest.mark.parametrize(("content_type", "spelling"), SPELLINGS, ids=[str(n) for n in range(len(SPELLINGS))])
def test_a_revocation_in_any_spelling_is_one(content_type, spelling, calls_gateway, server: Server, client: str):
    token = server.grants()
    assert granted(calls_gateway, client) == token
    server.grants()
    assert granted(calls_gateway, client) == token, "kept"
    body = spelling.replace("TOK", token)
    assert revoke(calls_gateway, client, body.encode("latin-1"), content_type).status == 200
    for _ in range(6):
        assert granted(calls_gateway, client) != token


def test_an_escaped_token_is_the_same_token(calls_gateway, server: Server, client: str):
    token = server.grants(f"a+b/c=={next(_numbers)}")
    assert granted(calls_gateway, client) == token
    server.grants()
    assert revoke(calls_gateway, client, form(token=token)).status == 200
    assert granted(calls_gateway, client) != token
    # Not escaped, a plus sign is read as a space by most, and as itself by some.
    token = server.grants(f"a+b/c=={next(_numbers)}")
    assert granted(calls_gateway, client, scope="plus") == token
    server.grants()
    assert revoke(calls_gateway, client, f"token={token}").status == 200
    assert granted(calls_gateway, client, scope="plus") != token


@pytest.mark.parametrize("body", [b"", b"x=1", b"\x1f\x8b\x08\x00\x01\x02", b"token=", b'{"token":1}'])
def test_what_can_not_be_read_is_not_answered_as_done(body, calls_gateway, server: Server, client: str):
    before = calls_gateway.metrics().get(UNREAD)
    answer = revoke(calls_gateway, client, body)
    assert answer.status == 503 and int(answer.header("retry-after")) >= 1, answer
    # Kong can put nothing in the place of an empty body.
    assert kind() != "envoy" or answer.json()["error"] == "temporarily_unavailable"
    assert calls_gateway.metrics().get(UNREAD) == before + 1


def test_a_refusal_of_the_server_stays_its_own(calls_gateway, server: Server, client: str):
    server.revokes(400)
    assert revoke(calls_gateway, client, "x=1").status == 400
    assert revoke(calls_gateway, client, "token=t").status == 400


def test_a_yes_without_content_is_a_yes(calls_gateway, server: Server, client: str):
    token = server.grants()
    assert granted(calls_gateway, client) == token
    server.grants()
    server.idp.document(REVOCATION_PATH, "", {}, 204)
    assert revoke(calls_gateway, client, form(token=token)).status == 204
    assert granted(calls_gateway, client) != token


def test_a_body_over_the_limit_never_ends_in_a_yes(calls_gateway, server: Server, client: str):
    token = server.grants()
    assert granted(calls_gateway, client) == token
    assert revoke(calls_gateway, client, form(token=token, padding="x" * 9000)).status == 413


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_no_other_method_goes_to_the_revocation_path(method, start_gateway, world: World, server: Server):
    gateway = start_gateway(config(endpoint(jitter=0), rules=[{"match": {"path_prefix": "/"}, "access": "public"}]))
    assert request(gateway.base_url + REVOCATION_PATH + "?token=t", method).status == 403
    assert request(gateway.base_url + "/elsewhere", method).status == 200


def test_shadow_mode_changes_no_answer(start_gateway, world: World, server: Server, client: str):
    gateway = start_gateway({**calls_config(world), "mode": "shadow"})
    for body in (b"x=1", b"", b"token=t"):
        assert revoke(gateway, client, body).status == 200


@pytest.mark.only("envoy", "kong-host")
def test_made_up_tokens_take_no_room_from_real_ones(start_gateway, world: World, server: Server):
    gateway = start_gateway(calls_config(world))
    made_up = 3_000
    connection = lambda: http.client.HTTPConnection(urlsplit(gateway.base_url).netloc, timeout=30)  # noqa: E731
    header = json.dumps({"alg": "ES256"})
    import base64

    def flood(part: int) -> set[int]:
        line, found = connection(), set()
        for n in range(made_up // 4):
            segment = lambda text: base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()  # noqa: E731
            jwt = f"{segment(header)}.{segment(json.dumps({'iss': 'x', 'jti': f'{part}.{n}', 'exp': int(time.time()) + 10**6}))}.{'A' * 86}"
            line.request("POST", REVOCATION_PATH, form(token=jwt if n % 2 else f"made-up-{part}-{n}"), token_headers("c0001"))
            answer = line.getresponse()
            answer.read()
            found.add(answer.status)
        return found

    with ThreadPoolExecutor(4) as pool:
        assert set().union(*pool.map(flood, range(4))) == {200}
    for _ in range(100):
        one = f"c{next(_clients):04}" if next(_clients) < 1100 else "c1100"
        token = server.grants()
        scope = f"s{next(_numbers)}"
        assert granted(gateway, one, scope=scope) == token
        server.grants()
        assert revoke(gateway, one, form(token=token)).status == 200
        assert granted(gateway, one, scope=scope) != token
    assert gateway.metrics().get(NOT_KEPT) == 0


# ---- tokens whose key isn't known yet -----------------------------------------------------------------------------


def test_a_token_that_is_revoked_before_its_key_is_known(start_gateway, world: World, server: Server, client: str):
    key = Key("ES256", "revoked-1")
    serve_keys(world, key)
    body = claims(OWN, exp=int(time.time()) + 30 * 86_400)
    token, again = key.token(body), key.token(body)
    assert token != again, "the same claims, signed twice"
    gateway = start_gateway(api_config(world))
    assert revoke(gateway, client, form(token=token)).status == 200
    for spelling in (token, twin(token), again):
        assert statuses(gateway, spelling) == {401}
    assert statuses(gateway, key.token(claims(OWN))) == {200}


def test_a_token_whose_key_can_not_be_had_is_remembered_in_each_spelling(start_gateway, world: World, server: Server, client: str):
    key = Key("ES256", "revoked-2")
    token = key.token(claims(OWN, exp=int(time.time()) + 30 * 86_400))
    world.idp.fault("/own-keys", "status", status=500)
    gateway = start_gateway(api_config(world))
    assert revoke(gateway, client, form(token=token)).status == 200
    serve_keys(world, key)
    world.idp.heal()
    wait_until(lambda: status(gateway, key.token(claims(OWN))) == 200, 45, "the keys", every=0.3)
    for spelling in (token, twin(token)):
        assert statuses(gateway, spelling) == {401}


def test_a_looked_up_credential_is_fetched_before_its_token_is_revoked(start_gateway, world: World, server: Server, client: str):
    legacy = {"name": "legacy", "issuer": "*", "algorithms": ["HS256"],
              "credentials": {"lookup": {"uri": f"{world.idp.issuer}/jwts/{{key}}", "allow_http": True, "cluster": "kong_admin"}}}
    gateway = start_gateway(api_config(world, issuers=[legacy]))
    body = claims("device-9", audience=None, exp=int(time.time()) + 30 * 86_400)
    token = world.looked_up.token(body, {"alg": "HS256", "typ": "JWT"})
    # The same id in other words: only who knows the credential can tell that it is one.
    other = world.looked_up.token({**body, "more": 1}, {"alg": "HS256", "typ": "JWT"})
    assert revoke(gateway, client, form(token=token)).status == 200
    assert statuses(gateway, token) == statuses(gateway, other) == {401}


# ---- what the token endpoint hands out ----------------------------------------------------------------------------


def handed_out(gateway: Gateway, client: str, times: int = 8, **more) -> set[str]:
    return {granted(gateway, client, **more) for _ in range(times)}


def test_a_listed_token_is_not_handed_out(start_gateway, world: World, server: Server, client: str):
    key = Key("RS256", "handed-1")
    serve_keys(world, key)
    feed = {"sequence": 1, "revoked": []}
    publish = lambda: world.idp.document("/handed.json", json.dumps(feed))  # noqa: E731
    publish()
    body = claims(OWN)
    token = server.grants(key.token(body))
    gateway = start_gateway(api_config(world, revocation={"feeds": [
        {"uri": world.idp.issuer + "/handed.json", "cluster": "idp", "allow_http": True, "every_s": 1}]}))
    assert granted(gateway, client) == token and status(gateway, token) == 200
    fresh = server.grants(key.token(claims(OWN)))
    assert handed_out(gateway, client) == {token}
    feed.update(sequence=2, revoked=[{"iss": OWN, "jti": body["jti"]}])
    publish()
    wait_until(lambda: statuses(gateway, token) == {401}, 30, "the feed", every=0.2)
    assert handed_out(gateway, client) == {fresh}
    world.idp.document("/handed.json", None)


def test_a_token_whose_key_is_gone_is_not_handed_out(start_gateway, world: World, server: Server, client: str):
    old, new = Key("RS256", "handed-2"), Key("RS256", "handed-3")
    serve_keys(world, old)
    token = server.grants(old.token(claims(OWN)))
    gateway = start_gateway(api_config(world))
    assert granted(gateway, client) == token and status(gateway, token) == 200
    fresh = server.grants(new.token(claims(OWN)))
    assert handed_out(gateway, client) == {token}
    serve_keys(world, new)
    wait_until(lambda: statuses(gateway, token) == {401}, 30, "the new keys", every=0.2)
    assert handed_out(gateway, client) == {fresh}
    assert statuses(gateway, fresh) == {200}


def test_a_token_that_introspection_finds_inactive_is_not_handed_out(start_gateway, world: World, server: Server, client: str):
    key = Key("RS256", "handed-4")
    serve_keys(world, key)
    world.idp.document("/introspected", '{"active":true}')
    token = server.grants(key.token(claims(OWN)))
    gateway = start_gateway(api_config(world,
        rules=[{"match": {"path_prefix": "/orders"}, "introspect": True}],
        introspection={"uri": world.idp.issuer + "/introspected", "allow_http": True, "cluster": "idp", "client_id": "g",
                       "client_secret": {"env": "GATEWAY_SECRET"}, "ttl_s_max": 1, "negative_ttl_s": 1}))
    assert granted(gateway, client) == token and status(gateway, token) == 200
    fresh = server.grants(key.token(claims(OWN)))
    assert handed_out(gateway, client) == {token}
    world.idp.document("/introspected", '{"active":false}')
    wait_until(lambda: status(gateway, token) == 401, 20, "the introspection", every=0.2)
    # What was found stays found, however short the answer itself is kept.
    time.sleep(1.5)
    assert handed_out(gateway, client) == {fresh}
    world.idp.document("/introspected", None)


def test_a_token_that_was_revoked_in_another_spelling_is_not_handed_out(start_gateway, world: World, server: Server, client: str):
    key = Key("ES256", "handed-5")
    serve_keys(world, key)
    gateway = start_gateway(api_config(world))
    token = server.grants(key.token(claims(OWN)))
    assert granted(gateway, client) == token
    fresh = server.grants(key.token(claims(OWN)))
    assert handed_out(gateway, client) == {token}
    assert revoke(gateway, client, form(token=twin(token))).status == 200
    assert handed_out(gateway, client) == {fresh}


def test_an_answer_that_was_asked_for_afresh_replaces_the_kept_one(calls_gateway, server: Server, client: str):
    first = server.grants()
    assert granted(calls_gateway, client) == first
    second = server.grants()
    assert handed_out(calls_gateway, client) == {first}
    assert granted(calls_gateway, client, headers={"cache-control": "no-cache"}) == second
    server.grants()
    assert handed_out(calls_gateway, client) == {second}
    # What must not be stored isn't (RFC 9111, section 5.2.1.5).
    third = server.grants()
    assert granted(calls_gateway, client, headers={"cache-control": "no-store"}) == third
    server.grants()
    assert third not in handed_out(calls_gateway, client)


def test_a_refused_secret_takes_its_other_answers_along(calls_gateway, server: Server, client: str):
    other = f"c{next(_clients):04}"
    token = server.grants()
    scopes = ("a", "b", "c d")
    for one in (client, other):
        assert {granted(calls_gateway, one, scope=scope) for scope in scopes} == {token}
    by_body = lambda: request(calls_gateway.base_url + TOKEN_PATH, "POST", {"content-type": FORM},  # noqa: E731
        form(grant_type="client_credentials", client_id=client, client_secret=secret_of(client)))
    assert by_body().json()["access_token"] == token
    server.refuses()
    assert call(calls_gateway.base_url, client, scope="new").status == 401
    for scope in scopes:
        for _ in range(4):
            assert call(calls_gateway.base_url, client, scope=scope).status == 401
    assert by_body().status == 401
    # Others' are good still, and a wrong secret takes nothing of the right one.
    assert call(calls_gateway.base_url, other, secret="wrong", scope="a").status == 401
    assert {granted(calls_gateway, other, scope=scope) for scope in scopes} == {token}
