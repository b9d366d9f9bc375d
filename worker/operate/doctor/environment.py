"""The settings: what is set in vain, what could not be used, and the files that secrets stand in."""

from contextlib import suppress

from worker import bootstrap, settings
from worker.errors import Permanent
from worker.operate.doctor.checks import Check, Finding, Level
from worker.settings import Settings

AREA = "settings"


def checks(chosen: Settings) -> list[Check]:
    """Return the checks; where there is nothing wrong there is nothing to say but where secrets come from."""

    async def unknown() -> list[Finding]:
        return [_finding(name, meant) for name, meant in settings.misspelt().items()]

    async def unusable() -> list[Finding]:
        try:
            bootstrap.check(chosen)
        except Permanent as exc:
            subject = "decision records" if str(exc).startswith("RECORD_KEY") else "API"
            return [Finding(AREA, subject, Level.PROBLEM, str(exc), "Correct it: the worker does not start before.")]
        return []

    async def signing() -> list[Finding]:
        with suppress(Permanent):  # which has been said
            if key := bootstrap.record_key(chosen):
                return [Finding(AREA, "decision records", Level.OK, f"their rows are signed by the key {key.id}")]
        return []

    async def files() -> list[Finding]:
        return [Finding(AREA, f"{name}_FILE", Level.OK, str(path)) for name, path in chosen.secret_files.items()]

    return [
        Check(AREA, "names", unknown),
        Check(AREA, "API", unusable),
        Check(AREA, "RECORD_KEY", signing),
        Check(AREA, "secrets", files),
    ]


def _finding(name: str, meant: str) -> Finding:
    advice = f"If {meant} is meant, correct the name; if another program reads it, all is well."
    return Finding(AREA, name, Level.WARNING, "no setting of this worker, which does not look at it", advice)
