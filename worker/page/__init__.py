"""The page on which people read the record: its files, and the routes that only it needs."""

from worker.page.processes import Processes, State
from worker.page.routes import routes

__all__ = ["Processes", "State", "routes"]
