"""Where it is recorded what was said elsewhere about a conversation: nobody is asked anything by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from worker.chat.desk import Erased
from worker.chat.ports import ChatPorts
from worker.domain.conversations import Role, Session
from worker.domain.people import Person
from worker.domain.remarks import Recorded, Remark, remark_id
from worker.ports.remarks import RemarkBook


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody hands in as said elsewhere, under a name of the client's."""

    client_id: str
    role: Role
    text: str
    attachments: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Noting:
    """Records remarks about sessions that whoever hands them in may see. Every method may raise TranscriptDown."""

    def __init__(self, ports: ChatPorts, remarks: RemarkBook) -> None:
        self._ports = ports
        self._remarks = remarks

    async def record(self, session: Session, person: Person, said: Said) -> Recorded:
        """Record a remark beside the thread of a session; a message that comes again is the one that is there.

        Raises AskedOtherwise, Erased, Unstorable, StoreDown.
        """
        about = session.key.trunk or session.key
        place = await self._ports.place(session)
        remark = Remark(
            id=remark_id(about, person, said.client_id),
            about=about,
            person=person,
            role=said.role,
            text=said.text,
            instance=place.instance,
            definition_id=place.definition_id,
            definition_key=session.definition_key,
            definition_version=session.definition_version,
            business_key=session.business_key,
            attachments=said.attachments,
            metadata=said.metadata,
            said_at=datetime.now(UTC),
        )
        await self._check(session)
        kept = await self._remarks.record(remark)
        if kept is None:
            raise Erased("its words are gone")
        try:
            await self._check(session)
        except Erased:  # an order was given meanwhile, and may have been here before this was
            await self._remarks.take_back(remark.id)
            raise
        return kept

    async def _check(self, session: Session) -> None:
        if await self._ports.is_erased(await self._ports.session(session.id)):
            raise Erased("it is erased, or about to be")

    async def find(self, remark_id: str) -> Recorded | None:
        """One remark."""
        return await self._remarks.remark(remark_id)

    async def add(self, remark: Recorded, attachments: Sequence[str], metadata: Mapping[str, Any]) -> Recorded:
        """Add links and metadata to a remark. Raises Erased, Unstorable."""
        added = await self._remarks.add(remark.id, attachments, metadata)
        if added is None:
            raise Erased("its words are gone")
        return added
