"""Names of what we keep in Redis. One hash tag per thread keeps every script inside one cluster slot."""

from dataclasses import dataclass
from urllib.parse import quote

from worker.domain import ThreadKey


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one thread: `<prefix>:<engine>:{[<tenant>:]<scope>:<assistant>}:…`.

    Parts are percent-encoded, so that no id can imitate another part, a brace or the separator.
    """

    thread: str
    hold: str
    _turns: str

    @classmethod
    def of(cls, prefix: str, key: ThreadKey) -> "Keys":
        """Name the keys of this thread."""
        parts = [key.scope, key.assistant] if key.tenant is None else [key.tenant, key.scope, key.assistant]
        stem = f"{prefix}:{_encode(key.engine)}:{{{':'.join(map(_encode, parts))}}}"
        return cls(thread=f"{stem}:thread", hold=f"{stem}:hold", _turns=f"{stem}:turn")

    def turn(self, task_id: str) -> str:
        """Name the journal entry of one task."""
        return f"{self._turns}:{_encode(task_id)}"


def unrecorded(prefix: str, engine: str) -> str:
    """Name the one list of turns that the transcript may not have yet."""
    return f"{prefix}:{_encode(engine)}:unrecorded"


def _encode(part: str) -> str:
    return quote(part, safe="", errors="surrogatepass")
