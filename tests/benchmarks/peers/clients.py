"""How the clients of others are had and started. Each is locked, and fetched once into the user's cache.

Told everything by the environment, in the names of `subjects.peer`.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tests.packages import install, kept, run
from worker.demo import engine, jars, npm
from worker.demo.processes import StartError

HERE = Path(__file__).parent
JAVASCRIPT = (HERE / "javascript" / "package.json", HERE / "javascript" / "package-lock.json")
JAVA = (HERE / "java" / "Drain.java", HERE / "java" / "client.lock")
COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"
"""Eclipse's, which is a jar: the Java from a wheel has none."""


class MissingError(Exception):
    """A client cannot be had here."""


@dataclass(frozen=True, slots=True)
class Client:
    """A program that drains a backlog.

    `share` and `second_share` say how much of the others' tasks it gets, with an instant and with a slow model: there
    are some that would need minutes.
    """

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0
    second_share: float = 1.0


def javascript() -> Client:
    """From npm, on Node.js."""
    node = npm.node()
    if node is None:
        raise MissingError("Node.js is needed: `make assets` brings one where there is none")
    package = (
        kept("bench", JAVASCRIPT, lambda folder: install(JAVASCRIPT, folder))
        / "node_modules"
        / "camunda-external-task-client-js"
        / "index.js"
    )
    return Client("javascript", [node, HERE / "javascript" / "drain.mjs"], {"CLIENT": str(package)})


def java() -> Client:
    """From Maven, on the engine's Java."""
    program, lock = JAVA
    class_path = ":".join(map(str, jars.fetch(jars.parse_lock(lock.read_text("utf-8"), lock.name))))

    def compile_into(folder: Path) -> None:
        run(
            [engine.java(), "-cp", class_path, COMPILER, "-17", "-proc:none", "-cp", class_path, "-d", ".", program],
            folder,
        )

    classes = kept("bench", JAVA, compile_into)
    return Client("java", [engine.java(), "-Xmx512m", "-XX:-UsePerfData", "-cp", f"{classes}:{class_path}", "Drain"])


def python_sync() -> Client:
    """The one whose tasks and variables our handlers get."""
    return Client("python_sync", [sys.executable, "-m", "tests.benchmarks.peers.python", "sync"], second_share=0.02)


def python_async() -> Client:
    """The same package's other loop, on a library that it does not name."""
    if find_spec("httpx") is None:
        raise MissingError("httpx is needed, and is in the requirements of the tests")
    command = [sys.executable, "-m", "tests.benchmarks.peers.python", "async"]
    return Client("python_async", command, share=0.25, second_share=0.5)


CLIENTS: Mapping[str, Callable[[], Client]] = {
    client.__name__: client for client in (javascript, java, python_sync, python_async)
}


def available(say: Callable[[str], None]) -> list[Client]:
    """Return the clients that can be had; the others with a word."""
    clients = []
    for name, find in CLIENTS.items():
        try:
            clients.append(find())
        except (MissingError, npm.PackageError, jars.JarError, StartError) as exc:
            say(f"{name} is left out: {exc}")
    return clients
