"""A conversation as a file: JSON with everything, Markdown to read."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from worker.conversations import (
    Conversations,
    Filter,
    Limits,
    Message,
    MessageFilter,
    Role,
    Session,
    every,
)

_PAGE = 500
_SPEAKERS = {Role.USER: "Question", Role.AGENT: "Answer", Role.SYSTEM: "System"}


@dataclass(frozen=True, slots=True)
class Exported:
    """One conversation with all that was said in it, in order."""

    session: Session
    messages: Sequence[Message]


_JSON = TypeAdapter(list[Exported])


async def of_session(conversations: Conversations, session_id: str, *, within: Limits) -> list[Exported]:
    """Read a session whole; nothing if there is none to be seen."""
    session = await conversations.session(session_id, within=within)
    return [] if session is None else [await _whole(conversations, session, within)]


async def of_instance(conversations: Conversations, instance: str, *, within: Limits) -> list[Exported]:
    """Read every conversation of an instance whole, the earliest first; nothing if there is none to be seen."""
    wanted = Filter(instance=instance)
    sessions = every(lambda after: conversations.sessions(wanted, within=within, after=after, limit=_PAGE))
    newest_first = [session async for session in sessions]
    return [await _whole(conversations, session, within) for session in reversed(newest_first)]


async def _whole(conversations: Conversations, session: Session, within: Limits) -> Exported:
    wanted = MessageFilter(session.id)
    messages = every(lambda after: conversations.messages(wanted, within=within, after=after, limit=_PAGE))
    return Exported(session, [message async for message in messages])


def as_json(exported: Sequence[Exported]) -> bytes:
    """Write conversations with everything that is known, as a list."""
    return _JSON.dump_json([*exported], indent=2)


def as_markdown(exported: Sequence[Exported]) -> str:
    """Write conversations to be read. What was said is quoted, so that nothing in it passes for our own headings."""
    return "\n".join(line for each in exported for line in _lines(each))


def _lines(exported: Exported) -> list[str]:
    session = exported.session
    facts = {
        "Process instance": session.process_instance_id,
        "Process": session.definition_key,
        "Business key": session.business_key,
        "Tenant": session.tenant,
        "Started": session.started_at.isoformat(),
        "Ended": session.ended_at and session.ended_at.isoformat(),
    }
    lines = [f"# {_plain(session.assistant)}", ""]
    lines += [f"- {name}: {_plain(value)}" for name, value in facts.items() if value]
    for message in exported.messages:
        where = message.activity_name or message.activity_id
        lines += ["", f"## {_SPEAKERS[message.role]}: {_plain(where)}", "", _about(message), ""]
        lines += [f"> {line}".rstrip() for line in message.content.splitlines() or [""]]
    return [*lines, ""]


def _about(message: Message) -> str:
    parts = [message.created_at.isoformat(), message.model and _plain(message.model)]
    if message.attempt > 1:
        parts.append(f"attempt {message.attempt}")
    if message.output_tokens is not None:
        parts.append(f"{message.input_tokens or 0} + {message.output_tokens} tokens")
    return "*" + ", ".join(filter(None, parts)) + "*"


def _plain(text: str) -> str:
    """Keep names on one line, and from being taken for Markdown."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>#!|" else char for char in " ".join(text.split()))
