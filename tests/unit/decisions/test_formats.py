"""A record as files: what is in them, and that words stay words whatever they are."""

import json
import re
from datetime import datetime
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from tests.hostile import OPENINGS, PIECES
from tests.unit.decisions.examples import CRITERIA, at, parts, said, scores, weights
from worker.decisions import chain, hashing, schemas
from worker.decisions.findings import Kind
from worker.decisions.formats import FORMATS
from worker.decisions.items import Item
from worker.decisions.record import Act, Record, build, close, facts
from worker.decisions.report import SAID, Section, findings, report
from worker.decisions.verifying import verify

FEW = 200
EVIL = [
    *(f"{opening}evil" for opening in OPENINGS),
    *(piece for piece in PIECES if piece.strip() and "\ud800" not in piece),
    *("</script><script>alert(1)</script>", "<!--<script>", "</title><b>", "'\"><img src=x onerror=alert(1)>"),
    *(
        "\n---\nstatus: accepted\n---\n",
        "\n# Heading\n",
        "\n\n| a |\n| - |\n",
        "a\n===",
        "a\n\n    code",
        "1. a",
        "+ a",
    ),
    *(
        '=HYPERLINK("https://evil.example")',
        "=cmd|' /C calc'!A0",
        "WWW.evil.example or http://evil.example",
        '#read("/etc/passwd")',
        '#panic("evil")',
        "\n= Heading",
        "`raw`",
        "@evil",
        "$x$",
        "{{ 7 * 7 }}",
        "{sums.Y}",
        ": a",
        "- ",
        "null",
    ),
    *("\u202eevil", "\u2066evil", "\x9b31m", "\ufeff", "\ufffe", "[x]: https://evil.example", "<https://evil.example>"),
]


def made(**changed: Any) -> Record:
    given = {"scores": {"one": scores(Y_Quality={"sd": 15}), "two": scores(X_Cost={"base": 115})}} | changed
    record = build("r1", said(**given), "proposed", samples=FEW)
    row = chain.row("change", None, record, datetime.fromisoformat(at(3)), facts(record))
    hold = chain.row("hold", row, record, datetime.fromisoformat(at(4)), {"by": "Ann", "why": "claim 12/26"})
    return record | {"rows": [row, hold]}


GOOD = made()


def written(record: Record, name: str) -> str:
    return FORMATS[name].write(record).decode()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_writes_records_of_every_stage(name: str) -> None:
    for stage in ("open", "computed", "proposed"):
        assert FORMATS[name].write(build("r1", said(), stage, samples=FEW))
    assert FORMATS[name].write(build("r1", [], "open"))
    one = {"alternatives": {"alternatives": [{"id": "Z", "name": "The old press"}]}}
    alone = {"one": scores({"Z": (40, 40, 20)})}
    nothing = {"alternative": None, "why": "…"}
    assert FORMATS[name].write(build("r1", said(**one, scores=alone, recommendation=nothing), "proposed", samples=FEW))


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_what_a_reader_needs_is_there(name: str) -> None:
    shown = written(GOOD, name)
    for text in (
        "Which press is bought?",
        "The board",
        "The small press",
        "It has 0.64",
        "Production",
        "It broke down",
        "On legal hold",
        "by Ann: claim 12/26",
    ):
        assert text in shown
    for text in (GOOD["content_sha256"], "Swap points", "Ranks over both", "Kendall", "Given up: Some quality"):
        assert text in shown


@pytest.mark.parametrize(
    ("act", "status"),
    [((True, ""), "accepted"), ((False, ""), "rejected"), ((True, "demo did it"), "void"), (None, "proposed")],
)
def test_the_front_matter_is_that_of_madr(act: tuple[bool, str] | None, status: str) -> None:
    record = GOOD
    if act:
        record = close(GOOD, [Act(act[0], "yes", GOOD["content_sha256"], act[1])])
    _, front, body = written(record, "markdown").split("---\n", 2)
    assert yaml.safe_load(front) == {
        "status": status,
        "date": "2026-03-01",
        "decision-makers": ["The board"],
        "consulted": ["Finance"],
        "record": "r1",
        "revision": 1,
        "content_sha256": GOOD["content_sha256"],
    }
    assert body.startswith("\n# Which press is bought?\n")
    for heading in ("## Context and Problem Statement", "## Considered Options", "## Decision Outcome"):
        assert f"\n{heading}\n" in body


def test_json_fits_the_published_form_and_can_be_verified_by_who_gets_it() -> None:
    record = json.loads(written(GOOD, "json"))
    schemas.check(record)
    assert verify(record, record["rows"]).holds


class Page(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes = set[str]()
        self.script = ""
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["script"]:
            self.script += data
        elif self.tags:
            self.text += data


GOOD_PAGE = Page(written(GOOD, "html"))


def hostile(text: str) -> Record:
    """The same record, as if everybody had begun with this whatever they said."""
    said_so = {digest: each | {"text": f"{text} {each['text']}"} for digest, each in GOOD["texts"].items()}
    rows = [row | ({"facts": {"by": text, "why": text}} if row["kind"] == "hold" else {}) for row in GOOD["rows"]]
    return GOOD | {"texts": said_so, "rows": rows}


@pytest.mark.parametrize("text", EVIL)
def test_a_page_holds_hostile_words_as_words(text: str) -> None:
    record = hostile(text)
    page = Page(written(record, "html"))
    assert page.tags == GOOD_PAGE.tags
    assert page.tags.count("script") == 1
    assert page.attributes == GOOD_PAGE.attributes
    assert not page.attributes & {"src", "href", "onerror", "onclick", "style"}
    assert json.loads(page.script) == record
    assert not set(page.text) & set("\x00\x07\x1b\x9b\u202e\u2066\ufeff\ufffe")


MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
GOOD_TOKENS = [token.type for token in MARKDOWN.parse(written(GOOD, "markdown").split("\n---\n", 1)[1])]


@pytest.mark.parametrize("text", EVIL)
def test_markdown_holds_hostile_words_as_words(text: str) -> None:
    record = hostile(text)
    front, _, body = written(record, "markdown").removeprefix("---\n").partition("\n---\n")
    matter = yaml.safe_load(front)
    assert matter.keys() == {"status", "date", "decision-makers", "consulted", "record", "revision", "content_sha256"}
    assert (matter["status"], len(matter["decision-makers"])) == ("proposed", 1)
    assert "The board" in matter["decision-makers"][0]
    tokens = MARKDOWN.parse(body)
    assert [token.type for token in tokens] == GOOD_TOKENS
    inline = {each.type for token in tokens for each in token.children or ()}
    assert not {"image", "html_inline", "link_open", "em_open", "code_inline", "s_open"} & inline
    assert not re.search(r"[a-z]://|www\.", body, re.IGNORECASE), "GitHub makes links of bare addresses"


def test_json_holds_hostile_words_as_they_are() -> None:
    dissent = {"dissent": [{"who": text, "text": text} for text in EVIL]}
    record = made(dissent=dissent)
    again = json.loads(written(record, "json"))
    assert again == record
    assert verify(again, again["rows"]).holds
    assert hashing.opened(again["content"], again["texts"])["dissent"] == dissent


def test_a_text_that_was_erased_is_said_to_be() -> None:
    record = GOOD | {"texts": {}}
    for name in ("html", "markdown"):
        shown = written(record, name)
        assert "[erased]" in shown or "\\[erased\\]" in shown
        assert "The board" not in shown


def test_a_long_name_stands_whole_where_it_is_told_and_shortened_elsewhere() -> None:
    name = "The large press, " * 50
    alternatives = [{"id": "X", "name": name}, {"id": "Y", "name": "Y"}, {"id": "Z", "name": "Z"}]
    shown = written(made(alternatives={"alternatives": alternatives}), "html")
    assert shown.count(f"<li>{name}</li>") == 1
    assert shown.count(f"<td>{name[:99]}…</td>") > 3


def test_a_reader_sees_who_judged_and_which_judges_are_one_assistant() -> None:
    turn = {"of": "turn", "at": at(1), "assistant": "buyer", "version": "1.2", "provider": "openai", "model": "gpt-5"}
    person = {"of": "person", "at": at(2), "user": "ann", "variable": "own"}
    sources = {
        "buyer_scores_0": turn | {"variable": "scores_0"},
        "buyer_scores_1": turn | {"variable": "scores_1"},
        "maker_scores_2": turn | {"variable": "scores_2", "assistant": "maker", "model": "\u202eevil"},
        "own": person,
    }
    others = [each for each in said() if each.part != "scores"]
    judged = [Item("scores", scores(), source, judge) for judge, source in sources.items()]
    record = build("r1", [*others, *judged], "proposed", samples=FEW)

    [judges] = [each for each in report(record).sections if each.title == "Judges and other weights"]
    assert "buyer_scores_0, buyer_scores_1 are one assistant, buyer, asked 2 times." in judges.words
    assert judges.tables[0].rows == [
        ["buyer_scores_0", "buyer 1.2", "gpt-5, openai", "scores_0"],
        ["buyer_scores_1", "buyer 1.2", "gpt-5, openai", "scores_1"],
        ["maker_scores_2", "maker 1.2", "\ufffdevil, openai", "scores_2"],
        ["own", "ann", "", "own"],
    ]
    assert len(judges.words) == 2, "each assistant that sits once is nothing to say"


def test_every_finding_has_its_words() -> None:
    assert SAID.keys() == set(Kind)


def test_what_was_found_is_told_in_words() -> None:
    record = made(
        recommendation={"alternative": "X", "why": "It has 82.06 points.", "conditions": [{"text": "A subsidy"}]}
    )
    [known] = [each for each in report(record).sections if each.title == "What to know before signing"]
    assert "Mismatch: recommendation.why says 82.06, which is no input and was not computed" in known.points
    assert "recommendation.conditions[0] rests on nothing that was computed with" in known.points
    assert "recommended is The large press, and The small press leads" in known.points


def found(content: dict[str, Any], kind: Kind, where: str, said: str) -> str:
    """What is told of one finding."""
    computed = {"findings": [{"kind": kind, "where": where, "said": said}]}
    [told] = findings(content | {"computed": computed})
    return told.words


CONTENT: Any = parts() | {
    "frame": parts()["frame"] | {"uncertainties": [{"id": "fuel", "name": "The price of fuel", "cells": []}]}
}


@pytest.mark.parametrize(
    ("kind", "where", "said", "words"),
    [
        (Kind.SCREENING, "X", "budget", "The large press was said to stand otherwise to the limit “At most 110” than"),
        (Kind.EXCLUDED_RECOMMENDED, "X", "budget", "The large press is recommended, and breaks the limit “At most"),
        (Kind.LIMIT_BROKEN, "X", "budget", "The large press breaks the limit “At most 110”"),
        (Kind.LIMIT_AT_RISK, "X", "budget", "The large press may break the limit “At most 110”: its range"),
        (Kind.NOT_LEADER, "X", "Y", "recommended is The large press, and The small press leads"),
        (Kind.NOT_LEADER, "", "Y", "recommended is nothing, and The small press leads"),
        (Kind.LEAD_WITHIN_UNCERTAINTY, "Y", "", "the lead of The small press is smaller than it varies"),
        (Kind.FLIPS, "Quality.less", "X", "The large press leads if the share of Quality is a fifth less"),
        (Kind.FLIPS, "Quality.more", "", "nobody leads if the share of Quality is a fifth more"),
        (Kind.RANGE_LEAVES_OUT, "fuel", "Y/Cost", "the range of The price of fuel leaves out the score of The small"),
        (Kind.MISSING, "one", "Y/Cost", "one has no score of The small press, Cost"),
    ],
)
def test_findings_name_what_they_are_about(kind: Kind, where: str, said: str, words: str) -> None:
    assert found(CONTENT, kind, where, said).startswith(words)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"X": "Press", "Y": "Press"}, "recommended is Press (X), and Press (Y) leads"),
        ({"X": "Y", "Y": "Press"}, "recommended is Y (X), and Press leads"),
        ({"X": f"{'Press ' * 30}1", "Y": f"{'Press ' * 30}2"}, f"recommended is {('Press ' * 30)[:99]}… (X), and"),
        ({"X": "[erased]", "Y": "{where} {0}"}, "recommended is [erased] (X), and {where} {0} leads"),
    ],
    ids=["the same", "another's id", "the same where shortened", "erased"],
)
def test_a_name_that_does_not_say_which_is_told_with_its_id(names: dict[str, str], told: str) -> None:
    options = [{"id": own, "name": name} for own, name in names.items()]
    assert found({"alternatives": {"alternatives": options}}, Kind.NOT_LEADER, "X", "Y").startswith(told)


def test_kinds_of_things_have_ids_of_their_own() -> None:
    content = {
        "alternatives": {"alternatives": [{"id": "a", "name": "The press"}]},
        "objectives": {"objectives": [{"id": "a", "name": "The cost"}]},
        "frame": {"limits": [{"id": "a", "statement": "At most 110", "hard": True}]},
    }
    assert found(content, Kind.LIMIT_BROKEN, "a", "a") == "The press breaks the limit “At most 110”"
    assert found(content, Kind.MISSING, "a", "a/a") == "a has no score of The press, The cost"


UNSURE = made(scores={"one": scores(Y_Quality={"sd": 15}, X_Cost={"low": 90})})


def test_a_bar_goes_from_end_to_end_through_the_lead_on_one_scale_with_no_lead_on_it() -> None:
    [table] = [each for each in section(UNSURE, "How far the order holds").tables if each.plot]
    assert [[bar.label, *bar.text.split(" … ")] for bar in table.plot] == [[*row] for row in table.rows]
    first = table.plot[0]
    least, most = -0.025, 0.125
    at = {lead: (lead - least) / (most - least) for lead in (least, 0, 0.05, most)}
    assert first.label == "The small press, Quality"
    assert first.parts["low"] == pytest.approx((0, at[0.05]))
    assert first.parts["high"] == pytest.approx((at[0.05], 1))
    assert first.parts["zero"][0] == pytest.approx(at[0])
    assert all(0 <= start <= end <= 1 for bar in table.plot for start, end in bar.parts.values())


def test_of_many_bars_the_widest_are_drawn_and_all_are_in_the_table() -> None:
    rows = {f"A{number}": (30 + number, 50, 15) for number in range(12)}
    ranges = {f"{each}_{c}": {"low": 10, "high": 95 - place} for place, each in enumerate(rows) for c in CRITERIA}
    options = {"alternatives": [{"id": each, "name": each} for each in rows]}
    nothing = {"alternative": None, "why": "…"}
    record = made(scores={"one": scores(rows, **ranges)}, alternatives=options, recommendation=nothing)
    [table] = [each for each in section(record, "How far the order holds").tables if each.plot]
    assert len(table.plot) == 25 < len(table.rows)
    assert table.title.endswith("(drawn: the widest 25)")
    assert [bar.label for bar in table.plot] == [row[0] for row in table.rows[:25]]
    ends = [[*bar.parts["low"], *bar.parts["high"]] for bar in table.plot]
    widths = [max(each) - min(each) for each in ends]
    assert all(one >= other - 1e-9 for one, other in pairwise(widths))


def test_a_page_draws_the_bars_above_their_table_and_says_what_it_draws() -> None:
    page = written(UNSURE, "html")
    plot = page.index('<div class="plot" role="img" aria-label="Lead, now 0.05, with one thing at its ends; the table')
    assert plot < page.index("<caption>Lead, now 0.05")
    assert page.count('<rect class="low"') == page.count('<rect class="high"') == 3  # one of the legend
    assert "to its low" in page
    assert "NaN" not in page


def section(record: Record, title: str) -> Section:
    [found] = [each for each in report(record).sections if each.title == title]
    return found


def test_a_table_is_no_wider_than_paper_and_nothing_of_it_is_lost() -> None:
    criteria = [f"C{number}" for number in range(12)]
    objectives = [{"id": each, "name": each, "value": {"walk_away": 0, "ideal": 100}} for each in criteria]
    cells = [
        {"alternative": each, "criterion": criterion, "base": number}
        for each in ("X", "Y", "Z")
        for number, criterion in enumerate(criteria)
    ]
    points = [{"objective": each, "points": 1} for each in criteria]
    frame = {"statement": "Which press is bought?", "decider": "The board"}
    options = [{"id": each["id"], "name": each["name"]} for each in parts()["alternatives"]["alternatives"]]
    record = made(
        frame=frame,
        alternatives={"alternatives": options},
        objectives={"objectives": objectives},
        weights={"sets": [{"id": "base", "kind": "base", "method": "swing", "points": points}]},
        scores={"one": {"scores": cells}},
        recommendation={"alternative": None, "why": "…"},
    )
    first, second = section(record, "Ranking").tables[1:]
    assert [each.title for each in (first, second)] == [
        "Scores, and what they are worth (1 of 2)",
        "Scores, and what they are worth (2 of 2)",
    ]
    assert [*first.head[1:], *second.head[1:]] == [*record["content"]["computed"]["shares"]]
    assert (first.head[0], second.head[0], first.rows[0][0], second.rows[0][0]) == (
        *["Option"] * 2,
        *["The large press"] * 2,
    )
    assert {len(row) for table in (first, second) for row in table.rows} == {7}


def test_scores_that_move_nothing_are_one_row_of_the_tornado() -> None:
    record = made(scores={"one": scores(Y_Quality={"sd": 15}, Z_Cost={"low": 39, "high": 41}, Z_Time={"high": 21})})
    [tornado] = [each for each in section(record, "How far the order holds").tables if each.title.startswith("Lead")]
    assert tornado.title == "Lead, now 0.05, with one thing at its ends"
    assert tornado.rows == [["The small press, Quality", "-0.025", "0.125"], ["2 that move nothing", "0.05", "0.05"]]


def test_an_order_by_other_weights_goes_by_their_name_and_not_by_that_of_something_else() -> None:
    other = weights(cost=100, quality=10, id="Cost", kind="stakeholder", name="Of the treasurer")
    unnamed = weights(cost=90, id="X", kind="what_if")
    record = made(weights={"sets": [weights(), other, unnamed]})
    [orders] = [each for section in report(record).sections for each in section.tables if each.title == "Orders"]
    assert [row[1] for row in orders.rows if row[0] == "weights"] == ["Of the treasurer", "X", "base"]


def test_orders_without_a_criterion_name_it_and_what_can_be_known_has_its_worth() -> None:
    cells = [{"alternative": "Y", "criterion": "Cost", "low": 80, "high": 50}]
    objectives = parts()["objectives"]["objectives"]
    objectives[0] |= {"name": "What it costs"}
    frame = parts()["frame"] | {"uncertainties": [{"id": "fuel", "name": "The price of fuel", "cells": cells}]}
    record = made(frame=frame, objectives={"objectives": objectives})
    orders = section(record, "Judges and other weights").tables[-1]
    assert ["without criterion", "What it costs"] in [row[:2] for row in orders.rows]
    known = section(record, "How far the order holds").tables[-1]
    assert (known.head, [row[0] for row in known.rows]) == (
        ["Uncertainty", "Worth"],
        ["The price of fuel", "everything"],
    )


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            {"accepted": True, "identity": "operation_log", "user": "ann", "doubt": ""},
            "accepted at sign by ann",
        ),
        (
            {"accepted": False, "identity": "unproven", "through": "portal", "doubt": ""},
            "not accepted at sign by somebody, through portal; who it was is unproven",
        ),
        (
            {"accepted": True, "identity": "operation_log", "user": "ann\u202e", "doubt": "it was ben's"},
            "accepted at sign by ann\ufffd; does not count: it was ben's",
        ),
        (
            {"accepted": True, "identity": "unproven", "doubt": ""},
            "accepted at sign by somebody; who it was is unproven",
        ),
    ],
)
def test_a_signature_says_whose_it_is_how_far_that_is_proven_and_whether_it_counts(
    told: dict[str, Any], words: str
) -> None:
    sealing = hashing.Sealing(GOOD["texts"])
    source = sealing.source({"of": "person", "activity": "sign", "shown_sha256": GOOD["content_sha256"], **told})
    row = chain.row("signature", GOOD["rows"][-1], GOOD, datetime.fromisoformat(at(5)), source)
    record = GOOD | {"rows": [*GOOD["rows"], row], "texts": {**GOOD["texts"], **sealing.used}}
    [rows] = section(record, "Changes, signatures and holds").tables
    assert rows.rows[-1][1:3] == ["signature", words]
    erased = section(record | {"texts": {}}, "Changes, signatures and holds").tables[0].rows[-1][2]
    assert ("[erased]" in str(erased)) == bool({"user", "through"} & told.keys())
