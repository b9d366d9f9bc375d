"""The record over HTTP, to be read by those who may."""

from worker.api.access import Access, Grant, Operator, Viewer
from worker.api.application import app
from worker.api.erasing import erasing
from worker.api.export import as_json, as_markdown
from worker.api.server import serve

__all__ = ["Access", "Grant", "Operator", "Viewer", "app", "as_json", "as_markdown", "erasing", "serve"]
