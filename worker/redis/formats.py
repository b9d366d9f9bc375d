"""How an answer is kept in the journal, and an exchange until the sinks have it: JSON with a schema number.

Workers of several versions share one Redis. A version that adds a field keeps the number, and older ones leave the
field alone. One that changes what is there counts the number up, also in the field `schema` of a hash that it changes;
older ones then touch nothing of it, and say so (NewerRecord). Only what no version can have written is CorruptRecord.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from worker.domain import foreign
from worker.domain.conversations import Stored
from worker.domain.exchanges import Exchange, Utterance
from worker.domain.memory import Recalled, ToRemember
from worker.domain.money import Money
from worker.domain.threads import OPENAI, Answer, Cut, Decision, Outcome, Remembered, Said, Thread, ThreadKey, address
from worker.errors import NewerRecord, StoreDown

K = TypeVar("K", ToRemember, Recalled)
T = TypeVar("T")

SCHEMA = 1
KNOWN = str(SCHEMA)
"""The same in a hash of Redis, where most have none: that is the first one. The scripts compare with it, too."""
SCHEMA_WITH_MESSAGES = 2
"""Of an exchange with messages between question and answer. One of those two alone is written as it always was."""
_EXCHANGES = (SCHEMA, SCHEMA_WITH_MESSAGES)
_APART = ("messages", "asked_at", "answered_at", "heard", "memory", "cuts", "remember", "recalled")
_KEPT = tuple(name for name in Answer.__slots__ if name not in {"cited", "found_nothing"})
"""Of an answer; what it goes by is in the meta by then, and what became of a search is seen to."""
_EPOCH = datetime.fromtimestamp(0, UTC)


class CorruptRecord(StoreDown):
    """What stands in Redis was not written by any version of ours."""


class CorruptMap(CorruptRecord):
    """The map names a thread that cannot be."""


def dump(answer: Answer) -> str:
    """Write an answer as text."""
    thread = answer.thread and {name: getattr(answer.thread, name) for name in ("id", "generation", "provider")}
    # dataclasses.asdict costs ten times that
    fields = {name: getattr(answer, name) for name in _KEPT}
    apart = {"thread": thread, "cost": answer.cost and answer.cost.told}
    # In ASCII: half a surrogate pair, which an answer may hold, has no form in UTF-8.
    return json.dumps({"schema": SCHEMA, **fields, **apart}, ensure_ascii=True, separators=(",", ":"))


def opened(text: str | bytes, what: str, known: Collection[int] = (SCHEMA,)) -> dict[str, Any]:
    """Read a record as far as its schema number, which goes. Raises CorruptRecord, NewerRecord."""
    try:
        record = foreign.read_flat(text)
    except (ValueError, TypeError) as exc:
        raise CorruptRecord(f"{what}: {type(exc).__name__}") from exc
    if not isinstance(record, dict) or "schema" not in record:
        raise CorruptRecord(f"{what} has no schema number")
    if record.pop("schema") not in known:
        raise NewerRecord(what)
    return record


def load(text: str) -> Answer:
    """Read it back, but for what a newer version has added. Raises CorruptRecord, NewerRecord."""
    record = opened(text, "an answer in the journal")
    try:
        thread = record.pop("thread", None)
        known = {name: value for name, value in record.items() if name in _KEPT}
        changed = {"outcome": _outcome(record["outcome"]), "cost": Money.read(record.get("cost"))}
        return _made(Answer, {**known, **changed, "thread": _thread(thread) if thread else None})
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise CorruptRecord(type(exc).__name__) from exc


def _thread(parts: Mapping[str, Any]) -> Thread:
    known = {name: parts.get(name) for name in Thread.__slots__}
    return _made(Thread, known | {"provider": parts.get("provider") or OPENAI})


def dump_former(thread: Thread, why: Decision | None = None) -> str:
    """Write what has to be known of a thread that was replaced and is still there."""
    fields = {name: getattr(thread, name) for name in thread.__slots__}
    return json.dumps(fields | (asdict(why) if why else {}), separators=(",", ":"))


def load_former(text: str) -> Thread | None:
    """Read it back; None for what nobody can read."""
    try:
        return _thread(foreign.read_flat(text))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def dump_decision(decision: Decision) -> str:
    """Write why a thread is to be left."""
    return json.dumps(asdict(decision), separators=(",", ":"))


def load_decision(text: str) -> Decision:
    """Read it back. What nobody can read is a decision all the same: somebody has made it."""
    try:
        record = foreign.read_flat(text)
        before = record.get("before")
        return Decision(str(record["reason"]), str(record["by"]), before if isinstance(before, int) else None)
    except (ValueError, TypeError, KeyError):
        return Decision("unreadable", "somebody")


def dump_cuts(cuts: Sequence[Cut]) -> str:
    """Write what is not told any more."""
    return json.dumps(cuts, separators=(",", ":"))


def load_cuts(text: str) -> tuple[Cut, ...]:
    """Read it back. What nobody can read is nothing: the record has it as well."""
    try:
        return Cut.read(foreign.read(text))
    except ValueError:
        return ()


def dump_turn(turn: Remembered) -> str:
    """Write one turn of a history."""
    fields = {"fact": turn.fact, "facts": dict(turn.facts), "turns": turn.turns}
    said = [[each.role, each.text] for each in turn.said]
    return json.dumps({"schema": SCHEMA, "said": said, **fields}, ensure_ascii=True, separators=(",", ":"))


def load_turn(text: str) -> Remembered:
    """Read it back. Raises CorruptRecord, NewerRecord."""
    record = opened(text, "a turn in a thread's history")
    try:
        said = tuple(Said(role, _text(said)) for role, said in record["said"])
        facts = {name: _text(said) for name, said in dict(record.get("facts") or {}).items()}
        fact = record.get("fact")
        [*_, _] = said  # at least something
        return Remembered(said, None if fact is None else _text(fact), facts, int(record.get("turns", 1)))
    except (ValueError, TypeError, KeyError, OverflowError) as exc:
        raise CorruptRecord(type(exc).__name__) from exc


def _made(kind: type[T], fields: Mapping[str, Any]) -> T:
    """Make what a record has the fields of. Raises TypeError for a value that is none of its field's."""
    for name, wanted in _PLAIN[kind].items():
        if name in fields and not isinstance(fields[name], wanted):
            raise TypeError(name)
    return kind(**fields)


def _plain(kind: type) -> Mapping[str, tuple[type, ...]]:
    """Tell the fields that are a text, or a number, each with what it may be; servers' numbers are of either kind."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        kinds = {int if each in {float, bool} else each for each in get_args(hint) or (hint,)}
        if kinds <= {str, int, NoneType}:
            found[name] = tuple(kinds | ({float} if int in kinds else set()))
    return found


_PLAIN: Mapping[type, Mapping[str, tuple[type, ...]]] = {
    kind: _plain(kind) for kind in (Answer, Exchange, Recalled, Thread, ThreadKey, ToRemember, Utterance)
}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _outcome(word: str) -> Outcome:
    try:
        return Outcome(_text(word))
    except ValueError:
        raise NewerRecord("an answer's outcome") from None


def dump_exchange(exchange: Exchange) -> str:
    """Write an exchange as text, without its times: those are Redis' own, by the clock that all workers share."""
    fields = {name: getattr(exchange, name) for name in exchange.__slots__ if name not in _APART}
    key = {name: getattr(exchange.key, name) for name in exchange.key.__slots__}
    apart: dict[str, Any] = {"key": key, "cost": exchange.cost and exchange.cost.told}
    apart |= {name: value for name in ("heard", "memory", "cuts") if (value := getattr(exchange, name))}
    apart |= {name: asdict(value) for name in ("remember", "recalled") if (value := getattr(exchange, name))}
    schema, said = (SCHEMA_WITH_MESSAGES, _messages(exchange)) if exchange.between else (SCHEMA, _both(exchange))
    return json.dumps({"schema": schema, **fields, **said, **apart}, ensure_ascii=True, separators=(",", ":"))


def _both(exchange: Exchange) -> dict[str, Any]:
    question, answer = exchange.question, exchange.answer
    roles = {"asked_as": question.said_as, "answered_as": answer.said_as}
    return {"question": question.text, "answer": answer.text, "user": question.user, **roles}


def _messages(exchange: Exchange) -> dict[str, Any]:
    return {"messages": [{name: getattr(each, name) for name in each.__slots__} for each in exchange.messages]}


def load_exchange(text: str, answered_us: str) -> Exchange:
    """Read it back, but for what a newer version has added; the time is in microseconds since the epoch.

    Raises CorruptRecord, NewerRecord.
    """
    record = opened(text, "an exchange on its way", _EXCHANGES)
    try:
        known = {name: value for name, value in record.items() if name in Exchange.__slots__}
        answered_at = _EPOCH + timedelta(microseconds=int(answered_us))
        # Reckoned back, and not noted: the clock of the worker that asked may be another than Redis'.
        asked_at = answered_at - timedelta(seconds=record.get("seconds") or 0)
        changed = {
            "key": key(record["key"]),
            "messages": _said(record),
            "outcome": _outcome(record["outcome"]),
            "cost": Money.read(record.get("cost")),
            "cuts": Cut.read(record.get("cuts")),
            "remember": _parts_of(ToRemember, record.get("remember")),
            "recalled": _parts_of(Recalled, record.get("recalled")),
        }
        return _made(Exchange, {**known, **changed, "asked_at": asked_at, "answered_at": answered_at})
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as exc:
        raise CorruptRecord(type(exc).__name__) from exc


def _parts_of(kind: type[K], record: Mapping[str, Any] | None) -> K | None:
    """Read what an exchange says of the memory, but for what a newer version has added."""
    if not record:
        return None
    lists = {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
    known: Any = {name: value for name, value in lists.items() if name in kind.__dataclass_fields__}
    return _made(kind, known)


def _said(record: Mapping[str, Any]) -> tuple[Utterance, ...]:
    if "messages" in record:
        return tuple(_utterance(each["text"], each["said_as"], each.get("user")) for each in record["messages"])
    question = _utterance(record["question"], record.get("asked_as", "user"), record.get("user"))
    return question, _utterance(record["answer"], record.get("answered_as", "assistant"))


def _utterance(text: Any, said_as: Any, user: Any = None) -> Utterance:
    return _made(Utterance, {"text": text, "said_as": said_as, "user": user})


def key(parts: Mapping[str, Any]) -> ThreadKey:
    """Read a thread's key. One with a part more names another thread than the same without it.

    Raises NewerRecord; TypeError or AttributeError for what is none.
    """
    if parts.keys() - set(ThreadKey.__slots__):
        raise NewerRecord("a thread's key")
    return _made(ThreadKey, parts)


def named(turn: Mapping[str, str]) -> tuple[Stored, frozenset[str] | None]:
    """Say what a turn's answer and exchanges name at providers, and in which instances those were said.

    What nobody can read names nothing. The instances are None where a newer version wrote one of the exchanges.
    """
    threads, responses, instances = dict[str, str | None](), dict[str, str | None](), set[str]()
    is_told = True
    for name, text in turn.items():
        try:
            if name == "answer":
                answer = load(text)
                thread, response_id = answer.thread, answer.response_id
            elif name.startswith("exchange:"):
                said = load_exchange(text, "0")
                instances.add(said.process_instance_id)
                thread = Thread(said.thread_id, 0, said.anchor, said.provider) if said.thread_id else None
                response_id = said.response_id
            else:
                continue
            if thread is not None:
                threads[thread.address] = thread.anchor or threads.get(thread.address)
            if response_id:
                provider = thread.provider if thread else OPENAI
                responses[address(provider, response_id)] = thread.address if thread else None
        except CorruptRecord:
            continue
        except NewerRecord:
            is_told = is_told and not name.startswith("exchange:")
    return Stored(threads, responses), frozenset(instances) if is_told else None


def is_newer(turn: Mapping[str, str]) -> bool:
    """Whether a newer version has changed what a turn is made of, or wrote an answer or an exchange of it."""
    if turn.get("schema", KNOWN) != KNOWN or _is_newer_text(turn.get("answer", "")):
        return True
    return any(_is_newer_text(text, _EXCHANGES) for name, text in turn.items() if name.startswith("exchange:"))


def _is_newer_text(text: str, known: Collection[int] = (SCHEMA,)) -> bool:
    try:
        opened(text, "", known)
    except NewerRecord:
        return True
    except CorruptRecord:
        return False
    return False
