"""What an authorization server tells of sessions takes tokens back."""

import json
import time

from .setting import rules
from .stage import Scene

PATH = "/events"
REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"


def security_events(scene: Scene) -> None:
    """The real server has no such stream, so a document at it speaks in its place."""
    idp = scene.idp
    endpoint = idp.document(PATH, '{"sets": {}}')
    feed = {
        "kind": "ssf",
        "issuer": "idp",
        "audience": "the-gateway",
        "uri": endpoint,
        "allow_http": True,
        "cluster": "idp",
        "every_s": 1,
    }
    reads = lambda: scene.gateway.metrics().get("herdgate.revocation.feed_read")  # noqa: E731
    before = reads()
    scene.reload("a feed of kind ssf", rules=rules(), revocation={"feeds": [feed]})
    wait(lambda: reads() > before)
    token = idp.token()
    scene.show("A good token", "Polled once a second, the stream has said nothing yet.", token)
    now = int(time.time())
    event = {
        "iss": idp.issuer,
        "jti": "event-1",
        "iat": now,
        "aud": "the-gateway",
        "sub_id": {"format": "iss_sub", "iss": idp.issuer, "sub": "client-a"},
        "events": {REVOKED: {"event_timestamp": now}},
    }
    signed = idp.sign(event, {"typ": "secevent+jwt"})
    print("\n  ... the server says that client-a's session was revoked (a signed CAEP event)")
    idp.document(PATH, json.dumps({"sets": {"event-1": signed}}))
    kept = lambda: scene.gateway.metrics().get("herdgate.revocation.set_kept")  # noqa: E731
    wait(lambda: kept() >= 1)
    scene.show(
        "The same token",
        "What was issued to that client before the event is refused, on all workers. The event is"
        " acknowledged with the next poll.",
        token,
        expect=401,
    )
    time.sleep(1.1)
    scene.show("A token that was issued after it", "The client has logged in again.", idp.token())
    idp.document(PATH, None)


def wait(has_come) -> None:
    """Up to ten seconds; what follows shows whether it was in vain."""
    for _ in range(100):
        if has_come():
            return
        time.sleep(0.1)
