"""JSON with everything that is known, for programs."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from worker.domain.conversations import Message, Session
from worker.export.source import Source


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


_SESSION = TypeAdapter(Session)
_MESSAGE = TypeAdapter(Message)


async def write(source: Source) -> AsyncIterator[bytes]:
    """Write conversations as a list of `Exported`, part by part."""
    for number, session in enumerate(source.sessions):
        yield b",\n" if number else b"["
        known = source.caller(session.process_instance_id)
        about = {
            "process": known.definition_key if known else session.definition_key,
            "called_by": known and known.called_by,
            "lacking": source.lacking,
        }
        yield b'{"session": ' + _SESSION.dump_json(session) + b", " + json.dumps(about).encode()[1:-1]
        yield b', "messages": ['
        between = b"\n"
        async for message in source.messages(session):
            yield between + _MESSAGE.dump_json(message)
            between = b",\n"
        yield b"]}"
    yield b"]\n" if source.sessions else b"[]\n"
