"""Threads at providers that nobody names any more."""

from collections.abc import Collection
from datetime import timedelta

from worker.operate.doctor.checks import Check, Contact, Finding, Level
from worker.operate.doctor.redis import AREA
from worker.redis import RedisThreadIndex

LOOK_FOR = timedelta(seconds=5)
"""How long keys are looked for: SCAN passes all keys of the database, and a check has 9 s."""


def checks(index: RedisThreadIndex, contact: Contact, providers: Collection[str] | None) -> list[Check]:
    """Return the one check; nothing where it is not known who the providers are."""
    if providers is None:
        return []

    async def left() -> list[Finding]:
        await contact.made()
        at, whole = await index.providers(LOOK_FOR)
        least = "" if whole else "at least "
        return [
            Finding(
                AREA,
                f"threads at {name}",
                Level.WARNING,
                f"{least}{count} {'thread is' if count == 1 else 'threads are'} at {name}, which is no provider any "
                "more. Their next tasks go on on new threads that are told what the transcript has, and are incidents "
                f"where it has nothing. What was said at {name} cannot be erased there",
                f"Name {name} in PROVIDERS_FILE again until these threads have ended.",
            )
            for name, count in sorted(at.items())
            if name not in providers
        ]

    return [Check(AREA, "threads", left)]
