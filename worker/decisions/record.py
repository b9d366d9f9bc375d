"""The record of a decision: built of items, computed, hashed, and closed by persons' acts. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from worker.decisions import hashing, items, schemas, texts, what_ifs
from worker.decisions.computed import METHOD, compute
from worker.decisions.hashing import Sealing, Texts
from worker.decisions.items import Counted, Item
from worker.decisions.sampling import SAMPLES, SEED
from worker.decisions.schemas import FORMAT, INPUTS, PARTS, WHAT_IFS
from worker.errors import BadRecord

Record = dict[str, Any]
"""As the published schema has it."""
Stage = Literal["open", "computed", "proposed"]

_SCORES: Final = "scores"


@dataclass(frozen=True, slots=True)
class Act:
    """What a person did with what was shown. `shown_sha256` is the content_sha256 that stood before them.

    `doubt` says why it cannot count, as that another completed the task than whom it was given to; empty if it can.
    """

    accepted: bool
    answer: str
    shown_sha256: str
    doubt: str = ""


def build(
    record: str,
    said: Iterable[Item],
    stage: Stage,
    *,
    before: Mapping[str, Any] | None = None,
    samples: int = SAMPLES,
    seed: int = SEED,
    salt: Callable[[], str] | None = None,
) -> Record:
    """Build the record of the id `record` from all that was said for it so far, `before` being the last one kept.

    Computes unless the stage is open: takes too long for the loop. What was computed of the same parts before stays, so
    that the last digits of another processor make no new revision. Weights that persons tried out and kept go on. The
    same content is the same revision, with the same content_sha256; another one is the next revision, and nobody has
    signed it. Raises BadRecord, which names the
    parts that the stage lacks and what is wrong with those that are there, and Permanent without the extra [decisions].
    """
    # Texts keep their salts: with new ones the same content would have another hash, which nobody has signed.
    known: Texts = before["texts"] if before else {}
    if before and set(hashing.digests(before["content"])) - known.keys():
        raise BadRecord("the record's texts were erased by an order, and what was said is not put into it again")
    counted = items.count(said)
    content = _content(counted.current)
    if missing := schemas.lacking(content, stage):
        raise BadRecord(f"the record lacks {', '.join(missing)} to be {stage}")
    sealing = Sealing(known, salt)
    sealed = sealing.content(content)
    tried = what_ifs.carried(before, content) if before else what_ifs.NOTHING
    if tried.sets:
        sealed[WHAT_IFS] = {"sets": [*tried.sets]}
        content[WHAT_IFS] = hashing.opened(sealed[WHAT_IFS], known)
    if stage != "open":
        computed = _computed(before, sealed, samples, seed) if before else None
        sealed["computed"] = computed or compute(content, samples=samples, seed=seed)
    made = {
        "format": FORMAT,
        "id": record,
        "revision": 1,
        "status": stage,
        "content": sealed,
        "content_sha256": hashing.sha256(sealed),
        "sources": _sources(counted, sealing) | ({WHAT_IFS: tried.sources} if tried.sets else {}),
        "earlier": [*(_item(each, sealing) for each in counted.earlier), *tried.earlier],
        "proposed": [_item(each, sealing) for each in counted.proposed],
    }
    if before:
        made["revision"] = before["revision"] + (made["content_sha256"] != before["content_sha256"])
    kept = {digest: known[digest] for digest in hashing.digests(tried.all) if digest in known}
    return made | {"texts": {**kept, **sealing.used}}


def _computed(before: Mapping[str, Any], sealed: Mapping[str, Any], samples: int, seed: int) -> dict[str, Any] | None:
    """Return what was computed of these parts before, in the same way; None if nothing was."""
    content = dict(before["content"])
    computed: dict[str, Any] | None = content.pop("computed", None)
    way = {"name": METHOD, "samples": samples, "seed": seed}
    return computed if computed and content == sealed and computed["method"] == way else None


UNSIGNED: Final = "nobody has signed it"
UNSEEN: Final = (
    "nobody is known to have signed it: the engine does not tell of persons' tasks, which takes history level activity "
    "and the right READ_HISTORY on the process definition"
)


def close(record: Mapping[str, Any], acts: Sequence[Act], unsigned: str = UNSIGNED) -> Record:
    """Say what persons made of it. It is accepted if all of one or more did, on what it is now, and without a doubt.

    Weights that somebody tried out and kept since they were shown it change nothing of that. `unsigned` is why it is
    void without any act.
    """
    schemas.check(record)
    if record["status"] not in {"proposed", "closed"}:
        raise BadRecord(f"a record is closed after it was proposed, and this one is {record['status']}")
    reason = next(filter(None, (_void(record, act) for act in acts)), "" if acts else unsigned)
    decision = {
        "accepted": not reason and all(act.accepted for act in acts),
        "answer": acts[-1].answer if acts else "",
        "void_reason": reason,
    }
    return {**record, "status": "closed", "decision": decision}


def _void(record: Mapping[str, Any], act: Act) -> str:
    is_now, was_shown = record["content_sha256"], act.shown_sha256
    if act.doubt or was_shown == is_now or was_shown in what_ifs.stood_before(record["content"]):
        return act.doubt
    return f"what was signed is {was_shown[:12] or 'unknown'}, and the record is {is_now[:12]}"


def erased(record: Mapping[str, Any], instance: str | None = None) -> tuple[Record, int]:
    """Return a record without its texts, or without those that were said in one instance; and how many went.

    What is said in the same words elsewhere stays. All that is hashed stays as it was.
    """
    texts = record["texts"]
    gone = set(texts) if instance is None else _said_in(record, instance) & texts.keys()
    left = {**record, "texts": {digest: text for digest, text in texts.items() if digest not in gone}}
    decision, count = record.get("decision"), len(gone)
    if instance is None and decision and decision["answer"] not in {"", hashing.ERASED}:
        left["decision"] = {**decision, "answer": hashing.ERASED}
        count += 1
    return left, count


def _said_in(record: Mapping[str, Any], instance: str) -> set[str]:
    mine, others = set[str](), set[str]()
    for value, source in _items(record):
        (mine if (source or {}).get("instance") == instance else others).update(hashing.digests([value, source]))
    return mine - others


def _items(record: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """List all that was said for it, with its sources: what counts, and what does not."""
    beside = [*record["earlier"], *record["proposed"]]
    return [(value, source) for _, _, value, source in current(record)] + [
        (each["value"], each["source"]) for each in beside
    ]


def revives(record: Mapping[str, Any], kept: Mapping[str, Any]) -> bool:
    """Whether a record has texts that were erased of the one that is kept."""
    there = [kept["content"], kept["sources"], kept["earlier"], kept["proposed"]]
    return not record["texts"].keys().isdisjoint(set(hashing.digests(there)) - kept["texts"].keys())


def cited(record: Mapping[str, Any]) -> set[str]:
    """Name the messages that its sources cite: the question and the answer of each turn."""
    sources = [source or {} for _, source in _items(record)]
    named = {source.get(name) for source in sources for name in ("question", "answer")}
    return {each for each in named if isinstance(each, str) and each}


def processes(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name the instances that something was said in for it, each with its definition's id where that is known."""
    named = [(source or {}) for _, source in _items(record)]
    return list(dict.fromkeys((each.get("instance", ""), each.get("definition", "")) for each in named))


def facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a row of the change that led to this revision holds: each item that counts, hashed, with its source.

    What does not count is one hash, `beside`, and of the decision stands there what no erasing changes.
    """
    decision = record.get("decision")
    decided = {"decision": {name: decision[name] for name in ("accepted", "void_reason")}} if decision else {}
    return {
        "status": record["status"],
        **decided,
        "beside": {"sha256": hashing.sha256([record["earlier"], record["proposed"]])},
        "items": [
            {"part": part, "judge": judge, "value_sha256": hashing.sha256(value), "source": source}
            for part, judge, value, source in current(record)
        ],
    }


def current(record: Mapping[str, Any]) -> list[tuple[str, str, Any, Any]]:
    """List what counts as part, judge, value and source, texts sealed; of what was tried out the id for the judge."""
    content, sources = record["content"], record["sources"]
    found = [(part, "", content[part], sources.get(part)) for part in PARTS if part in content and part != _SCORES]
    by_judge = sources.get(_SCORES, {})
    found += [(_SCORES, judge, value, by_judge.get(judge)) for judge, value in content.get(_SCORES, {}).items()]
    return found + what_ifs.items(record)


def shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """Open a record's content to be read: texts in their place, and figures filled in by code."""
    content = hashing.opened(record["content"], record["texts"])
    computed = content.get("computed", {})
    return {
        part: value
        if part in {*INPUTS, WHAT_IFS, "computed"}
        else texts.changed(value, lambda text: texts.fill(text, computed).text)
        for part, value in content.items()
    }


def _content(said: Sequence[Item]) -> dict[str, Any]:
    """Put values in their places, in an order that does not hang on who spoke first. Raises BadRecord."""
    found = dict[str, Any]()
    for item in sorted(said, key=lambda each: (PARTS.index(each.part) if each.part in PARTS else -1, each.judge)):
        try:
            schemas.check_part(item.part, item.value)
        except BadRecord as exc:
            where = f" (of {item.judge})" if item.judge else ""
            raise BadRecord(f"{exc}{where}") from exc
        if (item.part == _SCORES) != bool(item.judge):
            raise BadRecord(f"scores have a judge, and nothing else has: {item.part}")
        if item.judge:
            found.setdefault(_SCORES, {})[item.judge] = item.value
        else:
            found[item.part] = item.value
    return found


def _sources(counted: Counted, sealing: Sealing) -> dict[str, Any]:
    found = dict[str, Any]()
    for item in counted.current:
        if item.judge:
            found.setdefault(_SCORES, {})[item.judge] = sealing.source(item.source)
        else:
            found[item.part] = sealing.source(item.source)
    return found


def _item(item: Item, sealing: Sealing) -> dict[str, Any]:
    """Write what does not count."""
    [value] = sealing.content({item.part: item.value}).values()
    return {"part": item.part, "judge": item.judge, "value": value, "source": sealing.source(item.source)}
