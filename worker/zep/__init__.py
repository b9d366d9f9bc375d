"""Memory beyond an instance in Zep Cloud, by either of its APIs."""

from worker.zep.memory import ZepMemory
from worker.zep.transport import Connection, Dialect

__all__ = ["Connection", "Dialect", "ZepMemory"]
