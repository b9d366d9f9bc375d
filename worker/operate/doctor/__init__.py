"""Looks at everything the worker needs, changes nothing, and says what to do about what it finds.

What models can do it asks them, by one small call of each that may have to be paid.

Each check stands alone: one that fails takes nothing from the others. All run at once, each for a few seconds at most.
"""

import asyncio
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from worker import bootstrap
from worker.operate.doctor import (
    deployed,
    engine,
    environment,
    issuer,
    memory,
    neighbour,
    provider,
    redis,
    report,
    specs,
    stores,
    threads,
    transcript,
)
from worker.operate.doctor.checks import Check, Contact, Finding, Level, merged
from worker.operate.screen import console
from worker.redis import Inspection
from worker.settings import Settings
from worker.transcript import TranscriptInspection

__all__ = ["Finding", "Level", "examine", "findings"]


async def examine(settings: Settings, *, calls: bool = True, as_json: bool = False, deep: bool = False) -> int:
    """Print what is found; return the exit code: 1 if something would stop the work, otherwise 0. See `findings`."""
    if as_json:
        rows = await findings(settings, calls=calls, deep=deep)
        sys.stdout.write(f"{report.as_json(rows)}\n")
    else:
        screen = console()
        with screen.status("Looking, with one small call of each model …" if calls else "Looking …"):
            rows = await findings(settings, calls=calls, deep=deep)
        report.show(rows, screen)
    return int(any(row.level is Level.PROBLEM for row in rows))


async def findings(settings: Settings, *, calls: bool = True, deep: bool = False) -> list[Finding]:
    """Look at everything; with `calls` ask each model, too.

    `deep`: the stores are also held against each other, which may take a minute. Raises Permanent where the settings do
    not even allow to begin.
    """
    providers, about_providers = await specs.providers(settings)
    # Before the checks and not as one of them: several of them have to know the providers and the assistants.
    known, about_specs = await specs.load(settings, providers)
    async with AsyncExitStack() as stack:
        adapters = await stack.enter_async_context(bootstrap.connect(settings, providers or {}, reads_only=True))
        url = settings.redis_url.get_secret_value()
        inspection = await stack.enter_async_context(
            Inspection.open(url, settings.redis_prefix, settings.redis_ca_file)
        )
        tables = await stack.enter_async_context(_tables(settings)) if settings.keeps_transcript else None
        to_engine = await stack.enter_async_context(Contact("engine", adapters.engine.ping))
        to_redis = await stack.enter_async_context(Contact("redis", inspection.try_write))
        to_providers = {
            name: await stack.enter_async_context(Contact(f"provider {name}", each.provider.ping))
            for name, each in adapters.providers.items()
        }

        async def written() -> list[Finding]:
            return about_providers + about_specs

        checks = [
            *environment.checks(settings),
            *engine.checks(adapters.engine, to_engine, settings),
            *redis.checks(inspection, adapters.threads, adapters.stops, to_redis, settings),
            *threads.checks(adapters.index, to_redis, providers),
            *(
                check
                for each in adapters.providers.values()
                for check in provider.checks(each, to_providers, known, adapters.stops, calls=calls)
            ),
            *transcript.checks(adapters.conversations, tables, adapters.outbox, to_redis, settings),
            *memory.checks(
                adapters.memory,
                adapters.memos,
                settings,
                "" if adapters.embedder is None else adapters.embedder.model,
                adapters.vectors,
            ),
            Check(specs.AREA, "specs", written),
            *specs.of_budgets(settings, known, providers),
            *specs.of_files(known, providers),
            *deployed.checks(adapters.engine, to_engine, known, settings, providers),
            *neighbour.checks(settings),
            *issuer.checks(settings),
        ]
        if deep:
            checks += stores.checks(adapters, inspection, tables, to_redis, known, settings)
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(each.run(), name=f"check {each.area}: {each.subject}") for each in checks]
    return merged(finding for each in running for finding in each.result())


def _tables(settings: Settings) -> AbstractAsyncContextManager[TranscriptInspection]:
    return TranscriptInspection.open(settings.transcript_url.get_secret_value(), settings.engine_name)
