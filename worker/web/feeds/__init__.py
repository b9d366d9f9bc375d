"""Conversations as they go on: what is said, and how far those who say it are, to whoever reads along."""

from worker.web.feeds.feeds import Feeds
from worker.web.feeds.routes import following
from worker.web.feeds.socket import sockets

__all__ = ["Feeds", "following", "sockets"]
