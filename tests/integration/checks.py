"""What every answer must satisfy, and how a case of the table is sent and judged."""

from cases import Case
from gateway import kind
from http_client import Answer, request
from world import World


def resolve(value, world: World):
    return value(world) if callable(value) else value


def send(base: str, case: Case, world: World, token: str | None = None) -> Answer:
    """Sends the case's request, with the case's token unless one is given."""
    headers = [(name, resolve(value, world)) for name, value in case.headers]
    token = token or case.token(world)
    if token is not None:
        headers.append(("authorization", f"Bearer {token}"))
    return request(base + case.path, case.method, headers)


def is_of_the_host(answer: Answer) -> bool:
    """nginx in Kong refuses some requests before any filter sees them, in a form of Kong's own."""
    return kind() == "kong" and answer.status == 400 and b"request_id" in answer.body


def judge(case: Case, answer: Answer) -> None:
    shown = f"{answer.status} {answer.header('www-authenticate')} {answer.body[:300]!r}"
    assert answer.status == case.status, shown
    if case.status == 200:
        for name, value in case.sees.items():
            seen = answer.json()["headers"].get(name)
            assert (seen is not None) if value is True else seen == [value], f"{name}: {seen}"
        return
    if is_of_the_host(answer):
        return
    challenge = answer.header("www-authenticate")
    if case.status == 401:
        assert challenge and challenge.startswith('Bearer realm="api"'), shown
    if case.error == "":
        assert "error" not in challenge, shown
    elif case.error:
        assert f'error="{case.error}"' in challenge, shown
        assert answer.json()["error"] == case.error, shown
    if case.scope:
        assert f'scope="{case.scope}"' in challenge, shown
    assert "\n" not in (challenge or ""), "one challenge only"


def stable(answer: Answer) -> tuple:
    """The parts of an answer that may not differ between two sendings of one request."""
    body = b"" if is_of_the_host(answer) else answer.body
    return answer.status, answer.header("www-authenticate"), answer.header("content-type"), body


def hidden(answer: Answer, token: str) -> None:
    """No part of the token that is long enough to mean anything comes back in a refusal."""
    text = answer.body.decode("latin-1") + "".join(f"{name}: {value}\n" for name, value in answer.headers)
    for segment in token.split("."):
        for start in range(0, max(len(segment) - 15, 0), 16):
            assert segment[start : start + 16] not in text, "a piece of the token is in the answer"


def absent(values: list | None) -> bool:
    """The API saw no such header. Kong's host cannot remove one: there it is blank."""
    return values is None or (kind() != "envoy" and values == [""])
