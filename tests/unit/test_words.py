"""What a search shows of what it found."""

import time

import pytest

from worker.transcript.words import EXCERPT, SEARCHABLE, excerpt

PADDING = "blah " * 100


@pytest.mark.parametrize(
    ("content", "text", "shown"),
    [
        (f"{PADDING}needle {PADDING}", "needle", "needle blah"),
        (f"{PADDING}NEEDLE {PADDING}", "Needle", "NEEDLE blah"),
        (f"{PADDING}needles {PADDING}", "needle", "needles blah"),  # words find longer ones
        (f"threadneedle {PADDING}needle {PADDING}", "needle", "blah needle blah"),  # but none inside of others
        (f"{PADDING}second {PADDING}first {PADDING}", "first second", "second blah"),
        (f"a_needle {PADDING}", "needle", "a_needle"),
        (f"needle {PADDING}", "needle", "needle blah"),
        (f"{PADDING}tail", "tail", "blah tail"),
        (f"{PADDING}tail", "absent", "blah blah"),
    ],
)
def test_an_excerpt_shows_the_first_of_the_words(content: str, text: str, shown: str) -> None:
    assert shown in excerpt(content, text)


def test_an_excerpt_says_where_something_was_cut_off() -> None:
    assert excerpt("needle", "needle") == "needle"
    assert excerpt(f"{PADDING}needle", "needle").startswith("… ")
    assert excerpt(f"needle{PADDING}", "needle").endswith(" …")


@pytest.mark.parametrize(
    "content", ["a" * SEARCHABLE, "ab" * 250_000, "x " * 250_000, "İ" * SEARCHABLE, "\x00" * SEARCHABLE]
)
def test_many_words_and_a_long_answer_take_no_time(content: str) -> None:
    started = time.thread_time()
    for _ in range(10):
        assert len(excerpt(content, " ".join("a" * number + "b" for number in range(1, 30)))) <= EXCERPT + 4
    assert time.thread_time() - started < 5
