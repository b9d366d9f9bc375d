import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from worker.demo.jars import ATTEMPTS, Jar, JarError, cache_directory, fetch, locked, parse_lock

SHA256 = "ab" * 32


def jar(artifact: str, content: bytes | None = None) -> Jar:
    return Jar("org.example", artifact, "1.0", "", hashlib.sha256(content or artifact.encode()).hexdigest())


class Repository:
    """Has every jar, its artifact's name as content, unless told otherwise; remembers who was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken: dict[str, Callable[[Path], None]] = {}

    def __call__(self, jar: Jar, directory: Path) -> Path:
        self.asked.append(jar.artifact)
        path = directory / "somewhere" / "it.jar"
        path.parent.mkdir()
        if jar.artifact in self.broken:
            self.broken[jar.artifact](path)
        else:
            path.write_bytes(jar.artifact.encode())
        return path


def cut(path: Path) -> None:
    path.write_bytes(b"only the first ha")
    raise ConnectionError("connection reset")


@pytest.fixture
def repository() -> Repository:
    return Repository()


@pytest.fixture
def get(repository: Repository, tmp_path: Path) -> Callable[..., list[Path]]:
    def get(*jars: Jar) -> list[Path]:
        return fetch(jars, directory=tmp_path, resolve=repository, console=Console(quiet=True))

    return get


def test_a_line_of_a_lock_becomes_a_jar_with_or_without_classifier() -> None:
    text = f"# comment\n\norg.a:b:1.0 sha256:{SHA256}\norg.a:b:1.0:classes sha256:{SHA256}\n"

    plain, classes = parse_lock(text)

    assert plain == Jar("org.a", "b", "1.0", "", SHA256)
    assert classes.classifier == "classes"
    assert plain.filename == "org.a.b-1.0.jar"
    assert classes.filename == "org.a.b-1.0-classes.jar"


@pytest.mark.parametrize(
    "line",
    [
        "org.a:b:1.0",
        "org.a:b sha256:" + SHA256,
        "org.a:b:1.0 sha256:" + SHA256[1:],
        "org.a:b:1.0 md5:" + SHA256,
        "a:b:1:c:d sha256:" + SHA256,
    ],
)
def test_a_line_that_is_no_jar_is_named_with_its_number(line: str) -> None:
    with pytest.raises(JarError, match=r"some\.lock line 2 .*org\.a|some\.lock line 2 .*a:b"):
        parse_lock(f"org.a:b:1.0 sha256:{SHA256}\n{line}", "some.lock")


@pytest.mark.parametrize(("name", "count"), [("operaton", 122), ("camunda", 113), ("postgresql", 1)])
def test_our_own_locks_are_complete_and_name_no_jar_twice(name: str, count: int) -> None:
    jars = locked(name)

    assert len(jars) == count
    assert len({jar.filename for jar in jars}) == count


def test_paths_come_in_the_order_of_the_lock(get: Callable[..., list[Path]]) -> None:
    names = [f"part{number}" for number in range(20)]

    assert [path.read_text() for path in get(*map(jar, names))] == names


def test_what_is_there_and_right_is_not_fetched_again(get: Callable[..., list[Path]], repository: Repository) -> None:
    get(jar("a"))
    get(jar("a"), jar("b"))

    assert repository.asked == ["a", "b"]


def test_a_damaged_jar_in_the_cache_is_fetched_again(get: Callable[..., list[Path]], repository: Repository) -> None:
    (path,) = get(jar("a"))
    path.write_bytes(b"")

    assert get(jar("a")) == [path]
    assert path.read_text() == "a"
    assert repository.asked == ["a", "a"]


def test_a_jar_with_another_content_than_locked_is_refused_and_not_kept(
    get: Callable[..., list[Path]], tmp_path: Path
) -> None:
    with pytest.raises(JarError, match=r"org\.example:a:1\.0 .* sha256 is not"):
        get(jar("a", b"what was locked"))

    assert list(tmp_path.iterdir()) == []


def test_a_broken_connection_is_tried_again(get: Callable[..., list[Path]], repository: Repository) -> None:
    def cut_once(path: Path) -> None:
        repository.broken.clear()
        cut(path)

    repository.broken["a"] = cut_once

    assert get(jar("a"))[0].read_text() == "a"


def test_an_interrupted_fetch_leaves_only_whole_jars_and_goes_on_where_it_stopped(
    get: Callable[..., list[Path]], repository: Repository, tmp_path: Path
) -> None:
    get(jar("a"))
    repository.broken["b"] = cut
    with pytest.raises(JarError, match=r"org\.example:b:1\.0 cannot be fetched \(connection reset\)"):
        get(jar("a"), jar("b"))

    assert [path.name for path in tmp_path.iterdir()] == ["org.example.a-1.0.jar"]
    repository.broken.clear()
    get(jar("a"), jar("b"))
    assert repository.asked == ["a", *["b"] * ATTEMPTS, "b"]


def test_two_that_fetch_the_same_jar_at_once_both_get_it(tmp_path: Path) -> None:
    both_are_fetching = threading.Barrier(2, timeout=20)

    def resolve(jar: Jar, directory: Path) -> Path:
        path = directory / "it.jar"
        path.write_bytes(jar.artifact.encode())
        both_are_fetching.wait()
        return path

    found: list[str] = []

    def get() -> None:
        paths = fetch([jar("a")], directory=tmp_path, resolve=resolve, console=Console(quiet=True))
        found.append(paths[0].read_text())

    threads = [threading.Thread(target=get) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == ["a", "a"]


def test_progress_is_shown_only_when_something_is_fetched(repository: Repository, tmp_path: Path) -> None:
    first, second = Console(record=True, quiet=False), Console(record=True)

    for console in (first, second):
        fetch([jar("a")], directory=tmp_path, resolve=repository, console=console)

    assert "1/1" in first.export_text()
    assert second.export_text() == ""


def test_the_cache_is_where_the_user_wants_it() -> None:
    assert cache_directory({"ASSISTANT_WORKER_CACHE": "/chosen"}) == Path("/chosen")


def test_the_cache_is_below_the_users_cache_directory_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")

    assert cache_directory({"XDG_CACHE_HOME": "/caches"}) == Path("/caches/assistant-worker")
    assert cache_directory({}) == Path.home() / ".cache" / "assistant-worker"


def test_a_cache_that_cannot_be_made_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")

    with pytest.raises(JarError, match=r"cache.*ASSISTANT_WORKER_CACHE"):
        fetch([jar("a")], directory=tmp_path / "cache" / "jars")
