"""The settings: what is set in vain."""

from worker import settings
from worker.operate.doctor.checks import Check, Finding, Level

AREA = "settings"


def checks() -> list[Check]:
    """Return the one check; where every name is known there is nothing to say."""

    async def unknown() -> list[Finding]:
        return [_finding(name, meant) for name, meant in settings.misspelt().items()]

    return [Check(AREA, "names", unknown)]


def _finding(name: str, meant: str) -> Finding:
    advice = f"If {meant} is meant, correct the name; if another program reads it, all is well."
    return Finding(AREA, name, Level.WARNING, "no setting of this worker, which does not look at it", advice)
