"""`assistant-worker budgets`."""

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import replace

from worker.domain.budgets import DAILY, Budgets, Counter, Usage
from worker.domain.money import Money
from worker.errors import Permanent
from worker.operate.commands import tables
from worker.operate.commands.desk import Desk
from worker.specs import budgets


async def budgets_(desk: Desk, options: Namespace) -> int:
    """List what is used of budgets, the most used first: today's, or all of one kind."""
    if desk.settings.budgets_file is None:
        raise Permanent("there are no budgets: BUDGETS_FILE is not set")
    limits = budgets.load(desk.settings.budgets_file)
    today = await desk.adapters.budgets.today()
    scopes = [options.scope] if options.scope else sorted(DAILY)
    counted = []
    for scope in scopes:
        counted += [each async for each in desk.adapters.budgets.counted(scope, limits.currency)]
    found = sorted(
        _of(limits, [each for each in counted if each[0].day in {None, today}]),
        key=lambda each: each[0].limit.nearly(each[1]),
        reverse=True,
    )
    if options.json:
        tables.as_json([_told(counter, used) for counter, used in found])
        return 0
    rows = [tuple(_told(counter, used).values()) for counter, used in found]
    tables.show(["what", "used", "tokens", "of", "money", "of", "setting"], rows, "Nothing is used.")
    return 0


def _of(limits: Budgets, counted: Iterable[tuple[Counter, Usage]]) -> Iterable[tuple[Counter, Usage]]:
    """Those that the file still has a limit for, with that."""
    for counter, used in counted:
        if (setting := limits.setting(counter.scope, counter.name)) is not None:
            yield replace(counter, limit=limits.limits[setting], setting=setting), used


def _told(counter: Counter, used: Usage) -> dict[str, str | int | None]:
    limit = counter.limit
    return {
        "what": str(counter),
        "used": f"{limit.nearly(used):.0%}",
        "tokens": used.tokens,
        "most_tokens": limit.tokens,
        "money": str(Money.of(used.billionths, counter.currency)),
        "most_money": None if limit.billionths is None else str(Money.of(limit.billionths, counter.currency)),
        "setting": counter.setting,
    }


COMMANDS = {"budgets": budgets_}
