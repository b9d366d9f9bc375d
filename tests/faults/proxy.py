"""Rules by which a proxy spoils what it passes on; the two proxies that obey them stand beside this file."""

import asyncio
import random
import re
import socket
import struct
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from tests.faults.history import History
from worker.demo.processes import free_port

When = Literal["", "before", "after"]


@dataclass(frozen=True, slots=True)
class Said:
    """What a proxy says in the place of an HTTP server."""

    status: int = 200
    body: str = ""
    type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Rule:
    """Which calls are spoiled, and how. The first rule that takes a call counts; effects may be combined.

    call        regular expression, searched in `POST /path?query` or in the name of a script or command
    text        has to be in the body
    skip, times lets the first ones pass; hits so many, None for ever
    probability of a hit, by a seed of its own
    wait        seconds before the server gets it              late    seconds between its reply and ours
    cut         the connection is reset before the server gets it, or after it has replied
    hang        silence until the client leaves: the server gets nothing, or has replied
    twice       the server gets it a second time; the client hears the second reply
    drip        bytes a second of the reply
    say         the reply, instead of asking the server; with `acted` the server was asked all the same
    """

    call: str = ""
    _: KW_ONLY
    text: str = ""
    skip: int = 0
    times: int | None = None
    probability: float = 1.0
    seed: int = 0
    wait: float = 0.0
    late: float = 0.0
    cut: When = ""
    hang: When = ""
    twice: bool = False
    drip: float = 0.0
    say: Said | str | None = None
    acted: bool = False
    hits: int = 0
    seen: int = 0
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)  # noqa: S311 - a schedule that can be repeated

    def takes(self, call: str, text: str) -> bool:
        """Whether this call is spoiled; counts."""
        if self.times is not None and self.hits >= self.times:
            return False
        if self.text not in text or not re.search(self.call, call):
            return False
        self.seen += 1
        if self.seen <= self.skip or self.dice.random() >= self.probability:
            return False
        self.hits += 1
        return True

    @property
    def withholds(self) -> bool:
        """Whether the server is not asked."""
        return "before" in {self.cut, self.hang} or (self.say is not None and not self.acted)


PASS = Rule()
"""Spoils nothing."""


class Proxy:
    """What both proxies have in common: an address of their own, rules, a history."""

    def __init__(self, server: str, history: History) -> None:
        self.server = server
        self.history = history
        self.port = free_port()  # not one that the system gives away while this is down
        self._rules: list[Rule] = []

    def spoil(self, call: str = "", **effects: Any) -> Rule:
        """Add a rule."""
        rule = Rule(call, **effects)
        self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Take this rule back; it may be gone already."""
        self._rules = [each for each in self._rules if each is not rule]

    def heal(self) -> None:
        """Spoil nothing from now on."""
        self._rules.clear()

    def rule(self, call: str, text: str) -> Rule:
        """The rule that takes this call."""
        return next((rule for rule in self._rules if rule.takes(call, text)), PASS)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """End a connection so that the other side sees an error and no orderly end."""
    if transport is None:
        return
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


async def left(transport: asyncio.BaseTransport | None) -> None:
    """Return when the client has closed its connection."""
    while transport is not None and not transport.is_closing():  # noqa: ASYNC110 - nothing tells us
        await asyncio.sleep(0.02)
