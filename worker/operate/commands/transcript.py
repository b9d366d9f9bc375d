"""`assistant-worker transcript …`."""

from argparse import Namespace
from contextlib import aclosing
from dataclasses import asdict, astuple

from worker.domain.conversations import EVERYTHING, Filter, Hit, Limits, MessageFilter, Spent, every
from worker.operate.commands import tables
from worker.operate.commands.desk import Desk
from worker.operate.commands.threads import conversations

PAGE = 200
"""Hits that are asked for at a time."""


async def search_(desk: Desk, options: Namespace) -> int:
    """Find messages."""
    wanted = Filter(
        engine=desk.settings.engine_name,
        instance=options.instance,
        business_key=options.business_key,
        assistant=options.assistant,
    )
    reading, text, found = conversations(desk), " ".join(options.words), list[Hit]()
    most = min(PAGE, options.limit)
    hits = every(lambda after: reading.search(text, wanted, within=Limits(), after=after, limit=most))
    async with aclosing(hits):
        async for hit in hits:
            found.append(hit)
            if len(found) == options.limit:
                break
    if options.json:
        tables.as_json(found)
    else:
        rows = [(hit.created_at, hit.process_instance_id, hit.assistant, hit.role, hit.excerpt) for hit in found]
        tables.show(["time", "process instance", "assistant", "who", "text"], rows, "Nothing was found.")
    return 0


async def cost_(desk: Desk, options: Namespace) -> int:
    """Sum what answers took and cost."""
    wanted = MessageFilter(instance=options.instance, engine=desk.settings.engine_name, since=options.since)
    found = await conversations(desk).spent(options.by, wanted, within=EVERYTHING)
    if options.json:
        tables.as_json([{"name": name, **asdict(spent)} for name, spent in found.items()])
        return 0
    rows = [(name, spent.answers, *_tokens(spent), _money(spent)) for name, spent in found.items()]
    heads = [options.by, "answers", "input", "of it cached", "output", "of it reasoning", "cost"]
    tables.show(heads, rows, "There are no answers.")
    return 0


async def feedback_(desk: Desk, options: Namespace) -> int:
    """Count what people say of answers."""
    found = await conversations(desk).rated(since=options.since, within=EVERYTHING)
    if options.json:
        tables.as_json(found)
    else:
        heads = ["assistant", "version", "right", "wrong"]
        tables.show(heads, [astuple(each) for each in found], "Nobody has said anything of an answer.")
    return 0


def _tokens(spent: Spent) -> tuple[int, ...]:
    return spent.input_tokens, spent.cached_tokens, spent.output_tokens, spent.reasoning_tokens


def _money(spent: Spent) -> str:
    """Say what is known, and of how many answers nothing is."""
    unknown = [f"{spent.unpriced} of unknown cost"] if spent.unpriced else []
    return " + ".join([*map(str, spent.cost), *unknown])


COMMANDS = {"search": search_, "cost": cost_, "feedback": feedback_}
