"""The variable beside a result that says how the answer came about, read back. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain import foreign
from worker.domain.tasks import META_SUFFIX
from worker.domain.threads import OPENAI

LONGEST = 2000
"""Characters; a text that has more was not written by us."""
_FACTS = ({"assistant", "version", "thread"}, {"thread", "too_long"})


@dataclass(frozen=True, slots=True)
class Meta:
    """What a meta variable tells. Whoever may write variables may have written it: nothing here is certain."""

    thread: str = ""
    response: str = ""
    fields: tuple[str, ...] = ()
    provider: str = OPENAI


def read(name: str, value: Any) -> Meta | None:
    """Read a variable; None for what is no meta variable of ours, whatever else it is. `name` may be any variable's.

    Processes have variables of their own that end in _meta.
    """
    if not name.endswith(META_SUFFIX) or not isinstance(value, str) or len(value) > LONGEST:
        return None
    try:
        said = foreign.read(value)
    except ValueError:
        return None
    if not isinstance(said, dict) or not any(said.keys() >= facts for facts in _FACTS):
        return None
    fields = said.get("fields")
    names = [each for each in fields if isinstance(each, str)] if isinstance(fields, list) else []
    provider = _text(said, "provider") or OPENAI
    return Meta(_text(said, "thread"), _text(said, "response"), tuple(dict.fromkeys(names)), provider)


def is_broken(name: str, value: Any) -> bool:
    """Whether this may have been meant as a meta variable of ours, and cannot be read as JSON at all."""
    if not name.endswith(META_SUFFIX) or not isinstance(value, str) or not value.startswith(("{", "[")):
        return False
    try:
        foreign.read(value)
    except ValueError:
        return True
    return False


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    return value if isinstance(value, str) else ""
