"""The main table: tokens, rules, paths, identity headers, on whichever gateway is under test."""

import pytest

from cases import ABSENT, DEVICES, FORGED, FORWARDED, RESERVED, RESERVED_PLACES, TABLE, TOKENS, Case
from checks import absent, hidden, is_of_the_host, judge, send, stable
from http_client import request


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_case(case: Case, main_gateway, world):
    # Both sendings carry the same bytes: the second meets the caches that the first filled.
    token = case.token(world)
    before = world.api.seen()
    first = send(main_gateway.base_url, case, world, token)
    judge(case, first)
    second = send(main_gateway.base_url, case, world, token)
    judge(case, second)
    if case.status != 200:
        assert stable(second) == stable(first)
        assert world.api.seen() == before, "the API saw a request that was refused"
        hidden(first, token or "")


def test_refusals_are_counted_by_reason(main_gateway, world):
    # Not the paths: some of those the host refuses before the filter sees them.
    for case in [case for case in TOKENS + DEVICES if case.reason]:
        name = f"herdgate.bearer.rejected.{case.reason}"
        before = main_gateway.metrics().get(name, 0)
        if is_of_the_host(send(main_gateway.base_url, case, world)):
            continue
        assert main_gateway.metrics().get(name, 0) == before + 1, case.name


def test_accepted_is_counted(main_gateway, world):
    before = main_gateway.metrics().get("herdgate.bearer.accepted", 0)
    token = world.own()
    for _ in range(10):
        assert request(main_gateway.base_url + "/orders", headers={"authorization": f"Bearer {token}"}).status == 200
    assert main_gateway.metrics()["herdgate.bearer.accepted"] == before + 10


@pytest.mark.parametrize("place", RESERVED_PLACES, ids=lambda place: place[0])
@pytest.mark.parametrize("name", RESERVED)
def test_forged_identity_headers_never_arrive(name, place, main_gateway, world):
    _, token_of, method, path, more = place
    headers = [(name, FORGED), *more]
    if token := token_of(world):
        headers.append(("authorization", f"Bearer {token}"))
    answer = request(main_gateway.base_url + path, method, headers)
    assert answer.status == 200, answer.body
    assert FORGED not in str(answer.json()["headers"])


@pytest.mark.only("envoy")
def test_doubled_identity_headers_never_arrive(main_gateway, world):
    headers = [("x-user", FORGED), ("X-User", FORGED), ("x_user", FORGED), ("authorization", f"Bearer {world.own()}")]
    answer = request(main_gateway.base_url + "/orders", headers=headers)
    assert answer.status == 200
    assert answer.json()["headers"]["x-user"] == ["user-1"]
    assert FORGED not in str(answer.json()["headers"])


@pytest.mark.only("kong-host", "kong")
def test_doubled_identity_headers_are_refused(main_gateway, world):
    headers = [("x-user", FORGED), ("X-User", FORGED), ("authorization", f"Bearer {world.own()}")]
    assert request(main_gateway.base_url + "/orders", headers=headers).status == 400


@pytest.mark.parametrize("claim, header", FORWARDED, ids=lambda value: ascii(value))
def test_forwarded_claim(claim, header, main_gateway, world):
    token = world.own(note=claim, realm={"roles": ["r1", "r2"]})
    for _ in range(2):
        answer = request(main_gateway.base_url + "/orders", headers={"authorization": f"Bearer {token}"})
        assert answer.status == 200, answer.body
        seen = answer.json()["headers"]
        # Node trims blanks around a value, which HTTP allows (RFC 9110, section 5.5).
        assert seen.get("x-note", [""]) == [header.strip()]
        assert seen["x-roles"] == ["r1,r2"]
        assert absent(seen.get("x-admin"))


def test_forwarded_claim_too_long(main_gateway, world):
    """It isn't the token's fault: the header is left out, also one that the client sent, and that is counted."""
    before = main_gateway.metrics().get("herdgate.forward.claim_too_long", 0)
    for note, sees in [("n" * 8193, ABSENT), ("n" * 4000, ["n" * 4000])]:
        headers = {"authorization": f"Bearer {world.own(note=note)}", "x-note": FORGED}
        answer = request(main_gateway.base_url + "/orders", headers=headers)
        assert answer.status == 200, answer.body
        seen = answer.json()["headers"]
        assert seen["x-user"] == ["user-1"]
        assert absent(seen.get("x-note")) if sees is ABSENT else seen["x-note"] == sees
    assert main_gateway.metrics()["herdgate.forward.claim_too_long"] == before + 1


@pytest.mark.only("envoy")
def test_grpc_gets_a_grpc_status(main_gateway):
    answer = request(main_gateway.base_url + "/orders", "POST", {"content-type": "application/grpc"}, b"\0\0\0\0\0")
    assert (answer.status, answer.header("grpc-status")) == (200, "16")


def test_body_passes_whole(main_gateway, world):
    token = world.own(scope="orders:read orders:write")
    answer = request(main_gateway.base_url + "/orders", "POST", {"authorization": f"Bearer {token}"}, b"x" * 5000)
    assert (answer.status, answer.json()["body_bytes"]) == (200, 5000)
