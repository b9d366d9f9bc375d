"""The command line's own ways: it names what was probably meant, and its help fits into narrow terminals."""

import argparse
import sys
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Final

Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it

EXAMPLE: Final = "Example:  "
"""How a paragraph begins whose lines are left as they are, so that they can be copied."""


class Formatter(argparse.HelpFormatter):
    """Breaks lines as argparse does, and keeps paragraphs apart."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.split("\n\n")
        return "\n\n".join(
            each if each.startswith(EXAMPLE) else super(Formatter, self)._fill_text(each, width, indent)
            for each in paragraphs
        )


class Parser(argparse.ArgumentParser):
    """Where a command, an option or a choice is unknown, the complaint names the nearest one. So do subcommands'."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": Formatter, **options})
        self._given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Leave nothing to the parser above: only this one knows which options there are here."""
        self._given = sys.argv[1:] if args is None else list(args)
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            # argparse hands a command's leftovers up, and would complain with the usage of the parser at the top.
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown

    def error(self, message: str) -> Any:
        """Say what is wrong, also which options may be misspelt, and exit with 2."""
        super().error(message + "".join(_meant(each, self._option_string_actions) for each in self._misspelt()))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as exc:
            exc.message += _meant(str(value), [str(each) for each in action.choices or ()])
            raise

    def _misspelt(self) -> Iterable[str]:
        """Options that were given and that there are not; of what follows a command this parser knows nothing."""
        for each in self._given:
            if each == "--" or (self._subparsers is not None and not each.startswith("-")):
                return
            name = each.partition("=")[0]
            # By their beginnings: argparse takes an option shortened.
            if name.startswith("--") and not any(known.startswith(name) for known in self._option_string_actions):
                yield name


def _meant(given: str, known: Collection[str]) -> str:
    nearest = get_close_matches(given, known, n=1)
    return f"; did you mean {nearest[0]} by {given}?" if nearest else ""


def add(commands: "Commands[Any]", name: str, what: str, *, more: str = "") -> argparse.ArgumentParser:
    """Add a command. `what` stands in the list of commands and, as a sentence before `more`, in the command's help."""
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=what, description=f"{what[0].upper()}{what[1:]}.", epilog=more or None
    )
    return added


def below(parser: argparse.ArgumentParser) -> "Commands[Any]":
    """Have a parser take one of several commands."""
    return parser.add_subparsers(required=True, metavar="command", title="commands")
