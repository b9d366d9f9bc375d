"""`docs/secure.md` names every secret, and those of which a new one takes a restart."""

import re
from pathlib import Path

from worker.bootstrap.live import _LIVE
from worker.settings import SECRETS

PAGE = (Path(__file__).parents[2] / "docs" / "secure.md").read_text("utf-8")


def named(text: str) -> set[str]:
    return {name.lower() for name in re.findall(r"`([A-Z_]+)`", text)}


def test_every_secret_is_among_those_that_may_stand_in_a_file() -> None:
    assert set(SECRETS) - named(PAGE.partition("## Put secrets into files")[2].partition("\n## ")[0]) == set()


def test_those_that_take_a_restart_are_told_and_no_others() -> None:
    [told] = re.findall(r"A new\n(.+?) takes a restart\.", PAGE, re.DOTALL)
    assert named(told) == set(SECRETS) - _LIVE
