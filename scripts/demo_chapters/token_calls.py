"""A token endpoint that repeat callers no longer reach."""

import time

from http_client import form, request
from servers import token_headers
from token_calls import TOKEN_PATH, Caller, access_tokens, at_once, call, sources

from .stage import Scene, told

CALLS, AT_ONCE = 1000, 200


def token_calls(scene: Scene) -> None:
    loop(scene)
    herd(scene)
    what_is_not_shared(scene)


def loop(scene: Scene) -> None:
    idp = scene.idp
    idp.reset_counts()
    print(
        f"\n  A client that fetches a new token for each of its calls: a loop of {CALLS:,} token"
        " calls"
    )
    caller, started, answers = Caller(scene.gateway.base_url), time.monotonic(), []
    for number in range(CALLS):
        if number == CALLS // 2:
            time.sleep(1)
        answers.append(caller.call("client-a"))
    lifetimes = [answer.json()["expires_in"] for answer in answers]
    half = CALLS // 2
    told(
        f"{CALLS} x POST {TOKEN_PATH}   Authorization: Basic (client-a)",
        f"{CALLS} x 200 in {time.monotonic() - started:.1f} s; herdgate-cache: {sources(answers)};"
        f" expires_in {lifetimes[0]}, ... {lifetimes[half - 1]}, (a second later)"
        f" {lifetimes[half]}, ... {lifetimes[-1]}",
        f"Calls that reached the server: {idp.requests(TOKEN_PATH)}. The token is used for half of"
        " its lifetime; expires_in shrinks with its age, and the first answer's was shortened a"
        " little, by another share for each client, so that clients which start together do not"
        " end together.",
    )
    scene.expect(idp.requests(TOKEN_PATH) == 1, "one call to the server")


def herd(scene: Scene) -> None:
    scene.idp.reset_counts()
    answers = at_once(scene.gateway.base_url, AT_ONCE, "client-b")
    tokens = access_tokens(answers)
    told(
        f"{AT_ONCE} x POST {TOKEN_PATH}, all at the same time, of a client that has no token yet",
        f"{len(answers)} x 200, {len(tokens)} token; herdgate-cache: {sources(answers)}",
        f"Calls that reached the server: {scene.idp.requests(TOKEN_PATH)}. One leads, the others"
        " wait for its answer, over both workers.",
    )
    scene.expect(
        len(tokens) == 1 == scene.idp.requests(TOKEN_PATH), "one token of one call to the server"
    )


def what_is_not_shared(scene: Scene) -> None:
    base = scene.gateway.base_url
    wrong = call(base, "client-a", secret="wrong")
    told(
        "The same client with a wrong secret",
        f"{wrong.status} {wrong.body.decode()}",
        "The secret is part of the name under which an answer is kept, so a wrong one never finds a"
        " token: this is the server's own refusal.",
    )
    scene.expect(wrong.status == 401, "401 for a wrong secret")
    fresh = call(base, "client-a", headers={"cache-control": "no-cache"})
    told(
        "A client that wants a fresh token: Cache-Control: no-cache",
        f"{fresh.status}, herdgate-cache: {fresh.header('herdgate-cache')}",
        "It goes to the server. Limits hold for it all the same.",
    )
    scene.expect(fresh.header("herdgate-cache") == "bypass", "a call that bypasses the cache")
    opaque = form(grant_type="client_credentials", scope="orders:read")
    kept = call(base, "client-a", body=opaque).json()["access_token"]
    revoked = request(base + "/oauth2/revoke", "POST", token_headers("client-a"), form(token=kept))
    after = call(base, "client-a", body=opaque)
    told(
        "POST /oauth2/revoke, then a token call",
        f"{revoked.status}, then 200 with another token, herdgate-cache:"
        f" {after.header('herdgate-cache')}",
        "The revocation went through to the server, and its success took the kept answer away, on"
        " every worker.",
    )
    scene.expect(
        revoked.status == 200 and after.json()["access_token"] != kept,
        "a new token after a revocation",
    )
