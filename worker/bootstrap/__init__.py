"""Puts the worker together: what is written, the adapters, and the work; alone in knowing all of them."""

from worker.bootstrap.adapters import Adapters, Connected, connect, ending_ports
from worker.bootstrap.live import names
from worker.bootstrap.working import run, spare_collections, work
from worker.bootstrap.written import Written, check, policy, provider_specs, record_key

__all__ = [
    "Adapters",
    "Connected",
    "Written",
    "check",
    "connect",
    "ending_ports",
    "names",
    "policy",
    "provider_specs",
    "record_key",
    "run",
    "spare_collections",
    "work",
]
