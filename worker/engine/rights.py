"""What users may do, over REST. To ask for others, the worker's own user needs the right to read authorizations."""

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlencode

from worker.engine.failures import describe
from worker.engine.lists import Lists
from worker.engine.transport import Transport
from worker.errors import EngineDown
from worker.ports.rights import DefinitionRight

DEFINITION: Final = 6
INSTANCE: Final = 8
ANY: Final = "*"
MOST_SINGLE: Final = 200
"""Instances that are given one by one and looked at: each takes a question."""


class RestRights:
    """Implements `ports.rights.EngineRights`. The engine's numbers of resources are part of its API."""

    def __init__(self, transport: Transport, lists: Lists) -> None:
        self._transport = transport
        self._lists = lists

    async def on_definition(self, user: str, right: DefinitionRight, key: str) -> bool:
        """See `ports.rights.EngineRights.on_definition`."""
        return await self._may(user, right, DEFINITION, key)

    async def on_every_instance(self, user: str) -> bool:
        """See `ports.rights.EngineRights.on_every_instance`. No, where one of them was taken away from the user."""
        if not await self._may(user, "READ", INSTANCE, ANY):
            return False
        return not [name async for name in self._named(user) if not await self._may(user, "READ", INSTANCE, name)]

    async def on_instances(self, user: str) -> frozenset[str]:
        """See `ports.rights.EngineRights.on_instances`; of the first MOST_SINGLE alone."""
        named = {name async for name in self._named(user)}
        return frozenset([name for name in named if await self._may(user, "READ", INSTANCE, name)])

    async def tenants(self, user: str) -> frozenset[str]:
        """See `ports.rights.EngineRights.tenants`."""
        rows = self._lists.rows("/tenant", {"userMember": user, "includingGroupsOfUser": "true"})
        return frozenset([str(row["id"]) async for row in rows])

    async def _named(self, user: str) -> AsyncIterator[str]:
        """Find instances that somebody has said something about for this user, for their groups, or for everybody."""
        groups = [str(row["id"]) async for row in self._lists.rows("/group", {"member": user})]
        # Type 0 is GLOBAL, what holds for everybody: its rows have * in the place of a user.
        asked = [{"userIdIn": user}, {"type": "0"}]
        if groups:
            asked.append({"groupIdIn": ",".join(groups)})
        for wanted in asked:
            query = {"resourceType": str(INSTANCE), **wanted}
            async for row in self._lists.rows("/authorization", query, most=MOST_SINGLE):
                if row.get("resourceId") not in (None, ANY):
                    yield str(row["resourceId"])

    async def _may(self, user: str, permission: str, resource: int, name: str) -> bool:
        asked = {"permissionName": permission, "resourceName": permission, "resourceType": resource, "resourceId": name}
        reply = await self._transport.send("GET", f"/authorization/check?{urlencode({**asked, 'userId': user})}")
        if reply.missing:
            raise EngineDown(f"the engine does not say what a user may do: {describe(reply)}")
        authorized = reply.value(dict).get("authorized")
        if not isinstance(authorized, bool):
            raise EngineDown("the engine does not say what a user may do")
        return authorized
