"""Patterns of others: they mean what `re` says they mean, and a search for one ends."""

import re
import time
import warnings
from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from worker.modelling import patterns

PIECES = [
    r"a",
    r"b",
    r".",
    r"^",
    r"$",
    r"\w",
    r"\W",
    r"\s",
    r"\S",
    r"\d",
    r"\D",
    r"\b",
    r"\B",
    r"\A",
    r"\Z",
    r"[ab]",
    r"[^a]",
    r"[[:alpha:]]",
    r"[a[b]",
    r"[]a]",
    r"[^]a]",
    r"[\w-]",
    r"[\s\d]",
    r"[\W]",
    r"[^\W\d_]",
    r"[\S]",
    r"[^\S]",
    r"[a&&b]",
    r"[a--b]",
    r"[a||b]",
    r"[a~~b]",
    r"[-a]",
    r"[a-]",
    r"[\]]",
    r"[\[]",
    r"[\b]",
    r"{",
    r"}",
    r"{}",
    r"{1",
    r"{e}",
    r"{e<=1}",
    r"{a}",
    r"(?=a)",
    r"(?!b)",
    r"(?<=a)",
    r"(?<!b)",
    r"\1",
    r"(?P<n>a)",
    r"(?P=n)",
    r"(a)",
    r"(?:ab)",
    r"(a|b)",
    r"(a|)",
    r"(?i:A)",
    r"(?s:.)",
    r"(?m:^a$)",
    r"(?>a|ab)",
    r"(?(1)a|b)",
    r"\x41",
    r"\u00e9",
    r"\N{DIGIT+ONE}",
    r"\{",
    r"\[",
    r"\.",
    r"\-",
    r"[a-c]",
    r"#",
    r"(?#x{e})",
    r"\101",
    r"-",
    r"&",
    r"~",
    r"|",
    r"é",
    r"ß",
    r"²",
    r"1",
    r"_",
    r",",
    r"e",
]
COUNTS = ["", "", "", "*", "+", "?", "*?", "+?", "{2}", "{1,2}", "{,1}", "{1,}", "{0}", "*+", "{1,2}?", "{e}", "{i<=1}"]
TEXTS = st.text(st.sampled_from("abAB12_-{}[]é²\u0301\x1c\n:,e<=i.&|~^$#x "), max_size=12)
PATTERNS = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(COUNTS)), min_size=1, max_size=5).map(
    lambda parts: "".join(f"{piece.replace('+ONE', ' ONE')}{count}" for piece, count in parts)
)


def by_re(pattern: str) -> "re.Pattern[str] | None":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return re.compile(pattern)
        except (re.error, OverflowError):
            return None


@given(PATTERNS, st.lists(TEXTS, min_size=1, max_size=5))
def test_a_pattern_means_what_it_means_to_re(pattern: str, texts: list[str]) -> None:
    expected = by_re(pattern)
    assume(expected is not None)
    assert expected is not None

    assert patterns.flaw(pattern) == ""
    for text in texts:
        assert patterns.is_in(pattern, text, 5) == bool(expected.search(text)), text


USUAL = [
    r"^(?=.*[A-Z])(?=.*\d)[A-Za-z\d]{8,}$",
    r"^(\d{4})-(\d{2})-(\d{2})T\d{2}:\d{2}Z$",
    r"^[\w.+-]+@[\w-]+\.[\w.]+$",
    r"^(['\"]).*\1$",
    r"^.{1,2000}$",
    r"^[^\W\d_]+$",
    r"^\S+(\s\S+){0,4}$",
    r"(?i)^(yes|no)$",
    r"^\{[a-z]+\}$",
    r"^${x}",
    r"^[a-z]{2,3}(-[A-Z]{2})?$",
    r"(?a)^\w+$",
    "",
]
"""As people write them, with what engines that cannot backtrack refuse."""
EXAMPLES = [
    "Passw0rd1",
    "2026-11-27T10:00Z",
    "a@b.de",
    "'x'",
    "x" * 2001,
    "Ünï",
    "हिन्दी",
    "x²",
    "a b c",
    "YES",
    "{a}",
    "de-AT",
    "",
]


@pytest.mark.parametrize("pattern", USUAL)
def test_patterns_as_people_write_them_mean_the_same(pattern: str) -> None:
    assert [patterns.is_in(pattern, each, 5) for each in EXAMPLES] == [
        bool(re.search(pattern, each)) for each in EXAMPLES
    ]


@pytest.mark.parametrize(
    "pattern", ["(", "[", "*", r"\p{L}", "a{3,2}", "(?<=a+)b", r"\K", "(?R)", "(?|a|b)", "[b-a]", r"\1"]
)
def test_what_is_no_pattern_to_re_is_none(pattern: str) -> None:
    assert patterns.flaw(pattern)


@pytest.mark.parametrize(
    "pattern", ["a" * (patterns.LONGEST + 1), "(?:" * 600 + "a" + ")" * 600, "(" * 600 + ")" * 600]
)
def test_what_is_too_long_or_too_deep_to_be_built_is_none(pattern: str) -> None:
    assert patterns.flaw(pattern) in (f"it has more than {patterns.LONGEST} characters", "it is nested too deep")


def test_a_pattern_that_a_later_python_may_read_otherwise_is_one_without_a_word() -> None:
    assert not patterns.flaw("[[a]")  # warnings are errors in these tests
    assert patterns.is_in("[[a]", "[", 5)


@given(st.text(st.sampled_from("()[]{}?*+|\\^$ab1,<=!:P-"), max_size=30), TEXTS)
def test_any_text_is_a_pattern_or_said_to_be_none(pattern: str, text: str) -> None:
    if not patterns.flaw(pattern):
        patterns.is_in(pattern, text, 5)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^(a|a)*$", "a" * 40 + "b"),
        (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 60),
        ("(x+x+)+y", "x" * 5000),
        ("(a|aa)+$", "a" * 50_000 + "b"),
        (r"^(\w+\s?)*$", "word " * 30 + "!"),
    ],
)
def test_a_search_that_would_take_years_ends(pattern: str, text: str) -> None:
    began = time.monotonic()
    with suppress(patterns.TooSlow):
        assert not patterns.is_in(pattern, text, 0.2)
    assert time.monotonic() - began < 20, "the clock is that of the processor, which others use too"


@pytest.mark.parametrize(
    "pattern", ["a{200000000}", "(a{2000}){2000}", "[a-z]{5000000}", "((x{100}){100}){100}", "a{,99999}"]
)
def test_counts_that_multiply_to_a_huge_pattern_are_a_flaw(pattern: str) -> None:
    assert "multiply to more than" in patterns.flaw(pattern)


@pytest.mark.parametrize(
    ("pattern", "size"),
    [("^[A-Z]{1,2000}$", 2002), (r"\d{4}-\d{2}", 7), ("(ab|c){3}", 12), ("[{]{2}x{,5}", 7), ("a*b+", 4)],
)
def test_what_a_pattern_comes_to_is_counted_through_its_groups(pattern: str, size: int) -> None:
    assert patterns.written_out(pattern) == size
    assert patterns.flaw(pattern) == ""
