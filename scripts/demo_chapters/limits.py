"""Limits of one gateway: of token calls, and of each device's requests."""

import time

from token_calls import TOKEN_PATH, Caller
from http_client import request

from .bearer import device_token
from .stage import Scene, told

TOKEN_LIMIT, PER_DEVICE, CALLS = 20, 5, 60


def limits(scene: Scene) -> None:
    scene.reload(
        f"{TOKEN_LIMIT} token calls a second for each client and address", token_limit=TOKEN_LIMIT
    )
    caller = Caller(scene.gateway.base_url)
    answers = [caller.call("client-a") for _ in range(CALLS)]
    refused = [answer for answer in answers if answer.status == 429]
    admitted = [answer.status for answer in answers[:TOKEN_LIMIT]]
    scene.expect(
        bool(refused) and admitted == [200] * TOKEN_LIMIT,
        f"429 from the call {TOKEN_LIMIT + 1} of a second on, got"
        f" {[answer.status for answer in answers]}",
    )
    first = refused[0]
    names = ("Retry-After", "RateLimit", "RateLimit-Policy")
    shown = "   ".join(f"{name}: {first.header(name.lower())}" for name in names)
    told(
        f"{CALLS} x POST {TOKEN_PATH} within a second",
        f"{CALLS - len(refused)} x 200, {len(refused)} x 429   {shown}   {first.body.decode()}",
        "Check and charge are one compare-and-set in memory that all workers share. A client id is"
        " not authenticated when it arrives, so the limit counts it together with the address:"
        " nobody can lock another's client out.",
    )
    time.sleep(int(first.header("retry-after")))
    again = caller.call("client-a")
    told(
        "After as many seconds as Retry-After said",
        f"{again.status}",
        "Who obeys is not refused again.",
    )
    scene.expect(again.status == 200, "200 after Retry-After")
    device = device_token(scene.mobile, "device-7")
    for _ in range(PER_DEVICE):
        headers = {"authorization": f"Bearer {device}"}
        request(scene.gateway.base_url + "/v1/content", headers=headers)
    scene.show(
        "The sixth request of one device within a minute",
        "The limit's key is the full issuer of the verified token: each device has its own.",
        device,
        path="/v1/content",
        expect=429,
    )
    scene.show(
        "Another device",
        "It has a count of its own.",
        device_token(scene.mobile, "device-8"),
        path="/v1/content",
    )
