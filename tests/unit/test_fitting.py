"""Which facts come to a question: the same as by the plain way of choosing them."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from worker.transcript.remembered import RANKS, fitting
from worker.transcript.words import words

WORDS = st.sampled_from(["crane", "Crane", "small", "noise", "ship", "the", "ǅ", "42", "heat_pump", "İ", "ß", ""])
TEXTS = st.lists(WORDS, max_size=12).map(" ".join)
ROWS = st.lists(st.tuples(TEXTS.map(words), st.none() | st.floats(0, 2) | st.just(math.nan)), max_size=40)


def plainly(rows: Sequence[Sequence[Any]], question: str, most: int) -> list[Sequence[Any]]:
    """Choose them one step after the other: by the weight of the words that they share, and by how far they are."""
    if len(rows) <= most:
        return list(rows)
    asked = words(question).split()
    shared = [[each for each in asked if each in row[-2].split()] for row in rows]
    known = Counter(each for row in shared for each in row)
    scores = [math.fsum(math.log(len(rows) / known[each]) for each in row) for row in shared]
    order = sorted(range(len(rows)), key=lambda place: (-scores[place], place))
    near = {place: row[-1] for place, row in enumerate(rows) if row[-1] is not None and not math.isnan(row[-1])}
    if near:
        fused = defaultdict[int, float](float)
        first = [place for place in order if scores[place] > 0]
        for places in (first, sorted(near, key=lambda place: (near[place], place))):
            for rank, place in enumerate(places):
                fused[place] += 1 / (RANKS + rank)
        order = sorted(range(len(rows)), key=lambda place: (-fused[place], place))
    return [rows[place] for place in order[:most]]


@given(ROWS, TEXTS, st.integers(1, 20))
def test_the_same_facts_come_as_by_the_plain_way(rows: list[Any], question: str, most: int) -> None:
    numbered = [(number, *row) for number, row in enumerate(rows)]
    assert fitting(numbered, question, most) == plainly(numbered, question, most)
