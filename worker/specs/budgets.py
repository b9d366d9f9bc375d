"""BUDGETS_FILE: what calls may take, read and checked as a whole at start."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from worker.domain.budgets import DAILY, SCOPES, Budgets, Limit
from worker.domain.deployed import is_deployed
from worker.domain.money import PLACES
from worker.domain.prices import CURRENCY
from worker.domain.providers import ProviderSpec
from worker.domain.threads import Assistant
from worker.errors import Permanent
from worker.specs.providers import Currency
from worker.specs.yaml_text import Mapped, Wrong, mapped, offer, quoted, read_text

MOST_MONEY: Final = 1_000_000
MOST_TOKENS: Final = 1_000_000_000_000
_SMALLEST: Final = Decimal(1).scaleb(-PLACES)


class LimitFields(BaseModel):
    """What may be said of one budget."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    money: Annotated[float, Field(ge=float(_SMALLEST), le=MOST_MONEY, allow_inf_nan=False)] | None = None


class _Currency(BaseModel):
    model_config = ConfigDict(strict=True)

    currency: Currency = CURRENCY


def load(path: Path) -> Budgets:
    """Read all budgets, or raise one Permanent that names every mistake with its line."""
    return read_text(path, "BUDGETS_FILE", _budgets)


def _budgets(text: str) -> Budgets:
    whole = mapped(text, "the file", "budgets:")
    mistakes = whole.mistakes
    for key in whole.values.keys() - {"budgets", "currency"}:
        mistakes.append(
            (whole.line(key), f"{quoted(key)}: is no part of this file{offer(key, ['budgets', 'currency'])}")
        )
    if "budgets" not in whole.values:
        raise Wrong([*mistakes, (1, "budgets: is missing; name each budget below it")])
    money = CURRENCY
    try:
        money = whole.fields(_Currency).currency
    except Wrong as exc:
        whole.mistakes = mistakes = exc.mistakes
    limits: dict[str, Limit] = {}
    for name, said in whole.inner("budgets").items():
        mistakes += [(said.start, f"{quoted(name)}: {flaw}") for flaw in _flaws(name)]
        try:
            limits[name] = _limit(said)
        except Wrong as exc:
            mistakes += exc.mistakes
    if not limits and not mistakes:
        mistakes.append((whole.line("budgets"), "budgets: must name one budget at least"))
    if mistakes:
        raise Wrong(mistakes)
    return Budgets(limits, money)


def _flaws(name: str) -> Iterator[str]:
    scope, space, named = name.partition(" ")
    if scope not in SCOPES:
        yield f"is no budget{offer(scope, SCOPES)}, or 'tenant NAME' and 'assistant NAME'"
    elif space and (scope not in DAILY or not named.strip()):
        yield f"only a tenant's and an assistant's may have a name behind it, as {scope} is counted for each by itself"


def _limit(said: Mapped) -> Limit:
    fields = said.fields(LimitFields)
    if fields.tokens is None and fields.money is None:
        said.mistakes.append((said.start, "must say tokens, or money, or both"))
    if said.mistakes:
        raise Wrong(said.mistakes)
    # The shortest text of a float is what people wrote.
    billionths = None if fields.money is None else int(Decimal(str(fields.money)).scaleb(PLACES))
    return Limit(fields.tokens, billionths)


def check(budgets: Budgets, assistants: tuple[Assistant, ...], providers: Mapping[str, ProviderSpec]) -> None:
    """Return if it can be said of every call beforehand what it may take. Raises Permanent, which names all that lack.

    A budget without that would be a promise that nobody can keep.
    """
    lacks: dict[str, None] = {}
    for each in assistants:
        bounds = budgets.bounds(each.name)
        if not bounds:
            continue
        if each.max_output_tokens is None:
            lacks[f"the assistant {each.name} {each.version} needs max_output_tokens in its spec"] = None
        if any(limit.billionths is not None for limit in bounds):
            lacks |= dict.fromkeys(_without_price(budgets, each, providers))
    if lacks:
        raise Permanent("BUDGETS_FILE: a call under a budget has to have a bound:\n" + "\n".join(lacks))


def strangers(budgets: Budgets, assistants: tuple[Assistant, ...]) -> list[str]:
    """Name the budgets of assistants that are not among these: they bound nothing here.

    Which assistants come with processes nobody knows before a task of theirs is there.
    """
    known = {each.name for each in assistants}
    named = [name for name in budgets.limits if name.startswith("assistant ")]
    return [name for name in named if (of := name.partition(" ")[2]) not in known and not is_deployed(of)]


def _without_price(budgets: Budgets, assistant: Assistant, providers: Mapping[str, ProviderSpec]) -> Iterator[str]:
    for name, model in assistant.chain:
        prices = providers[name].prices
        if model not in prices.by_model:
            yield f"the model {model} of the provider {name} needs its price in PROVIDERS_FILE"
        elif prices.currency != budgets.currency:
            yield f"the prices of the provider {name} are in {prices.currency}, the budgets in {budgets.currency}"
