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
