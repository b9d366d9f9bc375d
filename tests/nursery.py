"""Workers and commands that start in a moment: a process that has imported them once forks itself for each.

What runs in the child is what `python -m worker …` runs, in a process of its own, which dies of every signal as that
one does. Started by itself this file is the server: it listens on the Unix socket named on its command line and takes
one line of JSON per connection, see `Nursery.fork`. It answers with the child's process id, and with its exit code, in
a second line, when it has ended.
"""

import asyncio
import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from worker.demo.processes import Process
from worker.demo.stage import PYTHON_ENVIRONMENT

REAP_SECONDS = 0.02


class Nursery(Process):
    """The server as a process; the children die with it, and it dies with its owner."""

    def __init__(self) -> None:
        super().__init__("nursery", self._command_line, ready=self._listens, env=PYTHON_ENVIRONMENT)

    @property
    def address(self) -> str:
        return str(self.directory / "nursery.sock")

    async def fork(
        self,
        environment: Mapping[str, str],
        directory: Path,
        log: Path,
        broken: str = "",
        *,
        arguments: Sequence[str] = ("run",),
        errors: Path | None = None,
    ) -> "Child":
        """Start a worker with this environment and nothing else in it; what it prints is appended to the log.

        `broken` is the way in which it is broken, one of tests/faults/broken.py. Other `arguments` make it another
        command, and what it complains of goes to `errors` if that is not the log.
        """
        reader, writer = await asyncio.open_unix_connection(self.address)
        writer.write(_order(environment, directory, log, broken, arguments, errors or log))
        return Child(int(await reader.readline()), reader, writer)

    def spawn(self, environment: Mapping[str, str], directory: Path, log: Path) -> "Spawned":
        """Start a worker as above, from outside of a loop."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.address)
        connection.sendall(_order(environment, directory, log, "", ["run"], log))
        answers = connection.makefile("rb")
        return Spawned(int(answers.readline()), connection, answers)

    def _command_line(self) -> list[str | Path]:
        return [sys.executable, "-m", "tests.nursery", self.address]

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.address) == 0


def _order(
    environment: Mapping[str, str], directory: Path, log: Path, broken: str, arguments: Sequence[str], errors: Path
) -> bytes:
    order = {
        "environment": dict(environment),
        "directory": str(directory),
        "log": str(log),
        "errors": str(errors),
        "broken": broken,
        "arguments": list(arguments),
    }
    return json.dumps(order).encode() + b"\n"


@cache
def shared() -> Nursery:
    """The one of all tests in this process, started when it is first wanted; blocks until it is ready."""
    nursery = Nursery()
    nursery.start()
    atexit.register(nursery.close)
    return nursery


class Child:
    """A forked worker."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._writer = writer
        self._waiting = asyncio.create_task(self._wait(reader), name=f"wait for {pid}")

    async def wait(self) -> int:
        """The exit code, or the negative number of the signal."""
        return await asyncio.shield(self._waiting)

    def signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def _wait(self, reader: asyncio.StreamReader) -> int:
        line = await reader.readline()
        self.returncode = int(line or -signal.SIGKILL)  # the nursery has died, and its children with it
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
        return self.returncode


class Spawned:
    """A forked worker with what `subprocess.Popen` has of use to a `Process`."""

    def __init__(self, pid: int, connection: socket.socket, answers: BinaryIO) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._connection = connection
        self._answers = answers
        self._reading = threading.Lock()

    def poll(self) -> int | None:
        """The exit code, or the negative number of the signal; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """The same, when it has ended. Raises subprocess.TimeoutExpired after so many seconds."""
        with self._reading:
            if self.returncode is None:
                if not select.select([self._connection], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired("worker", timeout)
                self.returncode = int(self._answers.readline() or -signal.SIGKILL)  # as in Child
                self._answers.close()
                self._connection.close()
            return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def serve(address: str) -> None:
    """Fork workers until killed."""
    from tests.faults import broken  # noqa: F401, PLC0415 - so that no child pays for it
    from worker import bootstrap, cli, transcript  # noqa: F401, PLC0415 - as above
    from worker.operate import doctor  # noqa: F401, PLC0415 - as above
    from worker.operate.commands import budgets, stops, threads  # noqa: F401, PLC0415 - as above
    from worker.web import api, feeds, page  # noqa: F401, PLC0415 - as above

    asyncio.run(read_authorities())
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    children: dict[int, socket.socket] = {}
    while True:
        if select.select([listening], [], [], REAP_SECONDS)[0]:
            connection, _ = listening.accept()
            order = connection.makefile("rb").readline()
            if order:
                pid = os.fork()
                if pid == 0:
                    live(json.loads(order), [listening, connection, *children.values()])
                connection.sendall(b"%d\n" % pid)
                children[pid] = connection
            else:
                connection.close()
        while children and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            with children.pop(ended[0]) as connection, suppress(OSError):
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(ended[1]))


async def read_authorities() -> None:
    """Read the trusted authorities, and import what reads them, once for all children: most of what a start costs."""
    import httpx2  # noqa: PLC0415 - needed in the server alone

    from worker.providers import OpenAIProvider  # noqa: PLC0415 - as above

    httpx2.create_ssl_context = cache(httpx2.create_ssl_context)
    async with OpenAIProvider.open("no key", "http://127.0.0.1/v1"):
        pass


def live(order: Mapping[str, Any], inherited: list[socket.socket]) -> None:
    """Be a worker; never returns."""
    code = 1
    try:
        for each in inherited:
            each.close()
        # Ctrl-C ends a command also where a shell runs the tests in the background, which has them ignore it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(order["directory"])
        for place, name in ((1, "log"), (2, "errors")):
            os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), place)
        from tests.faults import broken  # noqa: PLC0415 - as above
        from worker.cli import main  # noqa: PLC0415 - as above

        if order["broken"]:
            getattr(broken, order["broken"])()
        code = main(order["arguments"])
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else 1
    except BaseException as exc:  # noqa: BLE001 - as the interpreter would at the end of a program
        sys.excepthook(type(exc), exc, exc.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
