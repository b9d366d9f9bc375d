"""Which browser the tests of the page run in, and how one is got where there is none."""

import io
import platform
import sys
import tarfile
from pathlib import Path

import pytest

from tests import browser
from tests.browser import BrowserError, find, install
from worker.demo.npm import PackageError


def program(path: Path, *, starts: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "#!/bin/sh\n" + ("echo Chromium 1.0" if starts else "echo 'get it from the store' >&2; exit 1") + "\n"
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def fetched(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "1.0"


def test_the_machines_own_browser_comes_before_a_fetched_one(tmp_path: Path, fetched: Path) -> None:
    own = program(tmp_path / "bin" / "google-chrome")
    program(fetched / "chromium")

    assert find({"PATH": str(own.parent)}, fetched) == own


def test_one_that_does_not_start_is_passed_over(tmp_path: Path, fetched: Path) -> None:
    program(tmp_path / "bin" / "chromium", starts=False)
    other = program(tmp_path / "bin" / "google-chrome")

    assert find({"PATH": str(other.parent)}, fetched) == other
    other.unlink()
    program(fetched / "chromium")
    assert find({"PATH": str(other.parent)}, fetched) == fetched / "chromium"


def test_the_chosen_one_is_taken_or_nothing(tmp_path: Path, fetched: Path) -> None:
    own = program(tmp_path / "bin" / "chromium")
    chosen = program(tmp_path / "my" / "browser")
    environ = {"PATH": str(own.parent), "TEST_BROWSER": str(chosen)}

    assert find(environ, fetched) == chosen
    program(chosen, starts=False)
    with pytest.raises(BrowserError, match=r"TEST_BROWSER names .*my/browser.*get it from the store"):
        find(environ, fetched)


def test_without_any_the_way_out_is_named_with_what_was_tried(tmp_path: Path, fetched: Path) -> None:
    own = program(tmp_path / "bin" / "chromium", starts=False)

    with pytest.raises(BrowserError, match=r"`make browser` .* install Chromium .*bin/chromium: get it from the store"):
        find({"PATH": str(own.parent)}, fetched)


@pytest.fixture
def on_intel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.mark.usefixtures("on_intel")
def test_another_package_under_the_name_is_refused_and_leaves_nothing(fetched: Path) -> None:
    def pack(directory: Path) -> Path:
        path = directory / "chromium.tgz"
        with tarfile.open(path, "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("package/bin/chromium.br"), io.BytesIO())
        return path

    with pytest.raises(PackageError, match="sha512"):
        install(fetched, pack)
    assert list(fetched.parent.iterdir()) == []


def test_a_machine_that_the_package_is_not_for_is_said_before_anything_is_fetched(
    fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pack(_: Path) -> Path:
        raise AssertionError("nothing had to be fetched")

    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(PackageError, match="aarch64"):
        install(fetched, pack)


@pytest.mark.usefixtures("on_intel")
def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")

    with pytest.raises(PackageError, match=r"cache.*ASSISTANT_WORKER_CACHE"):
        install(tmp_path / "cache" / "1.0")


def test_getting_ready_without_a_way_out_says_one_line_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ASSISTANT_WORKER_CACHE", str(tmp_path))
    monkeypatch.delenv("TEST_BROWSER", raising=False)
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    browser.browser.cache_clear()

    assert browser.main() == 1

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Install Chromium" in said
