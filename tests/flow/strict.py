"""An engine that asks who may do what and gives no list without a limit, and users there who get rights one by one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.flow.rig import Rig
from tests.models import unique
from tests.rest import MOST, EngineRest, connect
from worker.demo.engine import Engine
from worker.engine.info import RIGHTS


@dataclass
class User:
    """A user of the strict engine who gets rights one by one."""

    rest: EngineRest
    name: str = field(default_factory=lambda: unique("worker").replace("_", ""))

    async def create(self) -> None:
        profile = {"id": self.name, "firstName": self.name, "lastName": self.name}
        await self.rest.post("user/create", {"profile": profile, "credentials": {"password": self.name}})

    async def may(self, permission: str, resource: tuple[str, int], resource_id: str = "*") -> None:
        """The engine has one row for each user and resource."""
        about = {"userIdIn": self.name, "resourceType": resource[1], "resourceId": resource_id, "maxResults": MOST}
        rows = await self.rest.get("authorization", **about)
        if rows:
            permissions = [*rows[0]["permissions"], permission]
            await self.rest.put(f"authorization/{rows[0]['id']}", rows[0] | {"permissions": permissions})
            return
        row = {"type": 1, "userId": self.name, "resourceType": resource[1], "resourceId": resource_id}
        await self.rest.post("authorization/create", row | {"permissions": [permission]})

    async def may_all_but(self, *lacking: str, choice: int = 0) -> None:
        """Grant what doctor and README list, but this; `choice` of each row's rights, or its last one."""
        for rights in RIGHTS.values():
            permission, resource = rights[min(choice, len(rights) - 1)]
            if f"{permission} on {resource[0]}" not in lacking:
                await self.may(permission, resource)


@pytest.fixture
async def strict(rig: Rig, strict_engine: Engine) -> AsyncIterator[Rig]:
    """The rig on the strict engine; `user` below works there."""
    async with connect(strict_engine) as rest:
        rig.rest = rest
        yield rig


@pytest.fixture
async def user(strict: Rig) -> User:
    """One without any right, as whom workers log in."""
    user = User(strict.rest)
    await user.create()
    strict.settings |= {"engine_user": user.name, "engine_password": user.name}
    return user
