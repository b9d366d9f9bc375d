"""The file of budgets: what it says, how its mistakes are told, and what a call under a budget needs."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.budgets import SCOPES, Budgets, Limit, Usage
from worker.domain.prices import Price, Prices
from worker.domain.providers import ProviderSpec
from worker.domain.threads import Assistant
from worker.errors import Permanent
from worker.specs.budgets import check, load, strangers

TODAY = date(2026, 5, 4)


def read(folder: Path, text: str) -> Budgets:
    path = folder / "budgets.yaml"
    path.write_text(text)
    return load(path)


def test_every_word_of_it_arrives(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        currency: EUR
        budgets:
          task: {tokens: 50000, money: 0.25}
          instance: {money: 2}
          root: {tokens: 1}
          tenant: {money: 0.000000001}
          tenant acme & sons: {money: 1000000}
          assistant: {tokens: 1000000000000}
          assistant analyst: {money: 0.1}
        """,
    )

    assert found == Budgets(
        {
            "task": Limit(50_000, 250_000_000),
            "instance": Limit(None, 2_000_000_000),
            "root": Limit(1),
            "tenant": Limit(None, 1),
            "tenant acme & sons": Limit(None, 10**15),
            "assistant": Limit(10**12),
            "assistant analyst": Limit(None, 100_000_000),
        },
        "EUR",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("budgets:\n  tsk: {tokens: 1}", "2: 'tsk': is no budget; did you mean 'task'?"),
        ("budgets:\n  task frame: {tokens: 1}", "2: 'task frame': only a tenant's and an assistant's may have a name"),
        ("budgets:\n  'tenant ': {tokens: 1}", "2: 'tenant ': only a tenant's"),
        ("budgets:\n  task: {tokens: 0}", "2: tokens: must be greater than or equal to 1"),
        ("budgets:\n  task: {tokens: 1.5}", "2: tokens: must be a valid integer"),
        ("budgets:\n  task: {money: -1}", "2: money: must be greater"),
        ("budgets:\n  task: {money: .nan}", "2: money: must be"),
        ("budgets:\n  task: {money: 1 EUR}", "2: money: must be a valid number"),
        ("budgets:\n  task: {}", "2: must say tokens, or money, or both"),
        ("budgets:\n  task: {token: 1}", "2: token: is no part of"),
        ("budgets:\n  task: {tokens: 1}\n  task: {tokens: 2}", "3: task: line 2 says it already"),
        ("budgets: {}", "1: budgets: must name one budget at least"),
        ("budgets: 5", "1: budgets: must be names"),
        ("currency: EUR", "1: budgets: is missing"),
        ("currency: euro\nbudgets:\n  task: {tokens: 1}", "1: currency: must be three capital letters"),
        ("limits: {}\nbudgets:\n  task: {tokens: 1}", "1: 'limits': is no part of this file"),
        ("- a", "2: the file must be lines such as budgets:"),
        ("budgets:\n  task: {tokens: !!bool maybe}", "2: tokens: must be a valid integer"),
        ("budgets:\n  task: 2001-99-99\n  root: {tokens: !!bytes x}", "3: is no YAML: could not determine"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Permanent) as caught:
        read(tmp_path, text)
    assert f"budgets.yaml:{said}" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match=r"BUDGETS_FILE=.*none.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml")


ANALYST = Assistant("analyst", "1.0", "m", "openai", "Be brief.", timedelta(minutes=1), max_output_tokens=100)
PRICED = {"openai": ProviderSpec(prices=Prices({"m": Price(Decimal(1), Decimal(1))}, "EUR"))}
TOKENS, MONEY = Limit(tokens=1), Limit(billionths=1)


@pytest.mark.parametrize(
    ("limits", "assistant", "said"),
    [
        ({"task": TOKENS}, ANALYST, None),
        ({"task": TOKENS}, {"max_output_tokens": None}, "the assistant analyst 1.0 needs max_output_tokens"),
        ({"assistant critic": TOKENS}, {"max_output_tokens": None}, None),
        ({"assistant": MONEY, "assistant analyst": TOKENS}, {"model": "other"}, None),
        ({"assistant": MONEY}, {"model": "other"}, "the model other of the provider openai needs its price"),
        (
            {"tenant acme": MONEY},
            {"fallback": (("openai", "n"),)},
            "the model n of the provider openai needs its price",
        ),
        ({"root": MONEY}, ANALYST, None),
    ],
)
def test_a_call_under_a_budget_has_to_have_a_bound(
    limits: dict[str, Limit], assistant: Assistant | dict[str, object], said: str | None
) -> None:
    known = assistant
    if not isinstance(known, Assistant):
        known = replace(ANALYST, **known)  # type: ignore[arg-type]  # fields by name
    budgets = Budgets(limits, "EUR")
    if said is None:
        check(budgets, (known,), PRICED)
        return
    with pytest.raises(Permanent, match=said):
        check(budgets, (known,), PRICED)


def test_money_is_of_one_currency() -> None:
    with pytest.raises(Permanent, match="the prices of the provider openai are in EUR, the budgets in USD"):
        check(Budgets({"task": MONEY}), (ANALYST,), PRICED)


@given(st.dictionaries(st.sampled_from([*SCOPES, "tenant a", "assistant x"]), st.just(TOKENS)))
def test_what_counts_for_a_call_is_bounded_by_what_may_hold_for_its_assistant(limits: dict[str, Limit]) -> None:
    budgets = Budgets(limits)
    counters = budgets.counters(dict.fromkeys(SCOPES, "x") | {"tenant": "a"}, TODAY)

    assert {each.scope for each in counters} == {name.partition(" ")[0] for name in limits}
    assert len(counters) <= len(budgets.bounds("x")) == len(limits) - ({"assistant", "assistant x"} <= limits.keys())
    assert all((each.day == TODAY) == (each.scope in {"tenant", "assistant"}) for each in counters)


@pytest.mark.parametrize(
    ("limit", "used", "part"),
    [
        (Limit(100), Usage(80, 10**9), 0.8),
        (Limit(100, 100), Usage(10, 90), 0.9),
        (Limit(None, 100), Usage(10**9, 50), 0.5),
    ],
)
def test_the_part_that_is_used_is_that_of_what_is_the_closest_to_its_end(
    limit: Limit, used: Usage, part: float
) -> None:
    assert limit.nearly(used) == pytest.approx(part)


def test_a_budget_of_an_assistant_that_comes_with_a_process_is_not_said_to_bound_nothing() -> None:
    limits = {"assistant analyst": TOKENS, "assistant analist": TOKENS, "assistant deployment:offers:guest": TOKENS}
    assert strangers(Budgets(limits), (ANALYST,)) == ["assistant analist"]
