"""Tokens → money: exact, by the price of who answered, and unknown rather than nothing."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.money import Money
from worker.domain.prices import MOST, Price, Prices
from worker.domain.threads import Answer

MINI = Price(Decimal("0.4"), Decimal("1.6"), cached=Decimal("0.1"))
PRICES = Prices({"gpt-5-mini": MINI, "gpt-5": Price(Decimal("1.25"), Decimal(10))})
TOKENS = st.integers(0, 2**31 - 1)
PRICE = st.decimals(0, MOST, allow_nan=False, places=6)


def answer(read: int | None = 1000, written: int | None = 100, model: str | None = "gpt-5-mini", **of: Any) -> Answer:
    return Answer("", model=model, input_tokens=read, output_tokens=written, **of)


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        (answer(), "0.00056"),
        (answer(cached_tokens=0), "0.00056"),
        (answer(cached_tokens=1000), "0.00026"),
        (answer(cached_tokens=2000), "0.00026"),
        (answer(1, 0), "0.0000004"),
        (answer(0, 0), "0"),
        (answer(1_000_000, 1_000_000), "2"),
        (answer(reasoning_tokens=100), "0.00056"),
        (answer(None), None),
        (answer(written=None), None),
    ],
)
def test_an_answer_costs_its_tokens_by_kind(given: Answer, amount: str | None) -> None:
    assert PRICES.cost(given, "gpt-5-mini") == (None if amount is None else Money(amount, "USD"))


def test_a_model_whose_name_has_no_end_is_known_by_its_beginning_and_priced_as_the_one_that_was_asked() -> None:
    given = answer(model="m" * 50_000)

    assert given.model == "m" * 199 + "…"
    assert PRICES.cost(given, "gpt-5-mini") == Money("0.00056", "USD")
    assert answer(model="m" * 200).model == "m" * 200


def test_what_has_no_price_of_its_own_costs_as_other_input() -> None:
    given = answer(cached_tokens=500, cache_write_tokens=300, model="gpt-5")
    dear = Prices({"gpt-5": Price(Decimal(1), Decimal(0), cached=Decimal("0.1"), cache_write=Decimal(2))}, "EUR")

    assert PRICES.cost(given, "gpt-5") == Money("0.00225", "USD")
    assert dear.cost(given, "gpt-5") == Money("0.00085", "EUR")


@pytest.mark.parametrize(
    ("answered", "asked", "amount"),
    [
        ("gpt-5-mini-2026-01-01", "gpt-5-mini", "0.00056"),
        ("gpt-5", "gpt-5-mini", "0.00225"),
        (None, "gpt-5", "0.00225"),
        ("somebody", "else", None),
    ],
)
def test_a_model_is_priced_by_the_name_it_answers_with_or_was_asked_by(
    answered: str | None, asked: str, amount: str | None
) -> None:
    cost = PRICES.cost(answer(model=answered), asked)

    assert (cost and cost.amount) == amount


def test_a_model_that_costs_nothing_is_not_one_of_unknown_price() -> None:
    assert Prices({"local": Price(Decimal(0), Decimal(0))}).cost(answer(model="local"), "local") == Money("0", "USD")
    assert Prices().cost(answer(), "gpt-5-mini") is None


@given(TOKENS, TOKENS, TOKENS, TOKENS, PRICE, PRICE, PRICE)
def test_no_call_costs_more_than_a_database_holds_or_less_than_nothing(
    read: int, written: int, cached: int, kept: int, in_: Decimal, out: Decimal, from_cache: Decimal
) -> None:
    given = answer(read, written, cached_tokens=cached, cache_write_tokens=kept)
    billionths = Price(in_, out, cached=from_cache).billionths(given)

    assert billionths is not None
    assert 0 <= billionths < 2**63


@given(st.integers(0, 10**25))
def test_money_is_read_as_it_was_written(billionths: int) -> None:
    money = Money.of(billionths, "USD")

    assert money.billionths == billionths
    assert Money.read(money.told) == money


@pytest.mark.parametrize(
    "parts",
    [
        None,
        [],
        "1",
        {},
        {"amount": "1"},
        {"amount": 1, "currency": "USD"},
        {"amount": "1e999999999", "currency": "USD"},
        {"amount": "-1", "currency": "USD"},
        {"amount": "1.10", "currency": "USD"},
        {"amount": "01", "currency": "USD"},
        {"amount": "1", "currency": "dollars"},
        {"amount": "1", "currency": "USD", "more": 1},
    ],
)
def test_what_is_no_money_is_unknown(parts: Any) -> None:
    assert Money.read(parts) is None
