"""A HUP of a real Kong empties its zones while it goes on: what was used once before it is refused after it."""

import pytest

from gateway import kind
from proofs import Prover
from test_dpop import get as get_with
from test_replay import fresh, get, once, settled
from world import World

pytestmark = pytest.mark.only("kong", "kong-host")


def emptied(gateway, config: dict) -> None:
    """The test host has no HUP; its end empties the zones as well."""
    if kind() == "kong":
        gateway.hup()
    else:
        gateway.stop()
        gateway.start(config)


def test_what_was_used_before_a_hup_is_refused_after_it(start_gateway, world: World):
    configured = once(world)
    gateway = settled(start_gateway(configured))
    client = Prover()
    bound = world.own(cnf=client.cnf)
    token, unused, proof = fresh(world), fresh(world), client.headers(bound)
    assert get(gateway, token).status == 200
    assert get_with(gateway, proof).status == 200
    assert get(gateway, token).status == 401 and get_with(gateway, proof).status == 401
    emptied(gateway, configured)
    for _ in range(4):
        # Of tokens that were made before it nobody knows any more which were used.
        assert [get(gateway, one).status for one in (token, unused)] == [401, 401]
        answer = get_with(gateway, proof)
        assert answer.status == 401 and 'error="use_dpop_nonce"' in answer.header("www-authenticate")
    # A client that does as it is told is let in at once, and any other in the next second.
    assert get_with(gateway, client.headers(bound, nonce=answer.header("dpop-nonce"))).status == 200
    settled(gateway)
    assert get(gateway, fresh(world)).status == 200
    assert get_with(gateway, client.headers(bound)).status == 200
    assert gateway.deaths() == 0
