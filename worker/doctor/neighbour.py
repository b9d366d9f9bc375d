"""A worker that runs on this machine: what it says that it cannot serve."""

from http import HTTPStatus

import aiohttp

from worker import foreign
from worker.doctor.checks import Check, Finding, Level
from worker.settings import Settings

AREA = "running worker"
_LIMITS = aiohttp.ClientTimeout(total=2)
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what a worker may listen on; we go to this machine's own address


def checks(settings: Settings) -> list[Check]:
    """Return the one check; where no worker runs there is nothing to say."""

    async def left_out() -> list[Finding]:
        return [_finding(each) for each in await _left_out(settings)]

    return [Check(AREA, "left out", left_out)]


async def _left_out(settings: Settings) -> list[str]:
    if not settings.health_port:
        return []
    host = "127.0.0.1" if settings.health_host in _ANY else settings.health_host
    address = f"http://{f'[{host}]' if ':' in host else host}:{settings.health_port}/readyz"
    try:
        async with aiohttp.ClientSession(timeout=_LIMITS) as client, client.get(address) as reply:
            said = foreign.read(await reply.text()) if reply.status < HTTPStatus.INTERNAL_SERVER_ERROR else {}
    except (aiohttp.ClientError, OSError, ValueError):
        return []
    named = said.get("left_out") if isinstance(said, dict) else None
    return [str(each) for each in named] if isinstance(named, list) else []


def _finding(said: str) -> Finding:
    advice = (
        "Look at the newest instances of this definition: something in or behind these tasks makes the engine refuse a "
        "poll that would bring them; its log says more. It looks again by itself within 5 minutes."
    )
    return Finding(AREA, "left out", Level.PROBLEM, said, advice)
