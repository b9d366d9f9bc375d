"""The record over HTTP, to be read by those who may."""

from worker.api.access import Access, Grant, Operator, Viewer
from worker.api.application import app
from worker.api.erasing import erasing
from worker.api.server import serve

__all__ = ["Access", "Grant", "Operator", "Viewer", "app", "erasing", "serve"]
