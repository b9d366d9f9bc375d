"""The connections of one port: clients that open many, or open one and say nothing, take no room from others."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

SWEEP_SECONDS = 1.0

Make = Callable[..., asyncio.Protocol]


class Connections:
    """Keeps at most `most` connections open, and none that waits for its client for longer than `patience`.

    Where there is one too many, the one that has waited longest is closed: who asks at once is never it.
    """

    def __init__(self, most: int, patience: timedelta) -> None:
        self._most = most
        self._patience = patience.total_seconds()
        self._open: set[_Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None

    def guard(
        self, make: Make, is_busy: Callable[[Any], bool], is_apart: Callable[[Any], bool] = lambda _: False
    ) -> Make:
        """Wrap a server's maker of protocols. `is_busy` says whether a protocol is at work on a request.

        Busy or not, a client that does not read its answer lets us wait. `is_apart` says whether a busy one does not
        count, as it is bounded elsewhere and would keep requests out for hours.
        """

        def made(*args: Any, **options: Any) -> asyncio.Protocol:
            return _Connection(self, make(*args, **options), is_busy, is_apart)

        return made

    def enter(self, connection: "_Connection") -> None:
        """Take a new connection in."""
        self._open.add(connection)
        counted = [each for each in self._open if not each.is_apart()]
        if len(counted) > self._most:
            max(counted, key=_Connection.waited).close()
        if self._sweep is None:
            self._later()

    def leave(self, connection: "_Connection") -> None:
        """Forget a connection that is closed."""
        self._open.discard(connection)
        if not self._open and self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._look)

    def _look(self) -> None:
        for each in list(self._open):
            if each.waited() > self._patience:
                each.close()
        self._later()


class _Connection(asyncio.Protocol):
    """Passes everything on, and knows since when it waits for its client."""

    def __init__(
        self,
        connections: Connections,
        inner: asyncio.Protocol,
        is_busy: Callable[[Any], bool],
        is_apart: Callable[[Any], bool],
    ) -> None:
        self._connections = connections
        self._inner = inner
        self._is_busy = is_busy
        self._is_apart = is_apart
        self._clock = asyncio.get_running_loop().time
        self._since = self._clock()
        self._is_stalled = False
        self._transport: asyncio.Transport

    def waited(self) -> float:
        """Seconds that the client has let us wait by now."""
        now = self._clock()
        if self._is_busy(self._inner) and not self._is_stalled:
            self._since = now
        return now - self._since

    def is_apart(self) -> bool:
        """Whether it does not count among the others now."""
        return self._is_busy(self._inner) and self._is_apart(self._inner)

    def close(self) -> None:
        """Hang up, whatever is still to be sent."""
        self._connections.leave(self)
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's own servers make no others
        self._transport = transport
        self._inner.connection_made(transport)
        self._connections.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.leave(self)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)
        if self._transport.get_protocol() is not self:  # a socket's has taken its place
            self._connections.leave(self)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._is_stalled, self._since = True, self._clock()
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._is_stalled, self._since = False, self._clock()
        self._inner.resume_writing()
