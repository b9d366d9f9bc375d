"""The page on which people read the transcript: its files, and the routes that only it needs."""

from worker.web.page.processes import Processes, State
from worker.web.page.routes import routes

__all__ = ["Processes", "State", "routes"]
