"""A worker that runs on this machine: what it says that it cannot serve."""

from worker.operate.doctor.checks import Check, Finding, Level
from worker.settings import Settings
from worker.web import health

AREA = "running worker"


def checks(settings: Settings) -> list[Check]:
    """Return the one check; where no worker runs there is nothing to say."""

    async def left_out() -> list[Finding]:
        if not settings.health_port:  # it took any free one, which nobody knows
            return []
        return [_finding(each) for each in await health.left_out_at(settings.health_host, settings.health_port)]

    return [Check(AREA, "left out", left_out)]


def _finding(said: str) -> Finding:
    advice = (
        "Look at the newest instances of this definition: something in or behind these tasks makes the engine refuse a "
        "poll that would bring them; the engine's log says more. The worker looks again by itself within 5 minutes."
    )
    return Finding(AREA, "left out", Level.PROBLEM, said, advice)
