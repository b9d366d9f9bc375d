"""What redis-py's errors mean and what to do about them: transient and wrongly configured are told apart."""

import re
from dataclasses import dataclass

from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import AuthenticationError, RedisClusterException, RedisError, ResponseError
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as NoReply

from worker.errors import StoreDown

ERRORS = (RedisError, RedisClusterException, OSError)
"""Everything a command may raise. A cluster's client has errors of its own, which are no RedisError."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why Redis cannot be used, and what a person does about it, or that it passes."""

    meaning: str
    advice: str


_ACCESS = Trouble("it does not accept us", "Put user and password into REDIS_URL, special characters as %xx.")
_NODE = Trouble(
    "it is one node of a cluster", "Begin REDIS_URL with redis+cluster://, or with rediss+cluster:// for TLS."
)
_PART = Trouble(
    "its cluster lacks servers for a part of the keys",
    "This passes when replicas are promoted; where there are none, start the servers that are down.",
)
_BY_CODE = {
    "READONLY": Trouble(
        "it is a replica, which takes no writes",
        "This passes if it is being replaced; else name the primary in REDIS_URL, or its Sentinels.",
    ),
    "LOADING": Trouble("it is loading its data", "This passes by itself."),
    "OOM": Trouble("its memory is full, and it takes no writes", "Raise its maxmemory, or clear it of others' keys."),
    "NOAUTH": _ACCESS,
    "WRONGPASS": _ACCESS,
    "NOPERM": Trouble(
        "its ACL denies us a command or a key", "Grant EVAL and EVALSHA, and the keys below REDIS_PREFIX."
    ),
    "MOVED": _NODE,
    "ASK": _NODE,
    "CROSSSLOT": _NODE,
    "CLUSTERDOWN": _PART,
    "TRYAGAIN": Trouble("its cluster is moving our keys", "This passes by itself."),
    "MASTERDOWN": Trouble("it is a replica that has lost its primary", "Name the primary in REDIS_URL."),
    "MISCONF": Trouble("it cannot write to its disk, and takes no writes", "See its log; its disk may be full."),
    "NOREPLICAS": Trouble("it lacks replicas, and takes no writes then", "Start its replicas."),
    "BUSY": Trouble("a script of somebody else blocks it", "Find that script; SCRIPT KILL ends it."),
}
_UNTRUSTED = Trouble(
    "its certificate is not trusted",
    "Set REDIS_CA_FILE to its authority; the certificate must be valid and name the host that REDIS_URL names.",
)
_NO_TLS = Trouble("TLS fails", "Use redis:// for a server without TLS, and rediss:// for one with it.")
_NO_MASTER = Trouble(
    "no Sentinel was reached that knows a living master of this name",
    "This passes after a promotion; else correct Sentinels, service or sentinel_password in REDIS_URL.",
)
_NO_CLUSTER = Trouble("it is no cluster", "Begin REDIS_URL with redis://, or with rediss:// for TLS.")
_SILENT = Trouble("no answer in time", "See whether it runs, is overloaded, or is cut off by a firewall.")
_AWAY = Trouble("nobody answers there", "Start Redis, or correct REDIS_URL.")
_NO_DATABASE = Trouble("it has no such database", "Correct the number at the end of REDIS_URL.")
_OTHER = Trouble("it refuses", "See its log.")
_CROWDED = Trouble("it has too many clients", "Raise its maxclients, or lower MAX_TASKS.")

# Before Redis 7 a script's trouble is an ERR whose text holds the code.
_INNER = re.compile(r"-(READONLY|OOM|NOPERM|MISCONF|NOREPLICAS|LOADING|MASTERDOWN)\b")


def down(exc: Exception) -> StoreDown:
    """Say why Redis cannot be used, without its own texts, which may carry keys or addresses."""
    trouble, code = explain(exc), code_of(exc)
    return StoreDown(f"Redis cannot be used: {trouble.meaning} ({code or type(exc).__name__}). {trouble.advice}")


def explain(exc: BaseException) -> Trouble:
    """Find what an error means."""
    code, text = code_of(exc), str(exc)
    if code in _BY_CODE:
        return _BY_CODE[code]
    # By its text before its class: of TLS, and of too many clients, the driver makes the same ConnectionError.
    for sign, trouble in _SIGNS:
        if sign in text:
            return trouble
    if isinstance(exc, RedisClusterException):  # wraps what the last node that it asked said
        return explain(exc.__cause__) if exc.__cause__ else _PART
    return next((trouble for kind, trouble in _BY_CLASS if isinstance(exc, kind)), _OTHER)


_SIGNS = (
    ("CERTIFICATE_VERIFY_FAILED", _UNTRUSTED),
    ("[SSL", _NO_TLS),
    ("Cluster mode is not enabled", _NO_CLUSTER),
    ("DB index is out of range", _NO_DATABASE),
    ("max number of clients reached", _CROWDED),
)

_BY_CLASS: tuple[tuple[type[Exception], Trouble], ...] = (
    (AuthenticationError, _ACCESS),
    (MasterNotFoundError, _NO_MASTER),
    (NoReply, _SILENT),
    (TimeoutError, _SILENT),
    (NoConnection, _AWAY),
    (OSError, _AWAY),
)


def code_of(exc: BaseException) -> str:
    """Return Redis' error code (`READONLY`, `OOM` …), "" where there is none."""
    inner = _INNER.search(str(exc))
    if inner:
        return inner[1]
    known = getattr(exc, "status_code", None)
    if known:
        return str(known)
    word = (str(exc).split() or [""])[0].rstrip(":")
    return word if isinstance(exc, ResponseError) and re.fullmatch("[A-Z]+", word) else ""


def spoils_a_script(exc: ResponseError) -> bool:
    """Whether a script failed at what it found under our keys, and not at the state of the server."""
    text = str(exc)
    if "WRONGTYPE" in text:
        return True
    # Servers name `user_script:<line>` where Lua failed, over a text in a number's place for one; a full one does, too.
    return code_of(exc) not in _BY_CODE and "user_script" in text
