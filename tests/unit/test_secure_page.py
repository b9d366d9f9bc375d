"""`docs/secure.md` names every secret, those of which a new one takes a restart, and what may be deployed."""

import re
from pathlib import Path

from worker.bootstrap.live import _LIVE
from worker.domain.deployed import Grant, allowed
from worker.settings import SECRETS

PAGE = (Path(__file__).parents[2] / "docs" / "secure.md").read_text("utf-8")


def named(text: str) -> set[str]:
    return {name.lower() for name in re.findall(r"`([A-Z_]+)`", text)}


def test_every_secret_is_among_those_that_may_stand_in_a_file() -> None:
    assert set(SECRETS) - named(PAGE.partition("## Put secrets into files")[2].partition("\n## ")[0]) == set()


def test_those_that_take_a_restart_are_told_and_no_others() -> None:
    [told] = re.findall(r"A new\n(.+?) takes a restart\.", PAGE, re.DOTALL)
    assert named(told) == set(SECRETS) - _LIVE


def test_what_deployed_assistants_may_ask_is_shown_as_it_is_read() -> None:
    [said] = re.findall(r"^DEPLOYED_ASSISTANTS='(.+)'$", PAGE, re.MULTILINE)
    assert allowed(said).grants == (
        Grant("openai", "gpt-5-mini", 2000, "offers", "acme"),
        Grant("openai", "gpt-5-mini", 500, None, ""),
    )
