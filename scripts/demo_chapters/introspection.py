"""Tokens that verify, and of which the server says itself whether they still count."""

import time

from .setting import rules
from .stage import Scene, told
from http_client import request

PATH, TIMES, TTL_S = "/told", 20, 2


def introspection(scene: Scene) -> None:
    """The real server introspects opaque tokens alone, so a document at it speaks in its place."""
    idp = scene.idp
    endpoint = idp.document(PATH, '{"active": true}')
    asked = [{"match": {"path_prefix": "/payments"}, "issuers": ["idp"], "introspect": True}]
    where = {
        "uri": endpoint,
        "allow_http": True,
        "cluster": "idp",
        "ttl_s_max": TTL_S,
        "negative_ttl_s": TTL_S,
    }
    scene.reload(
        'the rule for /payments has "introspect": true',
        rules=[*asked, *rules()],
        introspection=where,
    )
    idp.reset_counts()
    token = idp.token()
    headers = {"authorization": f"Bearer {token}"}
    answers = [
        request(scene.gateway.base_url + "/payments/1", headers=headers) for _ in range(TIMES)
    ]
    told(
        f"{TIMES} x GET /payments/1   of one good token",
        f"{sum(answer.status == 200 for answer in answers)} x 200",
        f"Questions to the introspection endpoint (RFC 7662): {idp.requests(PATH)}. The answer"
        f" counts for all workers for up to {TTL_S} s; the signature was verified here first.",
    )
    scene.expect(all(answer.status == 200 for answer in answers), f"{TIMES} x 200")
    scene.expect(idp.requests(PATH) < TIMES / 2, "fewer questions than requests")
    print(f"  ... the server ends the session; {TTL_S} s pass")
    idp.document(PATH, '{"active": false}')
    time.sleep(TTL_S + 0.5)
    scene.show(
        "The same token",
        "It hasn't expired and its signature is good, but the server says that it isn't active.",
        token,
        path="/payments/1",
        expect=401,
    )
    scene.show(
        "The same token where no rule asks", "Only /payments is worth a question here.", token
    )
    print("\n  ... the endpoint fails")
    idp.document(PATH, "oops", status=500)
    scene.show(
        "A new token",
        "Not knowing is never taken for a yes, and not for a no either: the client may come back.",
        idp.token(),
        path="/payments/1",
        expect=503,
    )
    idp.document(PATH, None)
