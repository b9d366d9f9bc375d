"""Many things, some at a time."""

from worker.runtime.portions import portions


def test_all_items_come_in_their_order_and_the_last_portion_may_be_smaller() -> None:
    assert list(portions("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(portions(iter(range(4)), 2)) == [[0, 1], [2, 3]]


def test_nothing_makes_no_portion() -> None:
    assert list(portions([], 2)) == []
