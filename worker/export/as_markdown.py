"""Markdown, for people."""

import re
from collections.abc import AsyncIterator, Sequence

from worker.domain.conversations import Message, Role, Session
from worker.domain.feedback import Feedback
from worker.domain.markdown import CONTROL, plain
from worker.domain.processes import Called, definition
from worker.export.source import Source

_BACKTICKS = re.compile("`+")
_SPEAKERS = {Role.USER: "Question", Role.AGENT: "Answer", Role.SYSTEM: "System"}
_BETWEEN = {Role.USER: "Message", Role.AGENT: "Step", Role.SYSTEM: "System"}
_ELSEWHERE = {Role.USER: "User elsewhere", Role.AGENT: "Agent elsewhere", Role.SYSTEM: "System elsewhere"}


async def write(source: Source) -> AsyncIterator[bytes]:
    """Write conversations to be read. What was said stands in fences: nothing in it is Markdown, HTML or loaded."""
    if source.lacking:
        yield _text(
            [f"**Conversations of processes that were called may be missing here: {plain(source.lacking)}.**", ""]
        )
    for session in source.sessions:
        yield _text(_head(session, source.caller(session.process_instance_id)))
        async for message in source.messages(session):
            yield _text(_said(message, _elsewhere(message, session, source)))
        yield b"\n"


def _elsewhere(message: Message, session: Session, source: Source) -> str:
    """Name the process in which something was said, where it is not the conversation's own."""
    if message.process_instance_id in ("", session.process_instance_id):
        return ""
    known, named = source.caller(message.process_instance_id), definition(message.definition_id)
    name = known.name or known.definition_key if known else named and named[0]
    return f"{name or 'process'} {message.process_instance_id}"


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
        f"# {plain(session.assistant)}",
        "",
        *(f"- {name}: {plain(value)}" for name, value in facts.items() if value),
    ]


def _said(message: Message, elsewhere: str = "") -> list[str]:
    where = message.activity_name or message.activity_id
    speakers = _ELSEWHERE if message.is_remark else _BETWEEN if message.is_between else _SPEAKERS
    speaker = speakers[message.role]
    return [
        "",
        f"## {speaker}: {plain(where)}" if where else f"## {speaker}",  # what persons ask is at no activity
        "",
        _about(message, elsewhere),
        "",
        *_fenced(message.content),
        *(line for each in message.attachments for line in ("", f"*Attachment: {plain(each)}*")),
        *(line for each in message.feedback for line in _judged(each)),
    ]


def _judged(feedback: Feedback) -> list[str]:
    """Tell what a person says of an answer, below it."""
    head = f"*{feedback.rating.capitalize()}, says {plain(feedback.person)}, {feedback.at.isoformat()}*"
    return ["", head, *(["", *_fenced(feedback.note)] if feedback.note else [])]


def _fenced(text: str) -> list[str]:
    fence = "`" * max(3, 1 + max(map(len, _BACKTICKS.findall(text)), default=0))
    return [f"{fence}text", *(CONTROL.sub("\ufffd", line) for line in text.splitlines()), fence]


def _about(message: Message, elsewhere: str) -> str:
    who = [plain(message.user or ""), elsewhere and f"in {plain(elsewhere)}"]
    parts = [*who, message.created_at.isoformat(), plain(message.model or "")]
    if message.attempt > 1:
        parts.append(f"attempt {message.attempt}")
    if message.output_tokens is not None:
        parts.append(f"{message.input_tokens or 0} + {message.output_tokens} tokens")
    if message.cost is not None:
        parts.append(str(message.cost))
    if isinstance(untold := message.metadata.get("untold"), int):
        parts.append(f"{untold} earlier turn{'' if untold == 1 else 's'} not told word for word")
    if message.metadata.get("memory") in {"lost", "unknown", "empty"}:
        parts.append("told nothing of before")
    return "*" + ", ".join(filter(None, parts)) + "*"
