"""The code of others is what it should be, or it is not there."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from worker.demo import npm, page_assets
from worker.demo.npm import PackageError
from worker.demo.page_assets import install
from worker.web.page.routes import FILES

LIBRARY = "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7"
"""SHA-256 of the file `preact/standalone.module.js` in npm's package htm 3.1.1."""


def test_what_is_installed_is_complete_with_its_licence() -> None:
    names = {path.name for path in page_assets.VENDOR.iterdir()}
    assert names == {*page_assets.FILES.values(), "integrity"}
    assert "bpmn.io" in (page_assets.VENDOR / "LICENSE").read_text("utf-8")
    assert not install(pack=no_download), "what is there is not fetched again"


def no_download(_: Path) -> Path:
    raise AssertionError("nothing had to be fetched")


def test_the_view_library_is_as_it_was_published_with_its_licences() -> None:
    """It stands in the repository, so that the page works where nothing could be fetched."""
    library = FILES / "lib" / "preact.js"
    assert hashlib.sha256(library.read_bytes()).hexdigest() == LIBRARY
    licences = (library.with_name("LICENSES.txt")).read_text("utf-8")
    assert "htm 3.1.1" in licences
    for sentence in ("Apache License", "The MIT License (MIT)", "Copyright (c) 2015-present Jason Miller"):
        assert sentence in licences


def test_another_package_under_the_name_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    def pack(directory: Path) -> Path:
        path = directory / "bpmn-js.tgz"
        with tarfile.open(path, "w:gz") as archive:
            for name in page_assets.FILES:
                archive.addfile(tarfile.TarInfo(name), io.BytesIO())
        return path

    with pytest.raises(PackageError, match="sha512"):
        install(tmp_path / "vendor" / "bpmn-js", pack)
    assert list((tmp_path / "vendor").iterdir()) == []


def test_without_npm_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(npm, "WHEEL", "a_package_that_nobody_has")
    with pytest.raises(PackageError, match=r"install Node\.js"):
        install(tmp_path / "bpmn-js")


def test_git_ignores_the_code_of_others() -> None:
    ignored = (page_assets.VENDOR.parents[1] / ".gitignore").read_text("utf-8").split()
    assert f"{page_assets.VENDOR.parent.name}/" in ignored
