"""The mark of a question: found where we wrote it, and nowhere else."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.domain.refs import defused, is_marked, ref_line

REF = "0123456789ab"
MARK = ref_line(REF)
JUNK = st.text(st.sampled_from(" \t\n\r\u00a0\u2028\u2029\u200b\u200d\u2060\ufeff\u00ad\0\x1b\x85\u0301"), max_size=3)
WIDE = str.maketrans({code: code + 0xFEE0 for code in range(ord("!"), ord("~") + 1)})


def cleaned(text: str) -> str:
    """What a server could make of a text that tidies it up: one form per character, nothing that cannot be seen."""
    kept = (each for each in unicodedata.normalize("NFKC", text) if unicodedata.category(each)[0] not in "CZ")
    return "".join(kept)


@st.composite
def lookalikes(draw: st.DrawFn) -> str:
    parts = [draw(JUNK) + (each.translate(WIDE) if draw(st.booleans()) else each) for each in "(ref0123456789ab)"]
    return "".join(parts) + draw(JUNK)


@given(st.text(), lookalikes(), st.text())
def test_whatever_looks_like_a_mark_is_none_afterwards(before: str, evil: str, behind: str) -> None:
    safe = defused(before + evil + behind)

    assert "(ref0123456789ab)" not in cleaned(safe).replace(" ", "")
    assert not is_marked(safe, REF)
    assert safe.replace("quoted ", "") == (before + evil + behind).replace("quoted ", ""), "nothing else is changed"


@given(st.text())
@example("(ref 0123456789a)")
@example("(Ref. 4711 of 2026)")
@example("\uff08ref\uff09")
def test_any_other_text_stays_as_it_is(text: str) -> None:
    assert defused(text) == text


@given(lookalikes())
def test_a_defused_text_is_not_changed_again(evil: str) -> None:
    assert defused(defused(evil)) == defused(evil)


@pytest.mark.parametrize(
    "text",
    [
        f"What?\n\n    {MARK}",
        f"What?\n\n{MARK}\u200b",
        f"What? {MARK}",
        f"{MARK}\nWhat?",
        "What?\n\n\uff08ref 0123456789ab\uff09",
        "What?\n\n(ref 0123456789AB)",
        "",
    ],
)
def test_only_the_very_line_at_the_end_is_a_mark(text: str) -> None:
    assert not is_marked(text, REF)
    assert is_marked(f"{text}\n\n{MARK}", REF)
    assert is_marked(f"{text}\n\n{MARK}\n", REF), "a server may add the end of a line"
