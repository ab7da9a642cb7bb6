"""Tokens and proofs that count once: one of all who bring one passes, on whichever workers they come at once."""

import http.client
import os
import random
import time
from urllib.parse import urlsplit

import pytest

from gateway import kind
from http_client import request
from proofs import ORIGIN, Prover
from world import World

TRIES = 10_000 if kind() == "envoy" else 1_000
CONNECTIONS = 16


def config(world: World, **more) -> dict:
    return world.config(issuers=[world.own_issuer(dpop={"origins": [ORIGIN]}), REGISTER], rules=[], **more)


REGISTER = {"name": "register", "issuer": "mobile-app", "algorithms": ["HS256"], "keys": [{"secret": {"env": "REGISTER_SECRET"}}]}


# One owner has half of a slot's eight cells at most: with this many slots, ten thousand ids fill none.
IDS_MAX = 4_000_000 if kind() == "envoy" else 262_144


def once(world: World, **more) -> dict:
    return config(world, replay={"issuers": ["register"], "ids_max": IDS_MAX, **more})


def fresh(world: World, **more) -> str:
    return world.hmac(world.register, "mobile-app", **more)


def settled(gateway):
    """`iat` has whole seconds: what was made in the second in which a gateway started may have been seen before it."""
    time.sleep(1.1)
    return gateway


def get(gateway, token: str):
    return request(gateway.base_url + "/orders", headers={"authorization": f"Bearer {token}"})


def test_a_token_passes_once(start_gateway, world: World, api):
    gateway = settled(start_gateway(once(world)))
    api.reset()
    for _ in range(5):
        token = fresh(world)
        answers = [get(gateway, token) for _ in range(6)]
        assert [answer.status for answer in answers] == [200] + [401] * 5
        assert 'error="invalid_token"' in answers[1].header("www-authenticate")
    assert api.seen() == 5
    assert gateway.metrics()["herdgate.bearer.rejected.replayed"] == 25
    assert [get(gateway, token).status for token in (fresh(world, jti=None), fresh(world, jti=""))] == [401, 401]
    # Other issuers' tokens are used as often as one likes.
    token = world.own()
    assert [get(gateway, token).status for _ in range(6)] == [200] * 6


def test_a_restart_forgets_none(start_gateway, world: World):
    gateway = settled(start_gateway(once(world)))
    used, unused = fresh(world), fresh(world)
    assert get(gateway, used).status == 200
    gateway.stop()
    gateway.start(once(world))
    # Nobody knows any more which of the two was used.
    assert [get(gateway, token).status for token in (used, unused) * 4] == [401] * 8
    assert get(settled(gateway), fresh(world)).status == 200


def test_another_configuration_forgets_none(start_gateway, world: World):
    gateway = settled(start_gateway(once(world)))
    used = fresh(world)
    assert get(gateway, used).status == 200
    gateway.reload({**once(world), "realm": "another"})
    assert [get(gateway, used).status for _ in range(4)] == [401] * 4
    assert get(gateway, fresh(world)).status == 200


def test_gateways_that_meet_nowhere_are_refused_at_load(start_gateway, world: World):
    gateway = start_gateway(None)
    log = gateway.refuses(once(world, scope="gateways"))
    assert "replay.scope" in log and "no object gateways says where they meet" in log


class Pair:
    """Connections to a gateway, so many that both workers have some."""

    def __init__(self, gateway):
        address = urlsplit(gateway.base_url).netloc
        self.connections = [http.client.HTTPConnection(address, timeout=30) for _ in range(CONNECTIONS)]
        self.random = random.Random(1)
        for connection in self.connections:
            connection.connect()

    def both(self, headers: dict) -> list[int]:
        """The statuses of one request, sent on two connections at once."""
        two = self.random.sample(self.connections, 2)
        for connection in two:
            connection.request("GET", "/orders", headers=headers)
        statuses = []
        for connection in two:
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        return sorted(statuses)


@pytest.mark.parametrize("what", ["token", "proof"])
def test_two_at_once(start_gateway, world: World, what):
    """The same request on two connections at the same time: exactly one passes, ten thousand times."""
    gateway = settled(start_gateway(once(world)))
    pair, client = Pair(gateway), Prover("EdDSA")
    bound = world.own(cnf=client.cnf)
    tries = TRIES if what == "token" or os.environ.get("HERDGATE_FULL") == "1" else TRIES // 5
    if kind() == "envoy":
        stats = request(f"{gateway.admin}/stats?filter=listener.*worker_.*downstream_cx_active").body.decode()
        assert [int(line.rpartition(" ")[2]) > 0 for line in stats.splitlines() if "admin" not in line] == [True, True], stats
    wrong = {}
    for _ in range(tries):
        headers = {"authorization": f"Bearer {fresh(world)}"} if what == "token" else client.headers(bound)
        statuses = pair.both(headers)
        if statuses != [200, 401]:
            wrong[tuple(statuses)] = wrong.get(tuple(statuses), 0) + 1
    assert not wrong
    assert gateway.metrics()["herdgate.bearer.rejected.replayed"] == tries
