"""What a round of ending by age goes by, and what it did."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import structlog

from worker.domain.conversations import Subject
from worker.domain.threads import ThreadKey
from worker.ending.ends import Ends
from worker.ending.ports import why
from worker.errors import ThreadUnseen
from worker.telemetry.logs import Event

Kind = Literal["keep", "anonymise", "remove"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Policy:
    """How long what is kept after the end of a process; None keeps it for ever.

    `chats`: how long a conversation that a person has beside all processes is kept after its last message.
    `decisions`: how long a record of a decision is kept after the end of its process and its own last change.
    """

    threads: timedelta | None
    transcript: timedelta | None
    kind: Kind
    chats: timedelta | None = None
    decisions: timedelta | None = None


@dataclass(slots=True)
class Round:
    """What one round did at this time, or would do.

    `records` says how many sessions of whom, `delayed` what keeps whom.

    `held`: of so many sessions of whom messages stay, as decisions on legal hold cite them.

    `chats` are persons' conversations beside all processes, `decisions` ids of records of decisions. `absent` as for
    `Retention.sweep`. `unseen` counts threads that the key cannot see.
    """

    now: datetime
    ended: Ends = field(default_factory=dict)
    threads: list[tuple[ThreadKey, str]] = field(default_factory=list)
    records: dict[Subject, int] = field(default_factory=dict)
    chats: list[Subject] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    held: dict[Subject, int] = field(default_factory=dict)
    delayed: list[tuple[Subject, str]] = field(default_factory=list)
    absent: bool = False
    unseen: int = 0

    def summary(self) -> dict[str, list[dict[str, str | None]]]:
        """The same for programs."""

        def whose(subject: Subject) -> dict[str, str | None]:
            of_person = {"person": subject.person, "chat": subject.chat} if subject.person else {}
            return {"instance": subject.instance, "business_key": subject.business_key} | of_person

        return {
            "ended": [whose(each) | {"ended_at": at.isoformat()} for each, at in self.ended.items()],
            "threads": [
                {"scope": key.scope, "assistant": key.assistant, "tenant": key.tenant, "thread": name}
                for key, name in self.threads
            ],
            "records": [whose(each) for each in self.records],
            "chats": [whose(each) for each in self.chats],
            "decisions": [{"id": each} for each in self.decisions],
            "held": [whose(each) for each in self.held],
            "delayed": [whose(each) | {"why": why} for each, why in self.delayed],
        }

    def delay(self, subject: Subject, reason: Exception) -> None:
        """Note that it could not be done."""
        said = why(reason)
        self.delayed.append((subject, said))
        self.unseen += (unseen := isinstance(reason, ThreadUnseen))
        if unseen and self.unseen > 1:
            return  # after a change of account these are many, and one line says all
        log.warning(Event.END_DELAYED, what=subject.instance or subject.person or "a business key", reason=said)
