"""Expired tokens at full speed: none is accepted, and the control shows that expiry alone is why."""

import time

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

    optional = start_gateway(world.config(issuers=[world.own_issuer(exp="optional")], rules=[]))
    report = load(optional.base_url + "/orders", connections=50, requests=COUNT, tokens=tokens)
    assert report["statuses"] == {"200": COUNT}, report


def test_a_cached_token_stops_at_its_end(start_gateway, world: World):
    from http_client import request

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
