"""What users of the engine may do there."""

from typing import Literal, Protocol

DefinitionRight = Literal["READ_INSTANCE", "READ_HISTORY"]
"""The right to see a process' instances while they run, and the one to see what was of them."""


class EngineRights(Protocol):
    """Every method may raise EngineDown, EngineDenied: then nobody can tell."""

    async def on_definition(self, user: str, right: DefinitionRight, key: str) -> bool:
        """Whether a user has a right on the process of this key."""
        ...

    async def on_every_instance(self, user: str) -> bool:
        """Whether a user may see every instance that runs, whatever its process."""
        ...

    async def on_instances(self, user: str) -> frozenset[str]:
        """Return instances that a user was given the right to see one by one."""
        ...

    async def tenants(self, user: str) -> frozenset[str]:
        """Return the tenants that a user is a member of, or a group of theirs is."""
        ...
