"""What an assistant's files say to a question: searched before the call, and shown behind its instructions.

Where the provider searches files itself, the call says in which store.
"""

from dataclasses import replace

from worker.domain.documents import MOST_PASSAGES, Passage
from worker.domain.threads import Assistant
from worker.modelling import prompt
from worker.turn.facts import TurnFacts
from worker.turn.request import Ground, Request


async def looked_up(ground: Ground, request: Request, facts: TurnFacts) -> Assistant:
    """Return the assistant with what it is shown to this request. Raises as `Shelf.find` and `FileStores.ready` do.

    A thread keeps nothing of what is shown: the next request gets what fits that one.
    """
    assistant = request.assistant
    facts.looked_up = {}
    if not assistant.files:
        return assistant
    stores = ground.file_stores.get(assistant.provider)
    if stores is not None:
        with facts.phase("look_up"):
            store = await stores.ready(assistant.files)
        return replace(assistant, file_store=store.id, looked_up=prompt.searchable(store.names))
    with facts.phase("look_up"):
        words = request.text if request.words is None else request.words()
        found = await ground.shelf.find(assistant.files, words, MOST_PASSAGES)
    facts.looked_up = _used(found)
    return replace(assistant, looked_up=prompt.looked_up(found) if found else "")


def check_store(ground: Ground, assistant: Assistant) -> None:
    """Find out beside the work whether the store of an assistant's files is gone: some servers search it then as well.

    The answer is kept, as it was paid for. For the next one the store is made anew.
    """
    stores = ground.file_stores.get(assistant.provider)
    if stores is not None and assistant.file_store:
        ground.later(stores.check(assistant.files, assistant.file_store), f"files of {assistant.name}")


def _used(found: list[Passage]) -> dict[str, str]:
    """Name the files that were used, with the beginnings of their digests."""
    return {each.file.name: each.file.sha256[:12] for each in found}
