"""What an assistant's files say to a question: searched before the call, and shown behind its instructions.

Where the provider searches files itself, the call says in which store.
"""

from collections.abc import Callable
from dataclasses import replace

from worker.domain.documents import MOST_PASSAGES, Passage
from worker.domain.threads import Assistant
from worker.modelling import prompt
from worker.ports.documents import Shelf
from worker.turn.facts import TurnFacts
from worker.turn.file_stores import FileStores


async def looked_up(
    shelf: Shelf, stores: FileStores | None, assistant: Assistant, asked: Callable[[], str], facts: TurnFacts
) -> Assistant:
    """Return the assistant with what it is shown to this question. Raises as `Shelf.find` and `FileStores.ready` do.

    What is `asked` is put together only where there are files. A thread keeps nothing of what is shown: the next
    question gets what fits that one.
    """
    if not assistant.files:
        return assistant
    facts.looked_up = {}
    if stores is not None:
        with facts.phase("look_up"):
            store = await stores.ready(assistant.files)
        return replace(assistant, file_store=store.id, looked_up=prompt.searchable(store.names))
    with facts.phase("look_up"):
        found = await shelf.find(assistant.files, asked(), MOST_PASSAGES)
    facts.looked_up = _used(found)
    return replace(assistant, looked_up=prompt.looked_up(found) if found else "")


def _used(found: list[Passage]) -> dict[str, str]:
    """Name the files that were used, with the beginnings of their digests."""
    return {each.file.name: each.file.sha256[:12] for each in found}
