"""The record over HTTP, to be read by those who may."""

from worker.web.api.access import Access, Grant, Operator, Viewer
from worker.web.api.application import app
from worker.web.api.asks import asking
from worker.web.api.erasing import erasing
from worker.web.api.server import serve
from worker.web.api.stops import stopping

__all__ = ["Access", "Grant", "Operator", "Viewer", "app", "asking", "erasing", "serve", "stopping"]
