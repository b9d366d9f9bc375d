"""The folder that `assistant-worker init` writes."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from tests.deployed import MARGIN_SECONDS, read, unknown
from tests.unit.test_bpmn_models import faults
from tests.unit.test_compose import COMPOSE, SCHEMA, seconds
from worker import cli
from worker.operate import starting
from worker.specs import assistants

FILES = {
    "README.md",
    "AGENTS.md",
    ".env",
    ".gitignore",
    "docker-compose.yaml",
    "enquiry.bpmn",
    "enquiry.json",
    "assistants/clerk.md",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "below" / "mine"
    starting.begin(folder, overwrite=False)
    return folder


def written(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_it_says_what_it_wrote_and_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", str(tmp_path / "mine")]) == 0

    assert written(tmp_path / "mine") == FILES
    shown = capsys.readouterr().out
    assert all(f"\n  {name}\n" in shown for name in FILES)
    for word in (str(tmp_path / "mine"), "OPENAI_API_KEY", "doctor", "run", "README.md"):
        assert word in shown


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_of_the_same_name_stays_and_nothing_is_written(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")

    assert cli.main(["init", str(tmp_path)]) == 2

    assert f"has {name} already" in capsys.readouterr().err
    assert written(tmp_path) == {name}
    assert (tmp_path / name).read_text() == "mine"


def test_told_to_it_replaces_its_own_files_and_leaves_the_others(folder: Path) -> None:
    fresh = (folder / "README.md").read_text()
    (folder / "README.md").write_text("mine")
    (folder / "notes.md").write_text("mine")

    assert cli.main(["init", str(folder), "--overwrite"]) == 0

    assert (folder / "README.md").read_text() == fresh
    assert (folder / "notes.md").read_text() == "mine"


def test_where_it_cannot_write_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")

    assert cli.main(["init", str(tmp_path / "file" / "below")]) == 2

    assert "below cannot be written: Not a directory" in capsys.readouterr().err


def test_the_file_that_will_hold_a_key_is_its_owner_s_alone_and_git_leaves_it_out(folder: Path) -> None:
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    assert ".env" in (folder / ".gitignore").read_text().splitlines()


def test_its_settings_are_the_worker_s_also_those_that_are_commented(folder: Path, tmp_path: Path) -> None:
    text = (folder / ".env").read_text()
    every = tmp_path / "every.env"
    every.write_text(re.sub(r"^# (?=[A-Z_]+=)", "", text, flags=re.MULTILINE))

    for path in (folder / ".env", every):
        told = {name: value or "" for name, value in dotenv_values(path).items()}
        assert unknown(told) == []
        read(told)
    assert "API_TOKENS" in told


def test_its_assistants_are_read_without_a_complaint(folder: Path) -> None:
    assert [each.name for each in assistants.load(folder / "assistants").assistants] == ["clerk"]


def test_its_process_keeps_the_rules_of_a_good_model(folder: Path) -> None:
    xml = (folder / "enquiry.bpmn").read_text()

    assert faults(xml, frozenset({"enquiry"}), frozenset({"clerk"})) == []


def services(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    compose = yaml.safe_load((folder / "docker-compose.yaml").read_text())
    SCHEMA.validate(compose)
    yield from compose["services"].items()


def test_its_compose_file_starts_what_the_repository_s_own_does(folder: Path) -> None:
    for name, service in services(folder):
        theirs = COMPOSE["services"][name]
        assert service["image"] == theirs["image"]
        for key in service.keys() & {"healthcheck", "command", "read_only", "cap_drop", "security_opt"}:
            assert service[key] == theirs[key], (name, key)
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_its_worker_in_a_container_is_told_settings_that_it_takes_and_has_time_to_stop(folder: Path) -> None:
    worker = dict(services(folder))["worker"]
    told = {name: value or "" for name, value in dotenv_values(folder / ".env").items()} | worker["environment"]

    assert unknown(told) == []
    assert seconds(worker["stop_grace_period"]) >= read(told).grace_seconds + MARGIN_SECONDS
