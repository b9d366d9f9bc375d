"""A conversation as a file: JSON with everything, Markdown to read."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import TypeAdapter

from worker.domain.conversations import EVERYTHING, Filter, Limits, Message, MessageFilter, Role, Session, every
from worker.domain.processes import Called, Calls, definition
from worker.ending import sessions as every_session
from worker.errors import ReadRefused, Transient
from worker.ports.transcript import TranscriptReader

ENGINE_SECONDS = 20
AWAY = "the engine cannot be asked now, or does not let the worker see it"
_PAGE = 100
_BACKTICKS = re.compile("`+")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_SPEAKERS = {Role.USER: "Question", Role.AGENT: "Answer", Role.SYSTEM: "System"}


class Processes(Protocol):
    """The engine, as exports see it."""

    async def called(self, instance_id: str, /) -> Calls:
        """Find the instances that one called, at any depth. May raise Transient errors, ReadRefused."""
        ...


@dataclass(frozen=True, slots=True)
class Exported:
    """One conversation with all that was said in it, in order.

    `process` is the definition's key of the instance that the conversation is of, and `called_by` the instance that
    called that, as far as the engine was asked. `lacking` says why conversations of called processes may be missing.
    """

    session: Session
    messages: Sequence[Message]
    process: str
    called_by: str | None = None
    lacking: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What goes into one file: conversations in their order, and what the engine knows of called instances."""

    sessions: Sequence[Session]
    called: Mapping[str, Called] = field(default_factory=dict)
    lacking: str = ""

    def caller(self, instance: str | None) -> Called | None:
        """Tell what is known of an instance's call."""
        return self.called.get(instance) if instance else None


_SESSION = TypeAdapter(Session)
_MESSAGE = TypeAdapter(Message)


async def of_session(conversations: TranscriptReader, session_id: str, *, within: Limits) -> Selection:
    """Find a session; nothing if there is none to be seen."""
    session = await conversations.session(session_id, within=within)
    return Selection([] if session is None else [session])


async def of_instance(
    conversations: TranscriptReader, processes: Processes, instance: str, *, within: Limits
) -> Selection:
    """Find every session of an instance and of those that it called; nothing if there is none to be seen."""
    return await _whole(conversations, processes, Filter(instance=instance), [instance], within)


async def of_business_key(
    conversations: TranscriptReader, processes: Processes, business_key: str, *, within: Limits
) -> Selection:
    """Find every session with a business key, and of the instances that those with it called."""
    wanted = Filter(business_key=business_key)
    spoke = every(lambda after: conversations.instances(wanted, within=within, after=after, limit=_PAGE))
    return await _whole(conversations, processes, wanted, [each.id async for each in spoke], within)


async def _whole(
    conversations: TranscriptReader, processes: Processes, wanted: Filter, instances: Sequence[str], within: Limits
) -> Selection:
    found = {each.id: each for each in await _sessions(conversations, wanted, within)}
    if not found and within != EVERYTHING:
        return Selection([])
    called, lacking = dict[str, Called](), set[str]()
    for instance in instances:
        try:
            async with asyncio.timeout(ENGINE_SECONDS):
                calls = await processes.called(instance)
        except (Transient, ReadRefused, TimeoutError):
            calls = Calls([], AWAY)
        called |= {each.id: each for each in calls.called}
        lacking |= {calls.lacking} - {""}
    for instance in called:
        more = await _sessions(conversations, Filter(instance=instance), within)
        found |= {each.id: each for each in more if each.id not in found}
    return Selection(list(found.values()), called, "; ".join(sorted(lacking)))


async def _sessions(conversations: TranscriptReader, wanted: Filter, within: Limits) -> list[Session]:
    """Find sessions, the earliest first."""
    return [session async for session in every_session(conversations, wanted, within)][::-1]


async def as_json(conversations: TranscriptReader, selected: Selection, *, within: Limits) -> AsyncIterator[bytes]:
    """Write conversations with everything that is known, as a list of `Exported`, part by part."""
    for number, session in enumerate(selected.sessions):
        yield b",\n" if number else b"["
        known = selected.caller(session.process_instance_id)
        about = {
            "process": known.definition_key if known else session.definition_key,
            "called_by": known and known.called_by,
            "lacking": selected.lacking,
        }
        yield b'{"session": ' + _SESSION.dump_json(session) + b", " + json.dumps(about).encode()[1:-1]
        yield b', "messages": ['
        between = b"\n"
        async for message in _messages(conversations, session, within):
            yield between + _MESSAGE.dump_json(message)
            between = b",\n"
        yield b"]}"
    yield b"]\n" if selected.sessions else b"[]\n"


async def as_markdown(conversations: TranscriptReader, selected: Selection, *, within: Limits) -> AsyncIterator[bytes]:
    """Write conversations to be read. What was said stands in fences: nothing in it is Markdown, HTML or loaded."""
    if selected.lacking:
        yield _text(
            [f"**Conversations of processes that were called may be missing here: {_plain(selected.lacking)}.**", ""]
        )
    for session in selected.sessions:
        yield _text(_head(session, selected.caller(session.process_instance_id)))
        async for message in _messages(conversations, session, within):
            yield _text(_said(message, _elsewhere(message, session, selected)))
        yield b"\n"


def _elsewhere(message: Message, session: Session, selected: Selection) -> str:
    """Name the process in which something was said, where it is not the conversation's own."""
    if message.process_instance_id == session.process_instance_id:
        return ""
    known, named = selected.caller(message.process_instance_id), definition(message.definition_id)
    name = known.name or known.definition_key if known else named and named[0]
    return f"{name or 'process'} {message.process_instance_id}"


def _messages(conversations: TranscriptReader, session: Session, within: Limits) -> AsyncIterator[Message]:
    wanted = MessageFilter(session.id)
    return every(lambda after: conversations.messages(wanted, within=within, after=after, limit=_PAGE))


def _text(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _head(session: Session, known: Called | None) -> list[str]:
    facts = {
        "Process instance": session.process_instance_id,
        "Process": known.name or known.definition_key if known else session.definition_key,
        "Called by": known and known.called_by,
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


def _said(message: Message, elsewhere: str = "") -> list[str]:
    where = message.activity_name or message.activity_id
    return [
        "",
        f"## {_SPEAKERS[message.role]}: {_plain(where)}",
        "",
        _about(message, elsewhere),
        "",
        *_fenced(message.content),
    ]


def _fenced(text: str) -> list[str]:
    fence = "`" * max(3, 1 + max(map(len, _BACKTICKS.findall(text)), default=0))
    return [f"{fence}text", *(_CONTROL.sub("\ufffd", line) for line in text.splitlines()), fence]


def _about(message: Message, elsewhere: str) -> str:
    parts = [elsewhere and f"in {_plain(elsewhere)}", message.created_at.isoformat(), _plain(message.model or "")]
    if message.attempt > 1:
        parts.append(f"attempt {message.attempt}")
    if message.output_tokens is not None:
        parts.append(f"{message.input_tokens or 0} + {message.output_tokens} tokens")
    if message.cost is not None:
        parts.append(str(message.cost))
    return "*" + ", ".join(filter(None, parts)) + "*"


def _plain(text: str) -> str:
    """Keep names on one line, and from being taken for Markdown."""
    line = _CONTROL.sub("\ufffd", " ".join(text.split()))
    return "".join(f"\\{char}" if char in "\\`*_[]<>#!|&~" else char for char in line)
