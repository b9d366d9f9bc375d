"""The record over HTTP, to be read by those who may."""

from worker.web.api.access import Access
from worker.web.api.application import app
from worker.web.api.erasing import erasing
from worker.web.api.feedback import rating
from worker.web.api.grants import Grant, Known, MayAsk, MayErase, MayHandOver, MayRead, MayStop, MaySway
from worker.web.api.server import serve
from worker.web.api.stops import stopping

__all__ = [
    "Access",
    "Grant",
    "Known",
    "MayAsk",
    "MayErase",
    "MayHandOver",
    "MayRead",
    "MayStop",
    "MaySway",
    "app",
    "erasing",
    "rating",
    "serve",
    "stopping",
]
