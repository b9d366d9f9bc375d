"""What a person wants to know of the engine before it is worked with: version, clock, and our rights."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from worker.engine.transport import Transport
from worker.errors import EngineDenied

DEFINITION, TASK, INSTANCE = ("process definitions", 6), ("tasks", 7), ("process instances", 8)
DEPLOYMENT = ("deployments", 9)
SPECIFIC = "where the engine has enforceSpecificVariablePermission"
RIGHTS = {
    "find the topics and read the models": (("READ", DEFINITION),),
    "fetch tasks and find the processes that call theirs": (("READ_INSTANCE", DEFINITION), ("READ", INSTANCE)),
    "complete tasks and keep their threads": (("UPDATE_INSTANCE", DEFINITION), ("UPDATE", INSTANCE)),
    "read schemas and assistants deployed with a model, and models that are not in UTF-8": (("READ", DEPLOYMENT),),
    f"read files and lost threads from variables, {SPECIFIC}": (("READ_INSTANCE_VARIABLE", DEFINITION),),
    "look up what was completed, and what has ended": (("READ_HISTORY", DEFINITION),),
    "erase what the history has of conversations": (("DELETE_HISTORY", DEFINITION),),
    f"find what to erase there, {SPECIFIC}": (("READ_HISTORY_VARIABLE", DEFINITION),),
}
"""What we do, and the rights of which one suffices; the engine's numbers of resources are part of its API."""
_GROUPS = "tell which groups persons are in"
OF_PERSONS = {
    "tell what persons may see": (("READ", ("authorizations", 4)),),
    _GROUPS: (("READ", ("groups", 2)),),
    "tell which tenants they are in": (("READ", ("tenants", 11)),),
}
"""The same for API_ENGINE_RIGHTS."""
TO_HAND_OVER = {
    "see user tasks that persons hand something over with": (("READ_TASK", DEFINITION), ("READ", TASK)),
    "complete these user tasks": (("UPDATE_TASK", DEFINITION), ("UPDATE", TASK)),
    _GROUPS: OF_PERSONS[_GROUPS],
}
"""The same where persons hand something to processes. By messages that takes no more than tasks of ours do."""
Rights = Mapping[str, tuple[tuple[str, tuple[str, int]], ...]]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """`clock_ahead` is the engine's clock minus ours, good to a second or two; None if it does not say.

    `lacking` names what we may not do with every definition. Rights for some of them only count as lacking: the
    engine hides what we may not see instead of refusing it.
    """

    version: str
    clock_ahead: timedelta | None
    lacking: tuple[str, ...]


async def examine(transport: Transport, needed: Rights) -> EngineInfo:
    """Ask the engine. Raises EngineDown, EngineDenied."""
    reply = await transport.send("GET", "/version")
    now, told = datetime.now(UTC), told_at(reply.headers)
    version = str(reply.value(dict).get("version", "unknown"))
    return EngineInfo(version, told - now if told else None, await _lacking(transport, needed))


def told_at(headers: Mapping[str, str]) -> datetime | None:
    """Return when an answer was given, by the engine's clock; None if it does not say."""
    try:
        told = parsedate_to_datetime(headers["Date"])
    except (KeyError, ValueError, TypeError):
        return None
    return told if told.tzinfo else None


async def _lacking(transport: Transport, needed: Rights) -> tuple[str, ...]:
    lacking = []
    try:
        for purpose, rights in needed.items():
            if not any([await _is_granted(transport, right, number) for right, (_, number) in rights]):
                choice = " or ".join(f"{right} on {resource}" for right, (resource, _) in rights)
                lacking.append(f"to {purpose}: {choice}")
    except EngineDenied:
        # Who may ask for the version and not for this is nobody to the engine: it wants no user, so it checks no right.
        return ()
    return tuple(lacking)


async def _is_granted(transport: Transport, right: str, resource: int) -> bool:
    # Engines answer 400 without a resourceName, but look at the type alone: any word will do.
    query = urlencode({"permissionName": right, "resourceName": right, "resourceType": resource})
    reply = await transport.send("GET", f"/authorization/check?{query}")
    said: dict[str, Any] = reply.value(dict) if reply.status == HTTPStatus.OK else {}
    # What is not answered is not lacking: people would be sent after rights that they have.
    return said.get("authorized") is not False
