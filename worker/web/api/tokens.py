"""The setting API_TOKENS: who may do what, by token."""

import re
from collections.abc import Mapping
from typing import Any, cast

from worker.domain import foreign
from worker.domain.conversations import Limits
from worker.domain.people import RIGHTS, ROLES, Person, Right
from worker.errors import Permanent
from worker.web.api.grants import Grant, token_digest

SHORTEST_TOKEN = 16
LONGEST_NAME = 200
ISSUER = "token"
"""Vouches for the persons whom the setting names."""
_FORM = 'API_TOKENS: must be JSON such as {"<token>": "operator", "<token>": {"role": "viewer", "tenants": ["a"]}}'
_KNOWN = {"role", "rights", "name", "tenants", "instances"}


def read(setting: str) -> list[Grant]:
    """Read JSON, token → role, or → `role`, `rights`, `name`, `tenants`, `instances`; nothing if it is empty.

    Raises Permanent, without a token. null among the tenants stands for conversations without tenant.
    """
    if not setting.strip():
        return []
    try:
        tokens = foreign.read(setting, pairs=_without_twins)
    except ValueError:
        raise Permanent(_FORM) from None  # the cause quotes the tokens
    if not isinstance(tokens, dict) or not tokens:
        raise Permanent(_FORM)
    return [_grant(token, said) for token, said in tokens.items()]


def _grant(token: str, said: Any) -> Grant:
    if isinstance(said, str):
        said = {"role": said}
    if not isinstance(said, Mapping) or said.keys() - _KNOWN:
        raise Permanent(_FORM)
    if not re.fullmatch(rf"[!-~]{{{SHORTEST_TOKEN},}}", token):
        raise Permanent(f"API_TOKENS: each token must have {SHORTEST_TOKEN} or more ASCII characters, and no blanks")
    rights, person = _rights(said), _person(said)
    tenants, instances = (_names(said, name) for name in ("tenants", "instances"))
    if instances is not None and None in instances:
        raise Permanent("API_TOKENS: instances must be a list of ids")
    return Grant(token_digest(token), rights, Limits(tenants, cast("frozenset[str] | None", instances)), person)


def _rights(said: Mapping[str, Any]) -> frozenset[Right]:
    """Put together what the role and the list of rights allow; one of them has to be there."""
    if "role" in said and not isinstance(said["role"], str):
        raise Permanent(_FORM)
    if "rights" in said and not isinstance(said["rights"], list):
        raise Permanent("API_TOKENS: rights must be a list")
    named = [said[each] for each in ("role", "rights") if each in said]
    if not named:
        raise Permanent("API_TOKENS: each token must have a role or rights")
    try:
        return frozenset[Right]().union(*map(rights_of, named))
    except ValueError as exc:
        raise Permanent(f"API_TOKENS: {exc}") from None


def rights_of(said: Any) -> frozenset[Right]:
    """Read the name of a role, or a list of rights. Raises ValueError, which quotes nothing."""
    if isinstance(said, list):
        if not said or not all(isinstance(each, str) and each in RIGHTS for each in said):
            raise ValueError(f"rights must be some of: {', '.join(sorted(RIGHTS))}")
        return frozenset(said)
    if not isinstance(said, str) or said not in ROLES:
        raise ValueError(f"a role must be one of: {', '.join(ROLES)}")
    return ROLES[said]


def _person(said: Mapping[str, Any]) -> Person | None:
    if "name" not in said:
        return None
    name = said["name"]
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise Permanent(f"API_TOKENS: a name must have 1 to {LONGEST_NAME} characters that can be printed")
    return Person(ISSUER, name.strip(), name.strip())


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of a name that stands twice the last one would count: a viewer's token could turn into an operator's unseen.
    read = dict(pairs)
    if len(read) < len(pairs):
        raise Permanent("API_TOKENS: a token or a name in its rights stands there twice; keep one of them")
    return read


def _names(said: Mapping[str, Any], name: str) -> frozenset[str | None] | None:
    if name not in said:
        return None
    value = said[name]
    if not isinstance(value, list) or not all(each is None or isinstance(each, str) for each in value):
        raise Permanent(f"API_TOKENS: {name} must be a list of names")
    return frozenset(value)
