"""How the demo ends: one line that says what passed, in colour where somebody sees it.

The demo as a whole is a step of scripts/test.
"""

import io
import sys

import pytest

from processes import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from demo_chapters.stage import LeftOut, Unexpected, closing, coloured, walk  # noqa: E402

# Nothing here depends on the gateway, so once is enough.
pytestmark = pytest.mark.only("envoy")


@pytest.fixture(autouse=True)
def healthy():
    """In place of the servers' fixture: no server is needed here."""


class Scene:
    """As much of a scene as the walk itself asks for."""

    reloads = 0

    def reload(self) -> None:
        self.reloads += 1


def passes(_scene) -> None:
    pass


def lacks(_scene) -> None:
    raise LeftOut("redis-server")


def differs(_scene) -> None:
    raise Unexpected("expected 200")


def breaks(_scene) -> None:
    raise TimeoutError("Envoy's start did not happen")


@pytest.mark.parametrize(
    "chapters, line",
    [
        ([passes, passes], "demo: all 2 chapters passed, 7 answers as they should be, in 12 s."),
        (
            [passes, lacks, passes],
            (
                "demo: 2 chapters passed, 7 answers as they should be, in 12 s; left out: '1', for"
                " want of redis-server."
            ),
        ),
        (
            [passes, differs, passes],
            (
                "demo: FAILED in '1' (see above); 1 chapter passed, 7 answers as they should be, in"
                " 12 s."
            ),
        ),
        (
            [breaks, passes],
            (
                "demo: FAILED in '0' (see above); 0 chapters passed, 7 answers as they should be,"
                " in 12 s."
            ),
        ),
    ],
    ids=["all", "left out", "different", "broken"],
)
def test_the_last_line_says_what_passed(chapters, line, capsys):
    outcome = walk(
        Scene(), [(str(number), chapter) for number, chapter in enumerate(chapters)], False
    )
    assert closing(outcome, 7, 12.3, False) == line
    assert "\033" not in capsys.readouterr().out


def test_what_went_wrong_is_shown_above(capsys):
    walk(Scene(), [("one", differs)], False)
    walk(Scene(), [("two", breaks)], False)
    shown = capsys.readouterr().out
    assert "demo: expected 200" in shown and "Envoy's start did not happen" in shown


def test_each_chapter_begins_with_the_first_configuration():
    scene = Scene()
    walk(scene, [(name, passes) for name in "abc"], False)
    assert scene.reloads == 2


@pytest.mark.parametrize(
    "terminal, environment, colour",
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colour_is_for_terminals_whose_user_wants_it(terminal, environment, colour, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    assert coloured(stream) == colour
    outcome = walk(Scene(), [("one", passes)], colour)
    assert closing(outcome, 1, 1, colour).startswith("\033[32mdemo: all" if colour else "demo: all")
