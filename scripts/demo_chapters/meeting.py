"""Two gateways whose limits meet in a real Redis, behind a real Webdis."""

import time
from contextlib import ExitStack

from envoy import Envoy, plain_cluster
from gateway import Upstreams
from http_client import request
from webdis import AUTHORIZATION, BIN, Redis, Webdis

from .setting import config
from .stage import LeftOut, Scene, told

QUOTA, EACH, EVERY_MS = 40, 30, 200
# What may come to one gateway before it hears of the other.
OVER = 5


def meeting(scene: Scene) -> None:
    missing = [name for name in ("redis-server", "webdis") if not (BIN / name).exists()]
    if missing:
        raise LeftOut(f"{' and '.join(missing)} (make setup says why)")
    with ExitStack() as running:
        folder = scene.directory / "redis"
        folder.mkdir()
        redis = started(running, Redis(folder))
        webdis = started(running, Webdis(folder, redis))
        print(
            f"\n  ... two more gateways, of two workers each: {QUOTA} requests a month for each"
            " subscriber"
        )
        gateways = [start_gateway(scene, running, webdis, number) for number in (1, 2)]
        together(scene, gateways)
        alone(scene, gateways, webdis)


def started(running: ExitStack, server):
    running.callback(server.stop)
    return server


def start_gateway(scene: Scene, running: ExitStack, webdis: Webdis, number: int) -> Envoy:
    upstreams = Upstreams(scene.api.port, scene.idp.port)
    cluster = plain_cluster("webdis", webdis.port)
    folder = scene.directory / f"gateway-{number}"
    gateway = started(running, Envoy(folder, upstreams, extra_clusters=[cluster]))
    where = {"uri": webdis.uri, "allow_http": True, "cluster": "webdis", "every_ms": EVERY_MS}
    quota = {
        "name": "monthly",
        "key": ["header:x-subscriber"],
        "quota": QUOTA,
        "window": "month",
        "sync": {**where, "timeout_ms": 1000, "headers": {"authorization": AUTHORIZATION}},
    }
    rules = [{"match": {"path_prefix": "/feed"}, "access": "public", "limits": ["monthly"]}]
    changed = {"rules": rules, "rate_limits": [quota], "token_endpoints": [], "issuers": []}
    gateway.start(config(scene, **changed))
    return gateway


def asked(gateway: Envoy, subscriber: str, times: int, pause_s: float) -> list[int]:
    statuses = []
    for _ in range(times):
        answer = request(gateway.base_url + "/feed", headers={"x-subscriber": subscriber})
        statuses.append(answer.status)
        time.sleep(pause_s)
    return statuses


def together(scene: Scene, gateways: list[Envoy]) -> None:
    first = asked(gateways[0], "reader-1", EACH, 0)
    time.sleep(1)
    second = asked(gateways[1], "reader-1", EACH, 0.1)
    admitted = (first + second).count(200)
    told(
        f"{EACH} x GET /feed at the first gateway, then {EACH} x at the second   x-subscriber:"
        " reader-1",
        f"{first.count(200)} x 200 and {first.count(429)} x 429, then {second.count(200)} x 200 and"
        f" {second.count(429)} x 429",
        f"Admitted together: {admitted}, of a quota of {QUOTA}. Each gateway tells Redis in the"
        f" background what it has charged, every {EVERY_MS} ms, and hears what all have. No request"
        " waits for it.",
    )
    scene.expect(
        QUOTA <= admitted <= QUOTA + OVER, f"about {QUOTA} admitted requests, got {admitted}"
    )


def alone(scene: Scene, gateways: list[Envoy], webdis: Webdis) -> None:
    print("  ... Webdis stops, so the gateways can't reach Redis")
    webdis.stop()
    statuses = [asked(gateway, "reader-2", 5, 0) for gateway in gateways]
    told(
        "5 x GET /feed at each gateway   x-subscriber: reader-2",
        f"{sum(one.count(200) for one in statuses)} x 200",
        "Without Redis each gateway goes on by itself; what it couldn't tell goes with a later"
        " call.",
    )
    scene.expect(statuses == [[200] * 5] * len(gateways), f"200 throughout, got {statuses}")
