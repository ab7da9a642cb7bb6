"""Why a request got its answer: access log, properties, debug headers, the gateway's log."""

import hashlib
import hmac
import re
import subprocess
import time

import pytest

from access_log import start_logged
from gateway import SECRETS
from http_client import form, request
from kong import Around
from processes import PATIENCE_S, ROOT, wait_until
from servers import token_headers
from tokens import forged
from token_calls import endpoint
from world import OWN, World


def bearer(token: str) -> dict:
    return {"authorization": f"Bearer {token}"}


def config(world: World, **more) -> dict:
    rules = [
        {"match": {"path_prefix": "/health"}, "access": "public"},
        {"match": {"path_prefix": "/orders"}, "name": "orders", "issuers": ["own"], "scopes_all": ["orders:read"]},
        {"match": {"path_prefix": "/limited"}, "issuers": ["own"], "limits": ["one"]},
        {"match": {"path_prefix": "/watched"}, "issuers": ["own"], "shadow": True, "name": "watched"},
    ]
    limits = [{"name": "one", "key": ["subject"], "limit": 1, "per_s": 3600}]
    return {
        "issuers": [world.own_issuer()],
        "rules": rules,
        "rate_limits": limits,
        "shared": {"secret": {"env": "HERDGATE_SECRET"}},
        **more,
    }


def subject_of(iss: str, sub: str) -> str:
    """The hash of a subject as the code has it, computed here by itself: HMAC over fields with their lengths."""

    def fields(*parts: bytes) -> bytes:
        return b"".join(len(part).to_bytes(8, "little") + part for part in parts)

    salt = hashlib.sha256(b"herdgate subjects in logs v1").digest()
    key = hmac.new(salt, b"herdgate host key v1" + SECRETS["HERDGATE_SECRET"].encode(), "sha256").digest()
    return hmac.new(key, fields(b"subject", iss.encode(), sub.encode()), "sha256").hexdigest()[:16]


@pytest.mark.only("envoy")
def test_the_access_log_says_why(start_gateway, world: World):
    gateway = start_gateway(None)
    log = start_logged(gateway, config(world))
    user = subject_of(OWN, "user-1")
    expired, good = world.own(lifetime_s=-120), world.own(subject="user-1")
    poor = world.own(scope="other")
    cases = [
        ("/orders", {}, 401, ("herdgate_no_token", "refused", "no_token", "orders", None, None)),
        ("/orders", bearer(expired), 401, ("herdgate_expired", "refused", "expired", "orders", "own", user)),
        ("/orders", bearer(forged(good)), 401, ("herdgate_bad_signature", "refused", "bad_signature", "orders", "own", user)),
        ("/orders", bearer(poor), 403, ("herdgate_scope", "refused", "scope", "orders", "own", user)),
        ("/orders", bearer("a.b.c"), 401, ("herdgate_malformed", "refused", "malformed", "orders", None, None)),
        ("/nowhere", bearer(good), 403, ("herdgate_no_rule", "refused", "no_rule", None, "own", user)),
        ("/orders//x", bearer(good), 400, ("herdgate_bad_path", "refused", "bad_path", None, "own", user)),
        ("/watched", bearer(expired), 200, ("via_upstream", "shadowed", "expired", "watched", "own", user)),
        ("/watched", bearer(good), 200, ("via_upstream", None, None, None, None, None)),
        ("/health", {}, 200, ("via_upstream", None, None, None, None, None)),
        ("/limited", bearer(good), 200, ("via_upstream", None, None, None, None, None)),
        ("/limited", bearer(good), 429, ("herdgate_limited", "refused", "limited", "2", "own", user)),
        ("/orders", bearer(good), 200, ("via_upstream", None, None, None, None, None)),
    ]
    for path, headers, status, says in cases:
        assert request(gateway.base_url + path, headers=headers).status == status, path
        assert log.next_says() == says, path


@pytest.mark.only("envoy")
def test_access_log_all_tells_of_every_request(start_gateway, world: World):
    gateway = start_gateway(None)
    log = start_logged(gateway, config(world, access_log="all"))
    good, user = world.own(), subject_of(OWN, "user-1")
    cases = [
        ("/orders", bearer(good), ("via_upstream", "accepted", None, "orders", "own", user)),
        ("/orders", bearer(good), ("via_upstream", "accepted", None, "orders", "own", user)),
        ("/health", bearer(good), ("via_upstream", "anonymous", None, "0", None, None)),
        ("/watched", bearer(good), ("via_upstream", "accepted", None, "watched", "own", user)),
        ("/watched", {}, ("via_upstream", "shadowed", "no_token", "watched", None, None)),
        ("/orders", {}, ("herdgate_no_token", "refused", "no_token", "orders", None, None)),
    ]
    for path, headers, says in cases:
        request(gateway.base_url + path, headers=headers)
        assert log.next_says() == says, path


@pytest.mark.only("envoy")
def test_shadow_mode_tells_and_changes_nothing(start_gateway, world: World):
    gateway = start_gateway(None)
    log = start_logged(gateway, config(world, mode="shadow"))
    assert request(gateway.base_url + "/orders", headers=bearer("a.b.c")).status == 200
    assert log.next_says() == ("via_upstream", "shadowed", "malformed", "orders", None, None)
    assert [request(gateway.base_url + "/limited", headers=bearer(world.own())).status for _ in range(2)] == [200, 200]
    assert log.next_says()[1] is None
    assert log.next_says()[:3] == ("via_upstream", "shadowed", "limited")


@pytest.mark.only("envoy")
def test_a_503_says_why(start_gateway, world: World):
    world.idp.fault("/jwks", "status", status=500)
    gateway = start_gateway(None)
    log = start_logged(gateway, config(world, issuers=[world.idp_issuer()], rules=[]))
    assert request(gateway.base_url + "/", headers=bearer(world.idp.token())).status == 503
    assert log.next_says()[:3] == ("herdgate_keys_unavailable", "refused", "keys_unavailable")


@pytest.mark.only("envoy")
def test_token_answers_say_where_they_come_from(start_gateway, world: World, counted):
    gateway = start_gateway(None)
    log = start_logged(gateway, config(world, issuers=[], rules=[], token_endpoints=[endpoint(limits=["one"])], rate_limits=[{"name": "one", "key": ["address"], "limit": 1000, "per_s": 1}]))

    def call(secret: str | None = None) -> int:
        body = form(grant_type="client_credentials", scope="orders:read", resource="https://orders.example")
        return request(gateway.base_url + "/oauth2/token", "POST", token_headers("client-b", secret), body).status

    assert [call(), call(), call("wrong"), call("wrong")] == [200, 200, 401, 401]
    assert [log.next()["details"] for _ in range(4)] == ["via_upstream", "herdgate_token_hit", "via_upstream", "herdgate_token_negative"]
    large = "grant_type=client_credentials&scope=" + "x" * 9000
    assert request(gateway.base_url + "/oauth2/token", "POST", token_headers("client-b"), large).status == 413
    assert log.next_says() == ("herdgate_body_too_large", "refused", "body_too_large", None, None, None)


def test_debug_headers_name_reason_and_rule(start_gateway, world: World):
    gateway = start_gateway(config(world, debug_headers=True))
    answer = request(gateway.base_url + "/orders", headers=bearer(world.own(lifetime_s=-120)))
    assert (answer.header("herdgate-reason"), answer.header("herdgate-rule")) == ("expired", "orders")
    answer = request(gateway.base_url + "/limited")
    assert (answer.header("herdgate-reason"), answer.header("herdgate-rule")) == ("no_token", "2")
    answer = request(gateway.base_url + "/nowhere")
    assert (answer.header("herdgate-reason"), answer.header("herdgate-rule")) == ("no_rule", None)
    good = request(gateway.base_url + "/orders", headers=bearer(world.own()))
    assert good.status == 200 and good.header("herdgate-reason") is None


def test_without_debug_headers_a_refusal_tells_the_client_nothing_more(start_gateway, world: World):
    gateway = start_gateway(config(world))
    answer = request(gateway.base_url + "/orders")
    assert not [name for name, _ in answer.headers if name.lower().startswith("herdgate")]


LINE = re.compile(r"herdgate: (refused|shadowed) (.*)")


def refusal_lines(gateway) -> list[str]:
    return [found[1] + " " + found[2] for found in map(LINE.search, gateway.log().splitlines()) if found]


def test_refusals_are_lines_of_the_log(start_gateway, world: World):
    gateway = start_gateway(config(world, log={"refusals": True, "per_s": 100}))
    user = subject_of(OWN, "user-1")
    expired = world.own(lifetime_s=-120)
    request(gateway.base_url + "/orders", headers={**bearer(expired), "x-request-id": "3f0c8a52-7e0b-4a51-9d7e-6a1b2c3d4e5f"})
    request(gateway.base_url + "/watched")
    request(gateway.base_url + "/orders", headers=bearer(world.own()))
    lines = wait_until(lambda: (found := refusal_lines(gateway)) and len(found) >= 2 and found, PATIENCE_S, "two lines")
    assert len(lines) == 2
    assert lines[0].startswith(f"refused reason=expired rule=orders issuer=own subject={user} request=")
    assert lines[1].startswith("shadowed reason=no_token rule=watched request=")
    for part in expired.split("."):
        assert part not in gateway.log()
    assert "user-1" not in gateway.log() and "orders:read" not in gateway.log()


def test_a_request_id_is_no_way_into_the_log(start_gateway, world: World):
    gateway = start_gateway(config(world, log={"refusals": True, "per_s": 100}))
    token = world.own(lifetime_s=-120)
    for number, id in enumerate([token, token[:60], "x" * 200, 'a" fake="1', "a b", "%0aherdgate: refused"]):
        request(gateway.base_url + "/orders", headers={"x-request-id": id})
        lines = wait_until(lambda: len(found := refusal_lines(gateway)) > number and found, PATIENCE_S, "a line")  # noqa: B023
        assert id not in lines[-1]
    assert "eyJ" not in gateway.log() and "fake" not in gateway.log()


def test_lines_about_refusals_have_a_bound_for_all_workers(start_gateway, world: World):
    gateway = start_gateway(config(world, log={"refusals": True, "per_s": 5}))
    began = time.monotonic()
    for _ in range(200):
        assert request(gateway.base_url + "/orders").status == 401
    took = time.monotonic() - began
    lines = refusal_lines(gateway)
    assert 5 <= len(lines) <= 5 + 5 * (took + 1), (len(lines), took)
    assert wait_until(lambda: gateway.metrics().get("herdgate.log.left_out"), PATIENCE_S, "a count") == 200 - len(lines)
    time.sleep(0.5)
    for _ in range(10):
        request(gateway.base_url + "/orders")
    assert any("lines before it left out" in line for line in refusal_lines(gateway))


def test_without_the_option_refusals_are_no_lines(start_gateway, world: World):
    gateway = start_gateway(config(world))
    request(gateway.base_url + "/orders")
    assert refusal_lines(gateway) == []


def test_the_module_names_its_version(filter_wasm):
    """As a section of its own, so that a file tells it without a host."""
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    script = "import {Module} from './scripts/wasm_module.mjs'; import fs from 'node:fs'; console.log(new Module(fs.readFileSync(process.argv[1])).customText('herdgate.version'))"
    said = subprocess.run(["node", "--input-type=module", "-e", script, filter_wasm], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.strip() == version


def test_the_first_line_names_the_version(start_gateway, world: World):
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    gateway = start_gateway(config(world))
    ours = [line for line in gateway.log().splitlines() if "herdgate" in line.lower() and ".py" not in line]
    first = next(line for line in ours if re.search(r"herdgate[: ]", line))
    assert f"herdgate {version} starts" in first, ours[:5]


@pytest.mark.only("kong-host")
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "not-declared"])
def test_kong_is_told_by_variables_that_it_declares(declared, start_gateway, world: World):
    """After a callout too (the issuer's keys are fetched by the request itself); where nothing is declared nothing happens."""
    issuers = [world.own_issuer(), world.idp_issuer()]
    rules = [*config(world)["rules"], {"match": {"path_prefix": "/idp"}, "issuers": ["idp"], "claims": {"role": ["x"]}, "name": "role"}]
    gateway = start_gateway(config(world, issuers=issuers, rules=rules, access_log="all"), around=Around(nginx_guard=declared))
    expired, idp = world.own(lifetime_s=-120), world.idp.token()
    asked = [("/orders", expired), ("/idp", idp), ("/watched", expired), ("/orders", world.own())]
    statuses = [request(gateway.base_url + path, headers=bearer(token)).status for path, token in asked]
    assert statuses[0] == 401 and statuses[2:] == [200, 200]
    user = subject_of(OWN, "user-1")
    expected = [
        {"verdict": "refused", "reason": "expired", "rule": "orders", "issuer": "own", "subject": user},
        {"verdict": "refused", "reason": "claim", "rule": "role", "issuer": "idp"},
        {"verdict": "shadowed", "reason": "expired", "rule": "watched", "issuer": "own", "subject": user},
        {"verdict": "accepted", "rule": "orders", "issuer": "own", "subject": user},
    ]
    lines = request(f"{gateway.admin}/host").json()["access"][-len(asked):]
    for line, wanted in zip(lines, expected if declared else [{}] * len(asked), strict=True):
        assert {name: line.get(name) for name in wanted} == wanted
        assert declared or not line
