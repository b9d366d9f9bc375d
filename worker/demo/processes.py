"""Programs of ours on 127.0.0.1: ready when start returns, and gone when we are, however we go."""

import asyncio
import contextlib
import http.client
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

HOST = "127.0.0.1"
CHECK_SECONDS = 0.05
PORT_SECONDS = 2.0
"""How long a start waits for its port: children of a killed server may hold it a moment longer."""

# Below the ports that systems give to outgoing connections, so that none of those takes ours before it is bound.
_PORTS = range(20_000, 30_000)

# The guard's pipe breaks when its owner dies, also by kill -9 or out of memory. PR_SET_PDEATHSIG would be bound to the
# thread that started the program, and there is none outside of Linux.
_GUARD = 'read -r _; kill -9 "-$1"; if [ -n "$2" ]; then rm -rf -- "$2"; fi'


class StartError(Exception):
    """A program did not get ready; the text ends with the last lines of its log."""


class Process:
    """A program with a directory and a log; `with` starts it and closes it.

    Not bound to an event loop: every method blocks, and one may stop from another thread what a first one is starting.
    From asyncio use `running`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path] | Callable[[], Sequence[str | Path]],
        *,
        ready: Callable[[], bool],
        port: int | None = None,
        directory: Path | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        start_seconds: float = 90,
        stop_seconds: float = 15,
    ) -> None:
        """`ready` is asked until it says True; it must not raise. `command` may be made anew for each start.

        The program works in `directory`; without one it gets a temporary one that close removes. `env` is its whole
        environment, by default ours. `port` must be free for a start; it is only checked here.
        """
        self.name = name
        self.port = port or 0
        self.directory = directory or Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self._temporary = directory is None
        self._command = command
        self._ready = ready
        self._env = env
        self._user = user
        self._stop_signal = stop_signal
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._lock = threading.Lock()
        self._closed = False
        self._popen: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def log(self) -> Path:
        """What the program printed, over all its starts."""
        return self.directory / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Process id, also of the one that ended last; RuntimeError before the first start."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether the program runs now; ready or not."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended: exit code, or the negative number of the signal; None while it runs."""
        return self._started().poll()

    def start(self) -> None:
        """Returns when the program is ready; otherwise StartError, and nothing is left running."""
        command = self._command() if callable(self._command) else self._command
        self._await_port()
        with self._lock:
            if self._closed or self.running:
                raise StartError(f"{self.name} is {'closed' if self._closed else 'running already'}")
            self._spawn([str(part) for part in command])
        try:
            self._await_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> int | None:
        """Ends it as it wants to be ended, or kills it when that takes too long; start may follow. The exit code."""
        if self._popen is None:
            return None
        if self.running:
            self._popen.send_signal(self._stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(self._stop_seconds)
        self.kill()
        return self._popen.returncode

    def kill(self) -> None:
        """SIGKILL for the program and all of its group; returns when it is gone. start may follow."""
        if self._popen is None:
            return
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
        guard, self._guard = self._guard, None  # start may be giving up in another thread
        if guard is not None:
            guard.kill()
            guard.communicate()

    def restart(self) -> None:
        """Stop, then start: same port, same directory, so the same data."""
        self.stop()
        self.start()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the program itself, e.g. SIGSTOP and SIGCONT."""
        self._started().send_signal(number)

    def wait(self, seconds: float) -> int:
        """The exit code when the program ends by itself in time; otherwise subprocess.TimeoutExpired."""
        return self._started().wait(seconds)

    def close(self) -> None:
        """Stops it for good and removes its directory if that is a temporary one; may be called again."""
        with self._lock:
            self._closed = True
        self.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of the log."""
        try:
            return "\n".join(self.log.read_text("utf-8", errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def _started(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._popen

    def _spawn(self, command: list[str]) -> None:
        account = pwd.getpwnam(self._user) if self._user else None
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                command,
                cwd=self.directory,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                start_new_session=True,  # Ctrl-C reaches us only, and we end it in order
            )
        scratch = str(self.directory) if self._temporary else ""
        try:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "guard", str(self._popen.pid), scratch],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            self.kill()
            raise

    def _await_port(self) -> None:
        deadline = time.monotonic() + PORT_SECONDS
        while self.port and not is_free(self.port):
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} cannot start: port {self.port} is taken")
            time.sleep(CHECK_SECONDS)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + self._start_seconds
        while not self._ready():
            if not self.running:
                raise StartError(f"{self.name} ended with exit code {self.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} is not ready after {self._start_seconds} s:\n{self.log_tail()}")
            time.sleep(CHECK_SECONDS)


P = TypeVar("P", bound=Process)


@contextlib.asynccontextmanager
async def running(process: P) -> AsyncIterator[P]:
    """Starts and closes a process in threads, so that several start side by side and the loop goes on.

    When the start is cancelled, the process is closed all the same.
    """
    try:
        await asyncio.to_thread(process.start)
        yield process
    finally:
        await asyncio.to_thread(process.close)


def free_port(preferred: int | None = None) -> int:
    """The preferred port if it is free, otherwise some other that is."""
    if preferred and is_free(preferred):
        return preferred
    while not is_free(port := secrets.choice(_PORTS)):  # not `random`: test runs seed it alike
        pass
    return port


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port in TIME_WAIT will do
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def http_ok(port: int, path: str, *, user: str | None = None, password: str = "") -> bool:
    """Whether GET on 127.0.0.1 answers 200 within 2 s; False for every kind of trouble."""
    headers = {}
    if user is not None:
        headers["Authorization"] = "Basic " + b64encode(f"{user}:{password}".encode()).decode()
    with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=2)) as connection:
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
