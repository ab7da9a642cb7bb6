"""Settings that change the whole filter: dialects of refusals, token sources, preflight, shadow mode, defaults."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from checks import absent
from http_client import request
from tokens import forged
from world import World


def bearer(token: str) -> dict:
    return {"authorization": f"Bearer {token}"}


# (what is sent, status in the dialects kong and problem)
REFUSALS = [
    ("no token", lambda w: {}, "/orders", 401, "Unauthorized"),
    ("bad signature", lambda w: bearer(forged(w.own())), "/orders", 401, "Invalid signature"),
    ("expired", lambda w: bearer(w.own(lifetime_s=-120)), "/orders", 401, "token expired"),
    ("scope", lambda w: bearer(w.own(scope="x")), "/orders", 403, "You cannot consume this service"),
    ("no rule", lambda w: bearer(w.own()), "/nothing", 403, "You cannot consume this service"),
]


def test_kong_dialect(start_gateway, world: World):
    gateway = start_gateway(world.config(errors="kong"))
    for name, headers, path, status, message in REFUSALS:
        answer = request(gateway.base_url + path, headers=headers(world))
        assert answer.status == status, name
        assert message in answer.json().values(), name


def test_problem_dialect(start_gateway, world: World):
    gateway = start_gateway(world.config(errors="problem"))
    for name, headers, path, status, _ in REFUSALS:
        answer = request(gateway.base_url + path, headers=headers(world))
        assert answer.status == status, name
        assert answer.header("content-type") == "application/problem+json", name
        problem = answer.json()
        assert problem["status"] == status and problem["title"], name


def test_preflight_checked(start_gateway, world: World):
    gateway = start_gateway(world.config(cors_preflight="check"))
    headers = [("origin", "https://app.example"), ("access-control-request-method", "GET")]
    assert request(gateway.base_url + "/orders", "OPTIONS", headers).status == 401
    assert request(gateway.base_url + "/orders", "OPTIONS", [*headers, *bearer(world.own()).items()]).status == 200


def test_other_token_sources(start_gateway, world: World):
    gateway = start_gateway(world.config(bearer={"sources": [{"header": "x-token"}, {"cookie": "at"}, {"query": "jwt"}]}))
    token, base = world.own(), gateway.base_url + "/orders"
    assert request(base, headers={"x-token": token}).status == 200
    assert request(base, headers={"cookie": f"a=b; at={token}; c=d"}).status == 200
    assert request(f"{base}?a=1&jwt={token}").status == 200
    assert request(base, headers=bearer(token)).status == 401, "a source that is not configured"
    assert request(base, headers={"x-token": token, "cookie": f"at={token}"}).status == 400
    assert request(f"{base}?jwt={token}&jwt={token}").status == 400


def test_token_removed_and_payload_forwarded(start_gateway, world: World):
    forward = {"claims": {"sub": "x-user"}, "token": False, "payload_header": "x-payload"}
    gateway = start_gateway(world.config(issuers=[world.own_issuer(forward=forward)], rules=[]))
    token = world.own()
    for _ in range(2):
        seen = request(gateway.base_url + "/anything", headers=[*bearer(token).items(), ("x-payload", "forged")]).json()["headers"]
        assert absent(seen.get("authorization"))
        assert seen["x-payload"] == [token.split(".")[1]]


def test_without_rules_any_valid_token_passes(start_gateway, world: World):
    gateway = start_gateway(world.config(issuers=[world.own_issuer()], rules=[]))
    assert request(gateway.base_url + "/anything", headers=bearer(world.own())).status == 200
    assert request(gateway.base_url + "/anything", headers=bearer(world.own(world.stranger))).status == 401
    assert request(gateway.base_url + "/anything").status == 401


def test_shadow_mode_refuses_nothing_and_counts(start_gateway, world: World):
    gateway = start_gateway(world.config(mode="shadow"))
    answer = request(gateway.base_url + "/orders", headers=[*bearer(world.own(lifetime_s=-120)).items(), ("x-user", "forged")])
    assert answer.status == 200
    # What came goes on as it came: shadow mode changes nothing.
    assert answer.json()["headers"].get("x-user") == ["forged"]
    assert gateway.metrics().get("herdgate.bearer.shadowed.expired") == 1


@pytest.mark.only("envoy")
def test_shadow_mode_answers_nothing_where_keys_never_come(start_gateway, world: World):
    world.idp.fault("/jwks", "hang")
    gateway = start_gateway(world.config(mode="shadow", issuers=[world.idp_issuer(timeout_ms=700)], rules=[]), workers=1)
    headers = {**bearer(world.idp.token()), "x-user": "forged"}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: request(gateway.base_url + "/orders", headers=headers), range(6)))
    assert {answer.status for answer in answers} == {200}
    assert {tuple(answer.json()["headers"]["x-user"]) for answer in answers} == {("forged",)}
    assert gateway.metrics().get("herdgate.bearer.shadowed.keys_unavailable") == 6


def test_lenient_paths(start_gateway, world: World):
    gateway = start_gateway(world.config(paths="lenient"))
    assert request(gateway.base_url + "/orders//1", headers=bearer(world.own())).status == 200


@pytest.mark.only("envoy")
def test_prometheus_labels(start_gateway, world: World):
    gateway = start_gateway(world.config())
    request(gateway.base_url + "/orders")
    lines = [line for line in gateway.prometheus().splitlines() if 'reason="no_token"' in line]
    # One: a process that has served another test still has its counters, at zero.
    assert any(line.startswith("herdgate_bearer_rejected") and line.endswith(" 1") for line in lines), lines


def test_reload_takes_effect_on_both_workers(start_gateway, world: World):
    gateway = start_gateway(world.config(issuers=[world.own_issuer()], rules=[]))
    token = world.own()
    assert request(gateway.base_url + "/x", headers=bearer(token)).status == 200
    gateway.reload(world.config(issuers=[world.own_issuer(audiences=["special-api"])], rules=[]))
    # A token that the old configuration had verified and cached is not good under the new one.
    assert {request(gateway.base_url + "/x", headers=bearer(token)).status for _ in range(20)} == {401}
    special = world.own(audience="special-api")
    assert {request(gateway.base_url + "/x", headers=bearer(special)).status for _ in range(20)} == {200}
