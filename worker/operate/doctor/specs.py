"""The assistants' specs: how many there are, and what is wrong with them, line by line."""

import asyncio

from worker import bootstrap
from worker.errors import Permanent
from worker.operate.doctor.checks import Finding, Level
from worker.settings import Settings
from worker.specs import assistants
from worker.specs.assistants import Specs

AREA = "assistants"
LISTED = 20


async def load(settings: Settings) -> tuple[Specs | None, list[Finding]]:
    """Load them as the worker would. None where one of them is wrong: the worker would not start then."""
    try:
        specs = await asyncio.to_thread(assistants.load, settings.assistants_dir, bootstrap.provider_specs(settings))
    except Permanent as exc:
        advice = "Correct it: the worker does not start before."
        return None, [Finding(AREA, "specs", Level.PROBLEM, line, advice) for line in str(exc).splitlines()]
    names = [f"{each.name} {each.version}" for each in specs.assistants]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    said = f"{len(names)} in {settings.assistants_dir}: {', '.join(names[:LISTED])}{more}"
    return specs, [Finding(AREA, "specs", Level.OK, said)]
