"""Jars that a lock file names, fetched once into the user's cache and verified at every start.

A lock has one jar per line, `group:artifact:version[:classifier] sha256:<64 hex digits>`. The list is complete, so
nothing is resolved: each jar is fetched by itself.
"""

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

THREADS = 8
ATTEMPTS = 3
ELSEWHERE = "name a place for downloads in ASSISTANT_WORKER_CACHE"

_LINE = re.compile(r"([^:\s]+):([^:\s]+):([^:\s]+)(?::([^:\s]+))? sha256:([0-9a-f]{64})")


class JarError(Exception):
    """A lock cannot be read, or a jar cannot be had as the lock wants it."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of a lock."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str

    def __str__(self) -> str:
        return ":".join(filter(None, (self.group, self.artifact, self.version, self.classifier)))

    @property
    def filename(self) -> str:
        """Name in the cache; with the group, because artifacts of two groups may share a name."""
        return "-".join(filter(None, (f"{self.group}.{self.artifact}", self.version, self.classifier))) + ".jar"


Resolve = Callable[[Jar, Path], Path]
"""Downloads a jar to anywhere below the directory and tells where; raises anything when it cannot."""


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Where downloads are kept: ASSISTANT_WORKER_CACHE, or `assistant-worker` in the user's cache directory."""
    if chosen := environ.get("ASSISTANT_WORKER_CACHE"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "assistant-worker"
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "assistant-worker"


def parse_lock(text: str, name: str = "lock") -> list[Jar]:
    """The jars of a lock in its order; JarError names the first line that is none. `#` starts a comment line."""
    jars = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise JarError(f"{name} line {number} is not `group:artifact:version[:classifier] sha256:…`: {line}")
        group, artifact, version, classifier, sha256 = match.groups(default="")
        jars.append(Jar(group, artifact, version, classifier, sha256))
    return jars


def locked(name: str) -> list[Jar]:
    """The jars of `<name>.lock` beside this file: operaton, camunda or postgresql."""
    return parse_lock(resources.files(__package__).joinpath(f"{name}.lock").read_text("utf-8"), f"{name}.lock")


def fetch(
    jars: Sequence[Jar],
    *,
    directory: Path | None = None,
    resolve: Resolve | None = None,
    console: Console | None = None,
) -> list[Path]:
    """Paths of all the jars, in order, each with the sha256 it should have; what is missing or damaged is fetched.

    A jar gets its place in the directory only when it is complete and verified, by a rename: an interrupted fetch goes
    on where it stopped, and processes that fetch at the same time do not disturb each other. A progress bar is shown
    on stderr, or on the console given, when there is something to fetch. JarError: not to be had, or another sha256.
    """
    directory = directory or cache_directory() / "jars"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise JarError(f"the engine's jars cannot be kept: {exc}; {ELSEWHERE}") from exc
    paths = [directory / jar.filename for jar in jars]
    # Hashing everything costs 0.1 s for 73 MB, and no marker can go stale.
    with ThreadPoolExecutor(THREADS, "verify-jars") as pool:
        good = list(pool.map(_is_good, paths, jars))
    missing = [jar for jar, is_good in zip(jars, good, strict=True) if not is_good]
    if missing:
        if not os.access(directory, os.W_OK):
            raise JarError(f"the engine's jars cannot be kept: {directory} is not writable; {ELSEWHERE}")
        _download(missing, directory, resolve or from_maven, console or Console(stderr=True))
    return paths


def from_maven(jar: Jar, directory: Path) -> Path:
    """The jar alone, without its POM, by jgo from the repository that jgo is made for."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - slow to import, and not needed when all is there

    project = MavenContext(repo_cache=directory).project(jar.group, jar.artifact)
    path: Path = project.at_version(jar.version).artifact(classifier=jar.classifier).resolve()
    return path


def _is_good(path: Path, jar: Jar) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


def _download(jars: Sequence[Jar], directory: Path, resolve: Resolve, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(THREADS, "fetch-jars") as pool:
        bar = progress.add_task("Fetching jars", total=len(jars))
        futures = [pool.submit(_download_one, jar, directory, resolve) for jar in jars]
        try:
            for future in as_completed(futures):
                future.result()
                progress.advance(bar)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _download_one(jar: Jar, directory: Path, resolve: Resolve) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        # A fresh directory each time: jgo takes a file that a broken download left for a finished one.
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=directory) as scratch:
            try:
                path = resolve(jar, Path(scratch))
            except Exception as exc:
                if attempt < ATTEMPTS:
                    continue
                raise JarError(f"{jar} cannot be fetched ({exc}); the next start goes on from here") from exc
            if not _is_good(path, jar):
                raise JarError(f"{jar} was fetched, but its sha256 is not {jar.sha256} as the lock says")
            path.replace(directory / jar.filename)
            return
