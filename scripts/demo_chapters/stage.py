"""What every chapter stands on: the servers, how answers are shown, and the walk itself."""

import json
import os
import sys
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from envoy import Envoy
from http_client import Answer, request
from servers import Api, Idp
from tokens import Key

from .setting import config

ESCAPES = {"bold": "1", "green": "32", "yellow": "33", "red": "31"}


class Unexpected(Exception):
    """An answer that isn't what it should be; the text says which."""


class LeftOut(Exception):
    """Something that only one chapter needs isn't there; the text says what."""


@dataclass
class Scene:
    """Everything that runs during the demo."""

    directory: Path
    idp: Idp
    api: Api
    gateway: Envoy
    mobile: Key
    # Answers that were as they should be.
    checks: int = field(default=0)

    def reload(self, what: str = "", **changed) -> None:
        """Puts the demo's configuration in force, but for what is changed of it."""
        if what:
            print(f"\n  ... a new configuration: {what}")
        self.gateway.reload(config(self, **changed))

    def show(
        self,
        title: str,
        why: str,
        token: str | None = None,
        path: str = "/orders/1",
        expect: int = 200,
        base: str | None = None,
    ) -> Answer:
        """Sends one request through the gateway and prints it, the answer and the reason."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = request((base or self.gateway.base_url) + path, "GET", headers)
        challenge = answer.header("www-authenticate")
        print(f"\n  {title}")
        print(
            f"    > GET {path}" + (f"   Authorization: Bearer {shortened(token)}" if token else "")
        )
        print(f"    < {answer.status}" + (f"   WWW-Authenticate: {challenge}" if challenge else ""))
        print(f"      {described(answer)}")
        said(why)
        self.expect(answer.status == expect, f"{expect} for '{title}', got {answer.status}")
        return answer

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            raise Unexpected(
                f"expected {what}; the gateway's log ends with:\n{self.gateway.log()[-2000:]}"
            )
        self.checks += 1


def said(why: str) -> None:
    print(textwrap.fill(why, 100, initial_indent="    = ", subsequent_indent="      "))


def told(request_line: str, answer_line: str, why: str) -> None:
    """Prints what was sent, what came back, and why."""
    for sign, line in [(">", request_line), ("<", answer_line)]:
        print(textwrap.fill(line, 120, initial_indent=f"    {sign} ", subsequent_indent="      "))
    said(why)
    print()


def shortened(token: str) -> str:
    return f"{token[:12]}...{token[-6:]}"


def described(answer: Answer) -> str:
    """The API's echo in few words, or the refusal's body."""
    if answer.status != 200:
        return answer.body.decode(errors="replace").strip()
    seen = answer.json()
    who = {
        name: value[0]
        for name, value in seen["headers"].items()
        if name.startswith(("x-user", "x-consumer"))
    }
    return f"the API saw {seen['method']} {seen['path']} with {json.dumps(who)}"


def coloured(stream=sys.stdout) -> bool:
    """Whether what is printed there goes to a terminal whose user wants colour (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str, on: bool) -> str:
    return f"\033[{ESCAPES[colour]}m{text}\033[0m" if on else text


@dataclass
class Outcome:
    passed: int = 0
    # What was left out, and for want of what.
    left_out: list[str] = field(default_factory=list)
    # The title of the chapter that failed.
    failed: str | None = None


def walk(scene: Scene, chapters: list[tuple[str, Callable[[Scene], None]]], on: bool) -> Outcome:
    """All chapters, up to one that fails."""
    outcome = Outcome()
    for number, (title, chapter) in enumerate(chapters, 1):
        print("\n" + painted(f"{number}. {title}", "bold", on), flush=True)
        try:
            if number > 1:
                scene.reload()
            chapter(scene)
        except LeftOut as what:
            outcome.left_out.append(f"'{title}', for want of {what}")
            print(f"\n  left out, for want of {what}")
        except Unexpected as what:
            print(f"\ndemo: {what}")
            outcome.failed = title
            break
        except Exception:
            print("\n" + traceback.format_exc(), end="")
            outcome.failed = title
            break
        else:
            outcome.passed += 1
    return outcome


def closing(outcome: Outcome, checks: int, seconds: float, on: bool) -> str:
    """The last line: what passed, what was left out and why, or what failed."""
    chapters = "1 chapter" if outcome.passed == 1 else f"{outcome.passed} chapters"
    counted = f"{chapters} passed, {checks} answers as they should be, in {seconds:.0f} s"
    if outcome.failed:
        return painted(f"demo: FAILED in '{outcome.failed}' (see above); {counted}.", "red", on)
    if outcome.left_out:
        return painted(f"demo: {counted}; left out: {'; '.join(outcome.left_out)}.", "yellow", on)
    return painted(f"demo: all {counted}.", "green", on)
