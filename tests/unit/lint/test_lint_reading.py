"""Which files are looked at, and what is said of those that cannot be read."""

from pathlib import Path

import pytest

from tests.unit.lint.sound import written
from worker.operate.lint.reading import read


@pytest.mark.parametrize("text", ["<a", "", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<a>" * 300])
def test_a_file_that_cannot_be_read_is_said_to_be_and_the_others_are_looked_at(text: str, tmp_path: Path) -> None:
    written(tmp_path, broken__bpmn=text)
    models, [unread] = read([tmp_path])
    assert (Path(unread.file).name, len(models)) == ("broken.bpmn", 2)


def test_where_xml_is_broken_its_line_is_told(tmp_path: Path) -> None:
    written(tmp_path, broken__bpmn="<a>\n<b>\n</a>")
    _, [unread] = read([tmp_path / "broken.bpmn"])
    assert (unread.line, "mismatched tag" in unread.said) == (3, True)


def test_what_is_no_model_is_not_found_to_be_sound(tmp_path: Path) -> None:
    written(tmp_path, page__bpmn="<html><body>Not found</body></html>")
    _, [unread] = read([tmp_path / "page.bpmn"])
    assert "it is no BPMN 2.0 model: its outermost element is 'html'" in unread.said


def test_folders_without_a_model_and_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    models, unread = read([tmp_path, tmp_path / "absent.bpmn"])
    assert models == []
    assert [each.said for each in unread] == [
        "the folder holds no .bpmn file",
        "cannot be read: No such file or directory",
    ]


def test_a_file_that_is_named_twice_is_looked_at_once(tmp_path: Path) -> None:
    written(tmp_path)
    assert len(read([tmp_path, tmp_path / "offers.bpmn", tmp_path / "." / "offers.bpmn"])[0]) == 2


def test_of_a_folder_what_is_hidden_and_what_npm_has_installed_is_left_out(tmp_path: Path) -> None:
    for place in ("inside", ".git", "inside/.hidden", "node_modules/bpmnlint/test", "inside/node_modules"):
        (tmp_path / place).mkdir(parents=True)
        written(tmp_path / place)
    (tmp_path / "inside" / ".offers.bpmn").write_text("<a")
    models, unread = read([tmp_path])
    assert [str(Path(each.name).relative_to(tmp_path)) for each in models] == [
        "inside/negotiation.bpmn",
        "inside/offers.bpmn",
    ]
    assert unread == []
    assert len(read([tmp_path / "node_modules"])[0]) == 2  # which somebody has named
