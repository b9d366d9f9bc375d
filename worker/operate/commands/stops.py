"""`assistant-worker stop`, `resume` and `stops`."""

from argparse import Namespace
from collections.abc import Collection, Mapping

from worker import bootstrap
from worker.domain.stops import Kind, checked, described, order
from worker.errors import Permanent
from worker.operate.commands import tables
from worker.operate.commands.desk import Desk, me
from worker.settings import Settings
from worker.specs import assistants


async def stop_(desk: Desk, options: Namespace) -> int:
    """Stop something, for all workers of this engine."""
    known = _known(desk.settings, options.what)
    # Held against the names that are known: a stop of one that nobody has would stop nothing, without a word.
    stop = order(options.what, options.name, me(), known, reason=options.reason, now=options.now)
    await desk.adapters.stops.stop(stop)
    tables.say(f"{stop}\nEvery worker knows within 5 s. To lift it: assistant-worker resume {stop.words}")
    return 0


async def resume_(desk: Desk, options: Namespace) -> int:
    """Lift a stop, for all workers of this engine."""
    name = checked(options.what, options.name)
    if not await desk.adapters.stops.lift(options.what, name):
        lines = (await desk.adapters.stops.read()).lines
        raise Permanent("\n".join([f"{described(options.what, name)} is not stopped.", *lines]))
    tables.say(f"{described(options.what, name)} goes on. Tasks that met the stop are back within 30 s.")
    return 0


async def stops_(desk: Desk, options: Namespace) -> int:
    """List what is stopped."""
    stops = await desk.adapters.stops.read()
    if options.json:
        tables.as_json(stops)
        return 0
    rows = [(each.kind, each.name, each.by, each.since, "yes" if each.now else "", each.reason) for each in stops.known]
    tables.show(["what", "name", "by", "since", "calls broken off", "reason"], rows, "Nothing is stopped.")
    for line in stops.ignored:
        tables.say(line)
    return 0


def _known(settings: Settings, kind: Kind) -> Mapping[Kind, Collection[str]]:
    """All names of the kind, if there is a list. That it cannot be read is said, and keeps nobody from stopping."""
    if kind not in {"assistant", "provider"}:
        return {}
    try:
        providers = bootstrap.provider_specs(settings)
        if kind == "provider":
            return {kind: providers.keys()}
        return bootstrap.names(assistants.load(settings.assistants_dir, providers), providers)
    except Permanent as exc:
        for line in (f"Not looked up whether there is a {kind} of this name:", *str(exc).splitlines()):
            tables.complain(line)
        return {}


COMMANDS = {"stop": stop_, "resume": resume_, "stops": stops_}
