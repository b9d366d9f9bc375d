"""Addresses that people write, taken apart."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit


def split_http(address: str) -> SplitResult | None:
    """Take an address of HTTP apart; None for what is none, whose parts an error text of urllib would quote."""
    try:
        parts = urlsplit(address.strip())
        parts.port  # noqa: B018 - it is parsed on access only
    except ValueError:
        return None
    usable = parts.scheme in {"http", "https"} and parts.hostname and not re.search(r"\s", address.strip())
    return parts if usable else None


MAX_PORT = 65535
REDIS_PORT, SENTINEL_PORT = 6379, 26379

_LOGIN = r"((?P<user>[^@/?#\s:]*)(:(?P<password>[^@/?#\s]*))?@)?"
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@/?#,\s]+)(:\d{1,5})?"
_NODE = re.compile(r"(\[(?P<six>[^\]]+)\]|(?P<host>[^:\[\],]+))(:(?P<port>\d+))?")
_QUERY = r"(\?(?P<query>[^#\s]*))?"
_NAMED = frozenset({"db", "username", "password"})
_CERTIFICATE = frozenset({"ssl_certfile", "ssl_keyfile"})

RedisForm = Literal["server", "socket", "sentinel", "cluster"]


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One way of writing an address of Redis. Options that would weaken TLS or our timeouts are none of its own."""

    scheme: str
    address: str
    example: str
    options: frozenset[str]


_PATTERNS: Mapping[RedisForm, _Pattern] = {
    "server": _Pattern(
        "rediss?:",
        rf"rediss?://{_LOGIN}(?P<nodes>{_HOST})(/(?P<database>\d*))?{_QUERY}",
        "redis://user:password@host:6379/0, rediss://…, unix:///path, redis+sentinel://… or redis+cluster://…",
        _NAMED,
    ),
    "socket": _Pattern(
        "unix:",
        rf"unix://{_LOGIN}(?P<path>/[^?#]+){_QUERY}",
        "unix://user:password@/path?db=0",
        _NAMED,
    ),
    "sentinel": _Pattern(
        r"rediss?\+sentinel:",
        rf"rediss?\+sentinel://{_LOGIN}(?P<nodes>{_HOST}(,{_HOST})*)/(?P<service>[^/?#\s]+)(/(?P<database>\d*))?{_QUERY}",
        "redis+sentinel://user:password@host1:26379,host2:26379/service/0",
        frozenset({"sentinel_password", "sentinel_username"}),
    ),
    "cluster": _Pattern(
        r"rediss?\+cluster:",
        rf"rediss?\+cluster://{_LOGIN}(?P<nodes>{_HOST}(,{_HOST})*)/?{_QUERY}",
        "redis+cluster://user:password@host1:6379,host2:6379 without a database",
        frozenset(),
    ),
}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """How Redis is run, and where. `nodes` are hosts with ports, none for a socket, which has its `path`.

    `options` are what the address has besides, by their names in it. `shown` has no credentials, and no options, which
    may hold some too.
    """

    form: RedisForm
    tls: bool
    nodes: tuple[tuple[str, int], ...]
    path: str
    service: str
    database: int
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    options: Mapping[str, str] = field(repr=False)
    shown: str

    @classmethod
    def read(cls, address: str) -> Self:
        """Take an address apart. ValueError: what is wrong, without a word of it, as its parts may be a password's."""
        form: RedisForm = next((form for form, each in _PATTERNS.items() if re.match(each.scheme, address)), "server")
        pattern, tls = _PATTERNS[form], address.startswith("rediss")
        found = re.fullmatch(pattern.address, address)
        if found is None:
            raise ValueError(f"must look like {pattern.example}; special characters of the password as %xx")
        parts = found.groupdict()
        nodes = tuple(_nodes(parts.get("nodes") or "", SENTINEL_PORT if form == "sentinel" else REDIS_PORT))
        allowed = pattern.options | {"client_name"} | (_CERTIFICATE if tls else set())
        options = parse_qsl(parts["query"] or "", keep_blank_values=True)
        given = dict(options)
        if len(given) < len(options):
            raise ValueError("must have each option after ? once")
        if not given.keys() <= allowed:
            raise ValueError(f"must have no options after ? but {', '.join(sorted(allowed))}")
        named = {name: given.pop(name, None) for name in _NAMED}
        if named["db"] is not None and not re.fullmatch("[0-9]{1,5}", named["db"]):
            raise ValueError("must name the database by its number, such as ?db=0")
        scheme, _, rest = address.partition("://")
        return cls(
            form=form,
            tls=tls,
            nodes=nodes,
            path=unquote(parts.get("path") or ""),
            service=unquote(parts.get("service") or ""),
            database=int(named["db"] or parts.get("database") or 0),
            username=unquote(parts["user"] or "") or named["username"] or None,
            password=unquote(parts["password"] or "") or named["password"] or None,
            options=given,
            shown=f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}",
        )


def _nodes(text: str, usual_port: int) -> Iterator[tuple[str, int]]:
    for node in _NODE.finditer(text):
        port = int(node["port"] or usual_port)
        if port > MAX_PORT:
            raise ValueError(f"must name ports up to {MAX_PORT}")
        yield unquote(node["six"] or node["host"]), port
