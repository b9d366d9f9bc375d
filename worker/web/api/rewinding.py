"""The route by which people have an instance's threads end before one of its steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from worker.domain.stops import LONGEST_REASON
from worker.ending import NothingToRewind, Rewinding, Rewound, Wish
from worker.errors import HistoryUnread, NewerRecord, StoreDown
from worker.web.api import problems
from worker.web.api.grants import MaySway
from worker.web.api.routes import LONGEST, Id
from worker.web.api.routing import Extension, adding, below_api, from_application
from worker.web.api.stops import who

_NOT_NOW = (503, "Nothing was ordered for some threads at least; order it again: {}")
_TOLD: problems.Told = {
    NothingToRewind: (404, "There is nothing to rewind: {}"),
    HistoryUnread: _NOT_NOW,
    NewerRecord: _NOT_NOW,
    StoreDown: _NOT_NOW,
}
"""What keeps threads from being rewound, and how that is answered."""


class Back(BaseModel):
    """Before which step the threads are to end, by its id in the model.

    `attempt` says which time is meant where it was asked several times, from 1; without it the latest. Without
    `assistant` it is for the threads of all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    before: str = Field(min_length=1, max_length=LONGEST)
    assistant: str | None = Field(None, min_length=1, max_length=LONGEST)
    attempt: int | None = Field(None, ge=1, le=1_000_000)
    reason: str = Field("", max_length=LONGEST_REASON)


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the route stands on."""

    orders: Rewinding


Ports = Annotated[_Ports, from_application(_Ports)]
router = below_api(401, 403, 404, 422, 429, 503)


def rewinding(orders: Rewinding) -> Extension:
    """Make the extension that adds the route."""
    return adding(router, _Ports(orders))


@router.post("/instances/{instance_id}/rewind")
async def rewind(grant: MaySway, ports: Ports, instance_id: Id, back: Back) -> Sequence[Rewound]:
    """Have the instance's threads replaced at their next turns by new ones that end before a step.

    For an instance that was moved back to it. `why` says of a thread why it stays as it is. Nothing is taken from
    the transcript.
    """
    wish = Wish(instance_id, back.before, back.assistant, back.attempt)
    with problems.refusing(_TOLD):
        return await ports.orders.rewind(wish, who(grant), back.reason, within=grant.limits)
