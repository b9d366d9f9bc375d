"""The table of faults is whole, and every test that it names exists."""

import re
from pathlib import Path

import pytest

from tests.faults.rows import ROWS, Row
from tests.faults.soak import PARTS

ROOT = Path(__file__).parents[2]
FAMILIES = {"A": 11, "B": 21, "C": 7, "D": 15, "E": 10, "F": 7, "G": 8, "H": 5, "I": 5, "J": 4}


def test_no_row_is_left_out() -> None:
    assert set(ROWS) == {f"{family}{number}" for family, size in FAMILIES.items() for number in range(1, size + 1)}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_row_has_tests_that_exist_or_says_what_is_missing(row: Row, request: pytest.FixtureRequest) -> None:
    assert row.tests or row.missing
    assert set(row.soak) <= set(PARTS)
    collected = {item.nodeid for item in request.session.items}
    for test in row.tests:
        path, _, name = test.partition("::")
        function, _, parameters = name.partition("[")
        assert re.search(rf"^(async )?def {function}\(", (ROOT / path).read_text(), re.MULTILINE), test
        if parameters and any(each.startswith(f"{path}::{function}[") for each in collected):
            assert test in collected
