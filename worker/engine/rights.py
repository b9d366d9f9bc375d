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
"""Instances that are given, or taken away, one by one and looked at: each takes a question."""
GLOBAL: Final = "0"
"""The type of a right that everybody has. Its rows have * in the place of a user."""
REVOKE: Final = "2"
"""The type of a right that is taken away."""


class RestRights:
    """Implements `ports.rights.EngineRights`. The engine's numbers of resources are part of its API."""

    def __init__(self, transport: Transport, lists: Lists) -> None:
        self._transport = transport
        self._lists = lists

    async def on_definition(self, user: str, right: DefinitionRight, key: str) -> bool:
        """See `ports.rights.EngineRights.on_definition`."""
        return await self._may(user, right, DEFINITION, key)

    async def on_every_instance(self, user: str) -> bool:
        """See `ports.rights.EngineRights.on_every_instance`. No, where one of them was taken away from the user.

        No as well where so many were that they are not looked at one by one.
        """
        if not await self._may(user, "READ", INSTANCE, ANY):
            return False
        # What everybody has of one instance may be less than what they have of all.
        asked = [*await self._rows_of(user, {"type": REVOKE}), {"type": GLOBAL}]
        taken = [name async for name in self._named(asked)]
        if len(taken) > MOST_SINGLE:
            return False
        return all([await self._may(user, "READ", INSTANCE, name) for name in sorted({*taken} - {ANY})])

    async def on_instances(self, user: str) -> frozenset[str]:
        """See `ports.rights.EngineRights.on_instances`; of the first MOST_SINGLE alone."""
        named = {name async for name in self._named([*await self._rows_of(user, {}), {"type": GLOBAL}])}
        some = sorted(named - {ANY})[:MOST_SINGLE]
        return frozenset([name for name in some if await self._may(user, "READ", INSTANCE, name)])

    async def tenants(self, user: str) -> frozenset[str]:
        """See `ports.rights.EngineRights.tenants`."""
        rows = self._lists.rows("/tenant", {"userMember": user, "includingGroupsOfUser": "true"})
        return frozenset([str(row["id"]) async for row in rows])

    async def _rows_of(self, user: str, wanted: dict[str, str]) -> list[dict[str, str]]:
        """Ask for what somebody has said for this user, or for their groups."""
        groups = [str(row["id"]) async for row in self._lists.rows("/group", {"member": user})]
        asked = [{"userIdIn": user, **wanted}]
        return [*asked, {"groupIdIn": ",".join(groups), **wanted}] if groups else asked

    async def _named(self, asked: list[dict[str, str]]) -> AsyncIterator[str]:
        """Yield what each row is about, which may be ANY: of each question one row more than are looked at."""
        for wanted in asked:
            query = {"resourceType": str(INSTANCE), **wanted}
            async for row in self._lists.rows("/authorization", query, most=MOST_SINGLE + 1):
                yield str(row.get("resourceId") or ANY)

    async def _may(self, user: str, permission: str, resource: int, name: str) -> bool:
        asked = {"permissionName": permission, "resourceName": permission, "resourceType": resource, "resourceId": name}
        reply = await self._transport.send("GET", f"/authorization/check?{urlencode({**asked, 'userId': user})}")
        if reply.missing:
            raise EngineDown(f"the engine does not say what a user may do: {describe(reply)}")
        authorized = reply.value(dict).get("authorized")
        if not isinstance(authorized, bool):
            raise EngineDown("the engine does not say what a user may do")
        return authorized
