"""`assistant-worker completion`: what a shell has to know to complete commands and options."""

import argparse
from typing import Final

import shtab

_PATHS: Final = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}
"""What is completed as paths are, by how it is called in a command's help."""


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Write the script that the shell is to run at its start; `shell` is one that shtab knows."""
    _mark_paths(parser)
    return shtab.complete(parser, shell)


def _mark_paths(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to look at a parser
        if isinstance(action.metavar, str) and action.metavar in _PATHS:
            action.complete = _PATHS[action.metavar]  # type: ignore[attr-defined] # where shtab looks for it
        elif isinstance(action.choices, dict):
            for each in action.choices.values():
                _mark_paths(each)
