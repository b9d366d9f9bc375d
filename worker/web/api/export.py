"""A conversation as a file: JSON with everything, Markdown to read."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from worker.domain.conversations import Filter, Limits, Message, MessageFilter, Role, Session, every
from worker.ports.transcript import TranscriptReader

_PAGE = 100
_BACKTICKS = re.compile("`+")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_SPEAKERS = {Role.USER: "Question", Role.AGENT: "Answer", Role.SYSTEM: "System"}


@dataclass(frozen=True, slots=True)
class Exported:
    """One conversation with all that was said in it, in order."""

    session: Session
    messages: Sequence[Message]


_SESSION = TypeAdapter(Session)
_MESSAGE = TypeAdapter(Message)


async def of_session(conversations: TranscriptReader, session_id: str, *, within: Limits) -> list[Session]:
    """Find a session; nothing if there is none to be seen."""
    session = await conversations.session(session_id, within=within)
    return [] if session is None else [session]


async def of_instance(conversations: TranscriptReader, instance: str, *, within: Limits) -> list[Session]:
    """Find every session of an instance, the earliest first; nothing if there is none to be seen."""
    wanted = Filter(instance=instance)
    sessions = every(lambda after: conversations.sessions(wanted, within=within, after=after, limit=_PAGE))
    newest_first = [session async for session in sessions]
    return newest_first[::-1]


async def as_json(
    conversations: TranscriptReader, sessions: Sequence[Session], *, within: Limits
) -> AsyncIterator[bytes]:
    """Write conversations with everything that is known, as a list of `Exported`, part by part."""
    for number, session in enumerate(sessions):
        yield b",\n" if number else b"["
        yield b'{"session": ' + _SESSION.dump_json(session) + b', "messages": ['
        between = b"\n"
        async for message in _messages(conversations, session, within):
            yield between + _MESSAGE.dump_json(message)
            between = b",\n"
        yield b"]}"
    yield b"]\n" if sessions else b"[]\n"


async def as_markdown(
    conversations: TranscriptReader, sessions: Sequence[Session], *, within: Limits
) -> AsyncIterator[bytes]:
    """Write conversations to be read. What was said stands in fences: nothing in it is Markdown, HTML or loaded."""
    for session in sessions:
        yield _text(_head(session))
        async for message in _messages(conversations, session, within):
            yield _text(_said(message))
        yield b"\n"


def _messages(conversations: TranscriptReader, session: Session, within: Limits) -> AsyncIterator[Message]:
    wanted = MessageFilter(session.id)
    return every(lambda after: conversations.messages(wanted, within=within, after=after, limit=_PAGE))


def _text(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _head(session: Session) -> list[str]:
    facts = {
        "Process instance": session.process_instance_id,
        "Process": session.definition_key,
        "Business key": session.business_key,
        "Tenant": session.tenant,
        "Started": session.started_at.isoformat(),
        "Ended": session.ended_at and session.ended_at.isoformat(),
    }
    return [
        f"# {_plain(session.assistant)}",
        "",
        *(f"- {name}: {_plain(value)}" for name, value in facts.items() if value),
    ]


def _said(message: Message) -> list[str]:
    where = message.activity_name or message.activity_id
    return ["", f"## {_SPEAKERS[message.role]}: {_plain(where)}", "", _about(message), "", *_fenced(message.content)]


def _fenced(text: str) -> list[str]:
    fence = "`" * max(3, 1 + max(map(len, _BACKTICKS.findall(text)), default=0))
    return [f"{fence}text", *(_CONTROL.sub("\ufffd", line) for line in text.splitlines()), fence]


def _about(message: Message) -> str:
    parts = [message.created_at.isoformat(), message.model and _plain(message.model)]
    if message.attempt > 1:
        parts.append(f"attempt {message.attempt}")
    if message.output_tokens is not None:
        parts.append(f"{message.input_tokens or 0} + {message.output_tokens} tokens")
    return "*" + ", ".join(filter(None, parts)) + "*"


def _plain(text: str) -> str:
    """Keep names on one line, and from being taken for Markdown."""
    line = _CONTROL.sub("\ufffd", " ".join(text.split()))
    return "".join(f"\\{char}" if char in "\\`*_[]<>#!|&~" else char for char in line)
