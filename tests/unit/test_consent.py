"""Commands that cannot be undone are asked about on a terminal, and want --yes where there is none."""

import io
import sys
from argparse import Namespace

import pytest

from worker.errors import Permanent
from worker.operate.commands import consent, threads

NO, YES = Namespace(yes=False), Namespace(yes=True)
WHAT = "This erases everything."


class Terminal(io.StringIO):
    """A person who has typed something."""

    def isatty(self) -> bool:
        return True


def test_without_a_terminal_only_the_option_says_that_it_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))

    consent.ask(YES, WHAT)
    with pytest.raises(Permanent, match=r"This erases everything\. This cannot be undone\. .* add --yes"):
        consent.ask(NO, WHAT)


@pytest.mark.parametrize(
    ("typed", "meant"), [("y\n", True), ("YES\n", True), ("\n", False), ("no\n", False), ("", False)]
)
def test_on_a_terminal_a_person_is_asked(
    typed: str, meant: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))

    if meant:
        consent.ask(NO, WHAT)
    else:
        with pytest.raises(Permanent, match=r"Nothing was done\."):
            consent.ask(NO, WHAT)
    asked = capsys.readouterr()
    assert (asked.out, asked.err) == ("", "This erases everything. This cannot be undone. Go on? [y/N] ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"instance": "i-7"}, "of instance i-7 at the provider"),
        ({"business_key": "order-7", "results": True}, "and results of business key order-7"),
        ({"person": "ann"}, "what ann said to assistants"),
        ({"ended": True}, "RETENTION_THREADS_DAYS"),
        ({"ended": True, "accept_absent": True}, "what this key cannot see"),
        ({"open": True, "accept_absent": True}, "what this key cannot see"),
        ({"ended": True, "dry_run": True}, None),
        ({"open": True}, None),
        ({"receipt": "4711"}, None),
    ],
)
def test_erasing_says_what_it_does_and_looking_asks_nothing(given: dict[str, object], said: str | None) -> None:
    names = ("instance", "business_key", "person", "ended", "open", "receipt", "dry_run", "accept_absent", "results")
    undone = threads._undone(Namespace(**(dict.fromkeys(names) | given)))

    assert (said in undone) if said else (undone == "")
