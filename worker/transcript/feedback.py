"""What people say of answers, kept beside them."""

from functools import partial

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from worker.domain.conversations import REMOVED
from worker.domain.feedback import Feedback
from worker.transcript.conditions import ANSWER
from worker.transcript.database import Database
from worker.transcript.rows import Values, checked
from worker.transcript.tables import feedback, messages
from worker.transcript.words import clean


class SqlFeedback:
    """Implements `ports.feedback.FeedbackWriter`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def give(self, message_id: str, given: Feedback) -> bool:
        """See `ports.feedback.FeedbackWriter.give`."""
        row = {
            "message_id": message_id,
            "person_id": given.person_id,
            "person": given.person,
            "rating": given.rating,
            "note": given.note,
            "given_at": given.at,
        }
        return await self._database.write(partial(self._give, checked(feedback, row)))

    async def _give(self, row: Values, connection: AsyncConnection) -> bool:
        own = messages.c.id == row["message_id"]
        # Locked, so that it comes before or behind those who take the answer's words: they would leave a note to none.
        answer = select(messages.c.id).where(own, ANSWER, messages.c.content != REMOVED).with_for_update()
        if (await connection.execute(answer)).first() is None:
            return False
        insert = self._database.insert(feedback)
        changed = {name: insert.excluded[name] for name in ("person", "rating", "note", "given_at")}
        each = [feedback.c.message_id, feedback.c.person_id]
        await connection.execute(insert.on_conflict_do_update(index_elements=each, set_=changed), row)
        return True

    async def take_back(self, message_id: str, person_id: str) -> None:
        """See `ports.feedback.FeedbackWriter.take_back`."""
        own = (feedback.c.message_id == clean(message_id)) & (feedback.c.person_id == person_id)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(delete(feedback).where(own))

        await self._database.write(work)
