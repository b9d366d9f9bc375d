"""Names of what we keep in Redis. One hash tag per thread keeps every script inside one cluster slot."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from worker.domain.exchanges import TRANSCRIPT
from worker.domain.threads import ThreadKey


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one thread: `<prefix>:<engine>:{[<tenant>:]<scope>:<assistant>}:…`.

    Parts are percent-encoded, so that no id can imitate another part, a brace or the separator.
    """

    thread: str
    hold: str
    said: str
    fold: str
    refused: str
    watched: str
    live: str
    erased: str
    _turns: str

    @staticmethod
    @lru_cache(maxsize=4096)  # a turn asks for them again and again
    def of(prefix: str, key: ThreadKey) -> "Keys":
        """Name the keys of this thread."""
        parts = [key.scope, key.assistant] if key.tenant is None else [key.tenant, key.scope, key.assistant]
        tagged = f"{stem(prefix, key.engine)}:{{{':'.join(map(_encode, parts))}}}"
        return Keys(
            thread=f"{tagged}:thread",
            hold=f"{tagged}:hold",
            said=f"{tagged}:said",
            fold=f"{tagged}:fold",
            refused=f"{tagged}:refused",
            watched=f"{tagged}:watched",
            live=f"{tagged}:live",
            erased=f"{tagged}:erased",
            _turns=f"{tagged}:turn",
        )

    def turn(self, task_id: str) -> str:
        """Name the journal entry of one task."""
        return f"{self._turns}:{_encode(task_id)}"

    @staticmethod
    def exchanges(turn: str, sink: str) -> str:
        """Name the hash with what a sink has yet to get of a journal entry: the transcript's is the entry itself."""
        thread, _, task = turn.rpartition(":turn:")
        # Under the thread's hash tag as well: the script that keeps the answer writes it in the same step.
        return turn if sink == TRANSCRIPT else f"{thread}:unrecorded:{sink}:{task}"

    @staticmethod
    def task_of(turn: str) -> str:
        """Read a journal entry's task from its name; of a name that we did not give, what stands there."""
        part = turn.rpartition(":")[2]
        return part if (task := _decoded(part)) is None else task


@dataclass(frozen=True, slots=True)
class Name:
    """What a key's name says: of which thread it is, and what of it: map, hold, history, turn, or unknown."""

    key: ThreadKey
    kind: str


def stem(prefix: str, engine: str) -> str:
    """Begin the name of every key of one engine."""
    return f"{prefix}:{_encode(engine)}"


def read_name(name: str, prefix: str, engine: str) -> Name | None:
    """Read the name of anything that is kept under a thread's hash tag; None for any other."""
    tag, closed, rest = name.removeprefix(f"{stem(prefix, engine)}:{{").partition("}:")
    parts = [_decoded(part) for part in tag.split(":")]
    kind = rest.partition(":")[0]
    match parts:
        case [str(scope), str(assistant)] if closed and scope and kind:
            return Name(ThreadKey(engine, scope, assistant), kind)
        case [str(tenant), str(scope), str(assistant)] if closed and scope and kind:
            return Name(ThreadKey(engine, scope, assistant, tenant), kind)
    return None


def unrecorded(prefix: str, engine: str, sink: str) -> str:
    """Name the list of turns that a sink may not have yet; the transcript's was there before there were others."""
    return f"{stem(prefix, engine)}:unrecorded" + ("" if sink == TRANSCRIPT else f":{sink}")


def wanted(prefix: str, engine: str, *parts: str) -> str:
    """Name an assistant's version that a task wants and nobody has, in a slot of its own."""
    return f"{stem(prefix, engine)}:wanted:{{{':'.join(map(_encode, parts))}}}"


def heartbeat(prefix: str, engine: str, worker: str) -> str:
    """Name a worker's heartbeat, in a slot of its own."""
    return f"{stem(prefix, engine)}:heartbeat:{{{_encode(worker)}}}"


def budget(prefix: str, engine: str, *parts: str) -> str:
    """Name what is used of a budget, in a slot of its own."""
    return f"{stem(prefix, engine)}:budget:{{{':'.join(map(_encode, parts))}}}"


def read_budget(name: str) -> tuple[str, str, str] | None:
    """Read the name of what is used of a budget: its three parts; None for one that we did not give."""
    match [_decoded(part) for part in name.rpartition("{")[2].removesuffix("}").split(":")]:
        case [str(scope), str(named), str(day)]:
            return scope, named, day
    return None


@lru_cache(maxsize=4096)  # as above: a turn's task is part of four names
def _encode(part: str) -> str:
    return quote(part, safe="", errors="surrogatepass")


def _decoded(part: str) -> str | None:
    """Decode a part; None for what is not as we write it: it would be taken for another's, or be none at all."""
    try:
        text = unquote(part, errors="surrogatepass")
    except UnicodeDecodeError:
        return None
    return text if _encode(text) == part else None
