"""What operators have stopped: an assistant, a provider, a topic, a tenant, or everything."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, get_args

from worker.domain.deployed import is_deployed
from worker.errors import Permanent

Kind = Literal["all", "assistant", "provider", "tenant", "topic"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
LONGEST_NAME: Final = 255
LONGEST_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class Work:
    """What a task's call of a model is of. A task may have no tenant."""

    topic: str
    tenant: str | None
    assistant: str
    provider: str


@dataclass(frozen=True, slots=True)
class Stop:
    """One of them. `name` is empty for everything. `now`: calls that run are to be broken off, too.

    `limited`: whoever ordered it may act for some tenants only. Others of that kind may change it, and no other stop.
    """

    kind: Kind
    name: str
    by: str
    since: datetime
    reason: str = ""
    now: bool = False
    limited: bool = False

    @property
    def words(self) -> str:
        """Name it as the commands do."""
        return f"{self.kind} {self.name}".rstrip()

    @property
    def what(self) -> str:
        """Name what is stopped."""
        return described(self.kind, self.name)

    @property
    def public(self) -> str:
        """Say for everybody what is stopped: neither by whom nor why, and of a tenant not which."""
        what = "a tenant" if self.kind == "tenant" else self.what
        return f"{what} is stopped since {self.since:%Y-%m-%d %H:%M:%SZ}"

    def concerns(self, work: Work) -> bool:
        """Whether no call may start for this work."""
        return self.kind == "all" or getattr(work, self.kind) == self.name

    def __str__(self) -> str:
        """Say it in one line."""
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.what} is stopped by {self.by} since {self.since:%Y-%m-%d %H:%M:%SZ}{reason}"


@dataclass(frozen=True, slots=True)
class Stops:
    """All that is stopped. `ignored` says in a line each what stands there that this version cannot read."""

    known: tuple[Stop, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """Say it, a line each."""
        return [*map(str, self.known), *self.ignored]


def described(kind: Kind, name: str) -> str:
    """Name what a stop is about."""
    return "everything" if kind == "all" else f"{kind} {name}"


def order(
    kind: Kind,
    name: str,
    by: str,
    known: Mapping[Kind, Collection[str]],
    *,
    reason: str = "",
    now: bool = False,
    limited: bool = False,
) -> Stop:
    """Make the stop that a person asks for. `known` has all names of the kinds in it. Raises Permanent.

    Nobody lists the assistants that came with processes.
    """
    name = checked(kind, name)
    is_listed = kind in known and not (kind == "assistant" and is_deployed(name))
    if is_listed and name not in known[kind]:
        raise Permanent(f"no {kind} is called {name!r}{_offer(name, sorted(known[kind]))}")
    since = datetime.now(UTC).replace(microsecond=0)
    return Stop(kind, name, _line(by), since, _line(reason)[:LONGEST_REASON], now, limited)


def checked(kind: Kind, name: str) -> str:
    """Return a name that may be one of this kind. Raises Permanent."""
    name = name.strip()
    if kind == "all":
        if name:
            raise Permanent(f"all takes no name; is {name!r} an assistant, a provider, a topic or a tenant?")
    elif not name:
        raise Permanent(f"say which {kind}")
    elif len(name) > LONGEST_NAME or not name.isprintable():
        raise Permanent(f"a {kind}'s name has at most {LONGEST_NAME} characters, and none that cannot be printed")
    return name


def _offer(wrong: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(wrong, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"{hint} There are: {', '.join(known) or 'none'}"


def _line(text: str) -> str:
    """Have a text of a person's on one line, which does nothing to whoever prints it."""
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))
