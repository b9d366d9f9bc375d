"""Who reads along, for hours: what was granted is looked at again and again."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from worker.domain.conversations import Limits, MessageFilter, Newest
from worker.domain.people import Right
from worker.errors import TranscriptDown, Transient
from worker.web.api.access import Access
from worker.web.api.grants import Grant, Sight, granted
from worker.web.feeds.feed import HIDDEN, REVOKED
from worker.web.feeds.feeds import Feeds


@dataclass(slots=True)
class Reader:
    """By `given` the gate let them in; `limits` are what they may see of it now, also by the engine's rights.

    `record` is as far as the record was when they were last found to see what they read.
    """

    access: Access
    given: Grant
    limits: Limits
    sight: Sight | None
    record: Mapping[str, Newest] | None = None

    @classmethod
    def of(cls, connection: HTTPConnection, access: Access, grant: Grant) -> "Reader":
        """Take who opened a connection, and the grant that its route found them to have."""
        return cls(access, connection.scope["grant"], grant.limits, connection.scope.get("sight"))

    @property
    def is_good(self) -> bool:
        """Whether their token is good still."""
        return self.access.still_grants(self.given)

    async def sees(self, wanted: MessageFilter, feeds: Feeds) -> bool:
        """Whether there is this to be read along. Raises TranscriptDown."""
        # Before its first answer nobody knows whose an instance is.
        is_anybodys = wanted.session_id is None and not self.limits.hides_processes
        return is_anybodys or await feeds.sees(wanted, self.limits)

    async def allowed(self, wanted: MessageFilter, feeds: Feeds, record: Mapping[str, Newest]) -> Limits | str:
        """Return what may still be seen, or why this may not.

        Where the engine does not tell it is nothing: who connects again hears why.
        """
        if not self.is_good:
            return REVOKED
        if self.sight is not None:
            try:
                limits = (await self.sight.narrowed(self.given)).limits
            except Transient:
                return REVOKED
            # What is said there may be what hides it: of another process, which was called or shares it.
            if limits != self.limits or record is not self.record:
                self.limits, self.record = limits, None
                try:
                    if not await self.sees(wanted, feeds):
                        return HIDDEN
                except TranscriptDown:  # while nobody can tell, nothing is read that these limits hide
                    return limits
                self.record = record
        return self.limits

    async def granted(self, right: Right) -> Grant:
        """Return what may be done now by a right. Raises HTTPException."""
        if not self.is_good:
            raise HTTPException(401)
        return await granted(right, self.given, self.sight)
