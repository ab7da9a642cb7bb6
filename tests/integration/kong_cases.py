"""What the tests of Kong's own ways share: requests at one time, and what reached the API."""

import threading

from http_client import request
from tokens import jwks
from world import World


def bearer(token: str) -> dict:
    return {"authorization": f"Bearer {token}"}


def fetched_keys(world: World, name: str, document: str | None = None) -> dict:
    """A configuration whose one issuer has its keys at an address, so that its first request pauses."""
    world.idp.document(f"/{name}", document or jwks(world.rsa))
    issuer = world.own_issuer(jwks_uri=f"{world.idp.issuer}/{name}", allow_http=True)
    del issuer["keys"]
    return world.config(issuers=[issuer], rules=[])


def together(count: int, send) -> list:
    """The results of so many calls of send(number) at one time."""
    results = [None] * count

    def one(number: int) -> None:
        try:
            results[number] = send(number)
        except OSError as error:
            # A worker that crashed takes its connections along.
            results[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return results


def statuses(results: list) -> set:
    return {getattr(result, "status", type(result).__name__) for result in results}


def seen(world: World, path: str) -> int:
    """How many requests for a path reached the API; the gateway's own start asks for /health."""
    paths = request(f"{world.api.base}/__counts").json()["paths"]
    return sum(count for there, count in paths.items() if there.startswith(path))
