"""What of earlier results is told word for word."""

from worker.turn.retelling import newest


def test_of_each_name_the_newest_is_kept_and_the_newest_come_last() -> None:
    assert list(newest([("a", "1"), ("b", "2"), ("a", "3")], 100).items()) == [("b", "2"), ("a", "3")]


def test_the_newest_have_the_room() -> None:
    assert newest([("a", "1" * 40), ("b", "2" * 40), ("c", "3" * 40)], 90) == {"b": "2" * 40, "c": "3" * 40}


def test_one_that_is_too_large_takes_nothing_from_the_others() -> None:
    assert newest([("settled", "1"), ("report", "2" * 7000)], 6000) == {"settled": "1"}
