"""The transcript over HTTP, to be read by those who may."""

from worker.web.api import tokens
from worker.web.api.access import Access
from worker.web.api.application import app
from worker.web.api.asks import Intake, asking
from worker.web.api.decisions import deciding
from worker.web.api.erasing import erasing
from worker.web.api.feedback import rating
from worker.web.api.grants import (
    Grant,
    Known,
    MayAsk,
    MayErase,
    MayHandOver,
    MayRead,
    MayReadStops,
    MayStop,
    MaySway,
    MayTalk,
)
from worker.web.api.handovers import handing_over
from worker.web.api.login import Client
from worker.web.api.memory import Memorising, memorising
from worker.web.api.persons import Persons, roles
from worker.web.api.remarks import recording
from worker.web.api.rewinding import rewinding
from worker.web.api.server import serve
from worker.web.api.sight import EngineSight
from worker.web.api.stops import stopping
from worker.web.api.talks import talking
from worker.web.api.tickets import TicketOffice, ticketing
from worker.web.api.visits import visiting

__all__ = [
    "Access",
    "Client",
    "EngineSight",
    "Grant",
    "Intake",
    "Known",
    "MayAsk",
    "MayErase",
    "MayHandOver",
    "MayRead",
    "MayReadStops",
    "MayStop",
    "MaySway",
    "MayTalk",
    "Memorising",
    "Persons",
    "TicketOffice",
    "app",
    "asking",
    "deciding",
    "erasing",
    "handing_over",
    "memorising",
    "rating",
    "recording",
    "rewinding",
    "roles",
    "serve",
    "stopping",
    "talking",
    "ticketing",
    "tokens",
    "visiting",
]
