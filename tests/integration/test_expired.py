"""Expired tokens at full speed: none is accepted, and the control shows that expiry alone is why."""

import time

from http_client import request
from load import load, token_file
from tokens import Key, claims
from world import OWN, World

COUNT = 10_000


def expired_tokens(key: Key) -> list[str]:
    """Tokens that are right in everything but their end, half an hour ago; all differ."""
    now = int(time.time())
    return [key.token(claims(OWN, subject=f"user-{n}", iat=now - 3600, exp=now - 1800)) for n in range(COUNT)]


def test_no_expired_token_is_accepted(start_gateway, world: World, directory):
    tokens = token_file(directory / "expired-tokens", expired_tokens(world.ed))
    gateway = start_gateway(world.config(issuers=[world.own_issuer()], rules=[]))
    world.api.reset()
    report = load(gateway.base_url + "/orders", connections=50, requests=COUNT, tokens=tokens)
    assert report["statuses"] == {"401": COUNT}, report
    assert world.api.seen() == 0
    assert gateway.metrics()["herdgate.bearer.rejected.expired"] == COUNT
    gateway.stop()

    ignored = start_gateway(world.config(issuers=[world.own_issuer(exp="ignored")], rules=[]))
    report = load(ignored.base_url + "/orders", connections=50, requests=COUNT, tokens=tokens)
    assert report["statuses"] == {"200": COUNT}, report
    assert "accepted after their own exp" in ignored.log()


def test_an_optional_exp_holds_where_it_is_there(start_gateway, world: World):
    gateway = start_gateway(world.config(issuers=[world.own_issuer(exp="optional", lifetime_s_max=600)], rules=[]))
    now = int(time.time())

    def status(**more) -> int:
        token = world.rsa.token(claims(OWN, **more))
        return request(gateway.base_url + "/orders", headers={"authorization": f"Bearer {token}"}).status

    assert status(iat=now - 60, exp=now - 45) == 401
    assert status(iat=None, exp=now - 45) == 401
    assert status(iat=now - 60, exp=now + 60) == 200
    # One that is longer than the bound doesn't prolong it, and none is none.
    assert status(iat=now - 60, exp=now + 86400) == 200
    assert status(iat=now - 700, exp=now + 86400) == 401
    assert status(iat=now - 60, exp=None) == 200
    assert status(iat=now - 700, exp=None) == 401


def test_a_cached_token_stops_at_its_end(start_gateway, world: World):
    gateway = start_gateway(world.config(issuers=[world.own_issuer(leeway_s=0)], rules=[]))
    token = world.own(lifetime_s=3)
    end = time.time() + 6
    seen = []
    while time.time() < end:
        status = request(gateway.base_url + "/orders", headers={"authorization": f"Bearer {token}"}).status
        seen.append((time.time(), status))
        time.sleep(0.05)
    assert seen[0][1] == 200 and seen[-1][1] == 401
    switches = [after for (_, before), (_, after) in zip(seen, seen[1:]) if before != after]
    assert switches == [401], "once refused, it stays refused"
