"""What is taken out before something is remembered, and what is left as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import NotRedacted, Permanent
from worker.modelling import redaction
from worker.modelling.redaction import Redaction, is_card, is_iban

ALL = Redaction()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Write to jo.doe+x@mail.example.org, please.", "Write to [email], please."),
        ("Pay to DE89 3704 0044 0532 0130 00 today.", "Pay to [iban] today."),
        ("GB82WEST12345698765432", "[iban]"),
        ("de89370400440532013000", "[iban]"),
        ("card 4111 1111 1111 1111.", "card [card]."),
        ("card 5500-0000-0000-0004", "card [card]"),
        ("call +49 (0)30 1234567 or 0041 44 668 18 00", "call [phone] or [phone]"),
        ("Tel. 030/1234567", "Tel. [phone]"),
        ("two: a@b.de;c@d.de", "two: [email];[email]"),
    ],
)
def test_what_names_a_person_or_an_account_is_taken_out(text: str, left: str) -> None:
    assert ALL.of(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "Order 4111111111111112 of 2026-11-30 for 12,500.00 EUR",  # no checksum
        "GB82 WEST 1234 5698 7654 33",
        "0.1234567 of 1.000.000",
        "version 10.20.30.40 at 12:30:45",
        "Score 0,0123456 and -0.5",
        "a@b",
        "0000000000000000000 is no card",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert "[card]" not in ALL.of(text)
    assert "[iban]" not in ALL.of(text)
    assert "[email]" not in ALL.of(text)


def test_numbers_of_decisions_are_no_phones() -> None:
    text = "Weights 0.25, 0.5 and 0.25; cost 1,250,000; 2026-11-30T10:00:00; score 0.7312345"
    assert ALL.of(text) == text


def test_patterns_of_ones_own_go_first_and_are_named() -> None:
    chosen = redaction.read(r"email, customer=K-\d{4}")
    assert chosen.of("K-1234 wrote from x@y.example, +49 30 1234567") == "[customer] wrote from [email], +49 30 1234567"


def test_a_comma_in_a_pattern_counts_there_as_well() -> None:
    assert redaction.read(r"customer=K-[0-9]{4\x2c6}").of("of K-12345") == "of [customer]"


def test_nothing_is_taken_out_where_that_is_said() -> None:
    assert redaction.read("none").of("a@b.example") == "a@b.example"


def test_a_pattern_that_takes_too_long_leaves_nothing_to_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "SECONDS", 0.2)
    with pytest.raises(NotRedacted, match="evil"):
        redaction.read("evil=(a+)+[bc]").of("a" * 4000)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("mail", "email, iban, card, phone"),
        ("x=(", "pattern x"),
        ("email=x+", "no name"),
        ("X=y", "no name"),
        ("x=y*", "finds nothing"),
        ("email, none", "none"),
    ],
)
def test_what_cannot_be_meant_is_named(said: str, named: str) -> None:
    with pytest.raises(Permanent, match=named):
        redaction.read(said)


@given(st.text(max_size=300))
def test_any_text_is_redacted_and_then_stays(text: str) -> None:
    once = ALL.of(text)
    assert ALL.of(once) == once


def test_checksums() -> None:
    assert is_iban("FR14 2004 1010 0505 0001 3M02 606")
    assert not is_iban("FR14 2004 1010 0505 0001 3M02 607")
    assert is_card("378282246310005")
    assert not is_card("378282246310006")
