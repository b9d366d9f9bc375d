"""What a person said in conversations of processes, taken from the record: of messages and feedback a mark is left."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, RowMapping, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.domain.asks import State
from worker.domain.conversations import REMOVED, Subject, session_id
from worker.domain.threads import ThreadKey
from worker.runtime.portions import portions
from worker.transcript.conditions import seen
from worker.transcript.holds import held_tasks
from worker.transcript.tables import asks, feedback, messages, sessions
from worker.transcript.words import clean
from worker.transcript.writing import UNSIGNED, WORDLESS

AT_ONCE = 100
"""Asks of one statement."""
LANDS_WITHIN = timedelta(days=7)
"""For so long an answer is kept for the record where that cannot be written."""


class Unsaid(NamedTuple):
    """How much went: messages, feedback and asks; how many asks are left for later, and how many for a hold."""

    gone: int
    left: int
    held: int


async def unsay(subject: Subject, own: ColumnElement[bool], now: datetime, connection: AsyncConnection) -> Unsaid:
    """Do so, for these asks. What is being answered, is yet to be recorded, or a record on hold cites, is left."""
    found = (await connection.execute(select(asks).where(own).with_for_update())).mappings().all()
    over = [ask for ask in found if ask["state"] != State.RUNNING and not await _is_late(ask, now, connection)]
    cited = await held_tasks(connection)
    held, left = sum(ask["id"] in cited for ask in over), len(found) - len(over)
    over = [ask for ask in over if ask["id"] not in cited]
    gone = await _rated(subject, connection)
    for some in portions(over, AT_ONCE):
        said = messages.c.task_id.in_([ask["id"] for ask in some]) & (messages.c.content != REMOVED)
        # By their sessions, which an index has.
        threads = {session_id(target(ask)) for ask in some}
        there = messages.c.session_id.in_(threads)
        gone += (await connection.execute(update(messages).where(there, said).values(WORDLESS))).rowcount
        whose = sessions.c.id.in_(threads) & sessions.c.user_id.in_({ask["person"] for ask in some})
        await connection.execute(update(sessions).where(whose).values(user_id=REMOVED))
        ids = [ask["number"] for ask in some]
        gone += (await connection.execute(delete(asks).where(asks.c.number.in_(ids)))).rowcount
    return Unsaid(gone, left, held)


def target(ask: RowMapping) -> ThreadKey:
    """Name the thread that an ask was answered on."""
    return ThreadKey(ask["engine"], ask["target"], ask["assistant"], ask["tenant"])


async def _is_late(ask: RowMapping, now: datetime, connection: AsyncConnection) -> bool:
    """Whether its answer is yet to come to the record."""
    if ask["answer_id"] is None or ask["finished_at"] <= now - LANDS_WITHIN:
        return False
    there = select(messages.c.id).where(messages.c.id == ask["answer_id"])
    return (await connection.execute(there)).first() is None


async def _rated(subject: Subject, connection: AsyncConnection) -> int:
    """Take person and note from what they said of answers; the rating stays."""
    own: Sequence[ColumnElement[bool]] = [sessions.c.engine == clean(subject.engine), *seen(subject.limits)]
    there = select(messages.c.id).join(sessions).where(*own)
    theirs = (feedback.c.person_id == subject.person) & feedback.c.message_id.in_(there)
    return (await connection.execute(update(feedback).where(theirs).values(UNSIGNED))).rowcount
