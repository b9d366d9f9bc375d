"""`assistant-worker transcript …`."""

from argparse import Namespace
from contextlib import aclosing

from worker.domain.conversations import EVERYTHING, Filter, Hit, every
from worker.operate.commands import tables
from worker.operate.commands.desk import Desk
from worker.operate.commands.threads import conversations

PAGE = 200


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
    hits = every(lambda after: reading.search(text, wanted, within=EVERYTHING, after=after, limit=most))
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


COMMANDS = {"search": search_}
