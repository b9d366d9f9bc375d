"""Two revisions of a decision's record, as whoever asks for them names them."""

from worker.decisions import comparing
from worker.decisions.comparing import Comparison
from worker.domain.conversations import Limits
from worker.export.verifying import check
from worker.ports.decisions import DecisionReader
from worker.runtime.beside import for_reader


async def compared(
    records: DecisionReader, id_: str, first: int | None, second: int | None, *, within: Limits
) -> Comparison | None:
    """Compare two revisions: the last one with that before it, if they are not named. None where one is not there.

    Raises BadRecord where one of them is not in its form.
    """
    last = await records.decision(id_, within=within)
    if last is None:
        return None
    await check(last)
    newest: int = last.record["revision"]
    to = newest if second is None else second
    first = max(1, to - 1) if first is None else first
    other = last if to == newest else await records.decision(id_, within=within, revision=to)
    one = last if first == newest else await records.decision(id_, within=within, revision=first)
    if one is None or other is None:
        return None
    for each in (one, other):
        if each is not last:
            await check(each)
    return await for_reader(comparing.compare, one.record, other.record, last.rows)
