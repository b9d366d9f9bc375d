"""The routes by which persons begin conversations with assistants beside all processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import HTTPException, Path
from pydantic import BaseModel, ConfigDict, Field

from worker.chat.desk import Desk, Erased
from worker.domain.conversations import Session
from worker.errors import UnknownAssistant
from worker.web.api import problems
from worker.web.api.asks import LONGEST_CLIENT_ID
from worker.web.api.grants import Grant, MayTalk
from worker.web.api.routes import LONGEST
from worker.web.api.routing import Extension, adding, below_api, from_application

Tenants = frozenset[str | None]
Name = Annotated[str, Path(max_length=LONGEST)]

_TOLD: problems.Told = {UnknownAssistant: (404, "This worker has no such assistant"), Erased: problems.ERASED}
"""What keeps a conversation from being begun, and how that is answered."""


class Beginning(BaseModel):
    """A conversation. The client names it, so that it may send this again: the same id is the same conversation.

    Who is limited to several tenants says whose it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=LONGEST_CLIENT_ID)
    tenant: str | None = Field(None, min_length=1, max_length=LONGEST)


@dataclass(frozen=True, slots=True)
class _Ports:
    """What the routes stand on. Conversations of the tenants `served` are answered; None: of all."""

    desk: Desk
    served: Tenants | None


Ports = Annotated[_Ports, from_application(_Ports)]
router = below_api(401, 403, 404, 410, 422, 429, 503)


def talking(desk: Desk, served: Tenants | None = None) -> Extension:
    """Make the extension that adds the routes. `served` are the tenants whose conversations are answered; None: all."""
    return adding(router, _Ports(desk, served))


@router.get("/assistants")
async def assistants(_: MayTalk, ports: Ports) -> Sequence[str]:
    """The assistants that one may talk to beside all processes, by name."""
    return ports.desk.assistants


@router.post("/assistants/{name}/conversations", status_code=HTTPStatus.CREATED)
async def begin(grant: MayTalk, ports: Ports, name: Name, beginning: Beginning) -> Session:
    """Begin a conversation with an assistant beside all processes, which nobody else sees.

    What is said there is asked as anywhere: `POST /api/sessions/{id}/asks`.
    """
    tenant = _tenant(grant, beginning.tenant, ports.served)
    with problems.refusing(_TOLD):
        return await ports.desk.begin(grant.speaker, name, tenant, beginning.id)


def _tenant(grant: Grant, wanted: str | None, served: Tenants | None) -> str | None:
    """Say whose the conversation is: the tenant that is wanted, none if that may be, or else the only one that may."""
    if grant.limits.instances is not None:
        raise HTTPException(403, "This token is for certain instances, and for nothing beside them.")
    known = [each for each in (grant.limits.tenants, served) if each is not None]
    if wanted is not None or all(None in each for each in known):
        if any(wanted not in each for each in known):
            raise HTTPException(403, "Conversations of this tenant are not for you, or not answered here.")
        return wanted
    match sorted(filter(None, frozenset.intersection(*known))):
        case [only]:
            return only
        case []:
            raise HTTPException(403, "Conversations of none of your tenants are answered here.")
    raise HTTPException(403, "Say which of your tenants this is for.")
