"""Decisions as records: put together, computed, hashed, verified and exported. Pure: no engine, no store, no clock.

Who connects it gathers an `Item` for each value of a part that the engine accepted, and calls, beside the loop:

    record = build(record_id, items, "computed", before=kept)  # at the stage compute; "proposed" at the stage propose
    row = chain.row("change", last_row, record, now, facts(record))

and keeps both in one transaction, unless the newest that is kept has this content_sha256: then nothing has changed. The
stage close calls `close(record, acts)`, which changes no hash, and keeps a row "signature" for each act.

`part(name)` is the JSON Schema that a task asks an assistant for; ids of judges come from `judge_ids`. `verify`
compares with what stands elsewhere, `FORMATS` write files. `record["content"]["computed"]` has what gateways read:
`leader`, `lead`, `first_share`, `agreement` and `mismatches`, never null; `record["decision"]` has `accepted`, `answer`
and `void_reason`.

To erase what was said, take `erased` of every revision: nothing that is hashed changes, and `verify` counts the texts.
Errors are BadRecord, whose text names each place, and Permanent where the extra [decisions] is not installed.
"""

from worker.decisions import chain
from worker.decisions.formats import FORMATS, Format
from worker.decisions.hashing import ERASED, Texts
from worker.decisions.items import Item, judge_ids
from worker.decisions.record import Act, Record, Stage, build, close, erased, facts, processes, shown
from worker.decisions.schemas import FORMAT, PARTS, SCHEMA, check, check_part, part
from worker.decisions.verifying import Anchor, Verified, verify

__all__ = [
    "ERASED",
    "FORMAT",
    "FORMATS",
    "PARTS",
    "SCHEMA",
    "Act",
    "Anchor",
    "Format",
    "Item",
    "Record",
    "Stage",
    "Texts",
    "Verified",
    "build",
    "chain",
    "check",
    "check_part",
    "close",
    "erased",
    "facts",
    "judge_ids",
    "part",
    "processes",
    "shown",
    "verify",
]
