"""Who reads along, for hours: what was granted is looked at again and again."""

from contextlib import suppress
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from worker.domain.conversations import Limits, MessageFilter
from worker.domain.people import Right
from worker.errors import TranscriptDown, Transient
from worker.ports.transcript import TranscriptReader
from worker.web.api.access import Access
from worker.web.api.grants import Grant, Sight, granted


@dataclass(slots=True)
class Reader:
    """By `given` the gate let them in; `limits` are what they may see of it now, also by the engine's rights."""

    access: Access
    given: Grant
    limits: Limits
    sight: Sight | None

    @classmethod
    def of(cls, connection: HTTPConnection, access: Access, grant: Grant) -> "Reader":
        """Take who opened a connection, and the grant that its route found them to have."""
        return cls(access, connection.scope["grant"], grant.limits, connection.scope.get("sight"))

    @property
    def is_good(self) -> bool:
        """Whether their token is good still."""
        return self.access.still_grants(self.given)

    async def sees(self, wanted: MessageFilter, conversations: TranscriptReader) -> bool:
        """Whether there is this to be read along. Raises TranscriptDown."""
        if wanted.session_id is not None:
            return await conversations.session(wanted.session_id, within=self.limits) is not None
        # Before its first answer nobody knows whose an instance is.
        return not self.limits.hides_processes or (
            await conversations.instance(str(wanted.instance), within=self.limits) is not None
        )

    async def allowed(self, wanted: MessageFilter, conversations: TranscriptReader) -> Limits | None:
        """Return what may still be seen, None where this may not.

        Where the engine does not tell it is nothing: who connects again hears why.
        """
        if not self.is_good:
            return None
        if self.sight is not None:
            try:
                limits = (await self.sight.narrowed(self.given)).limits
            except Transient:
                return None
            if limits != self.limits:
                self.limits = limits
                # While nobody can tell, nothing is read that these limits hide.
                with suppress(TranscriptDown):
                    return limits if await self.sees(wanted, conversations) else None
        return self.limits

    async def granted(self, right: Right) -> Grant:
        """Return what may be done now by a right. Raises HTTPException."""
        if not self.is_good:
            raise HTTPException(401)
        return await granted(right, self.given, self.sight)
