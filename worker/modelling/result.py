"""Answer → process variables: their names, types and the meta beside them. Pure."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from worker.domain import foreign, meta
from worker.domain.exchanges import digest
from worker.domain.memory import Recalled
from worker.domain.questions import DecisionQuestion
from worker.domain.tasks import META_SUFFIX, Variable, java_length
from worker.domain.threads import OPENAI, Answer, Assistant, Outcome, Thread
from worker.modelling import schema
from worker.modelling.forms import ResultType
from worker.modelling.orders import Earlier, agreement, together
from worker.modelling.orders import read as read_earlier
from worker.modelling.properties import TaskProperties, check_orders
from worker.modelling.questions import UNSURE_SUFFIX, by_form, check_names, form, is_answered, names, parts, unsure
from worker.modelling.schema import Mistake

LONGEST_STRING = 4000
"""UTF-16 units that a String variable holds on every database but Oracle (2000 there); more is error code 10002."""
LONGEST_DETAIL = 200
MOST_HEARD: Final = 5
"""Persons whom the meta names: it has to stay short."""
RECALLED_ROOM: Final = 300
FILES_ROOM: Final = 300
"""Characters of it for the ids of facts: all of them stand with the question in the transcript."""
UNSURE_ROOM: Final = 300
"""Characters of it for the names of questions that are unsure."""


@dataclass(frozen=True, slots=True)
class Story:
    """How this turn went, for `<output>_meta`. `use` is created, reused, recreated or adopted.

    `repaired`: the first answer did not have the form that the task asks for. `seeded` counts the turns that a
    recreated thread was told. `budgets` says which are nearly used up. `memory` is what a thread that was made knows of
    before, None where none was. `heard` counts what persons were answered on the thread before, by their names.
    `origin` names task, attempt and messages, by which the answer is found elsewhere. `recalled` is what the question
    showed of what is remembered beyond the instance, None where the task wants nothing of it. `rewound` are the words
    of the order to rewind that the thread was made for. `looked_up` are names and digests of files.
    """

    thread: Thread | None
    use: str
    recovered: str | None
    repaired: bool
    seconds: Mapping[str, float]
    seeded: int = 0
    budgets: Sequence[str] = ()
    memory: str | None = None
    heard: Mapping[str, int] = field(default_factory=dict)
    origin: Mapping[str, str | int] = field(default_factory=dict)
    recalled: Recalled | None = None
    rewound: str = ""
    looked_up: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Form:
    """What an answer has to be, and where it goes.

    `questions` are decision questions, whose answers become variables whose names end in `suffix`; `confidence` is what
    each of them has to have, unless nobody weighs them and `uncalibrated` allows it; they are asked in `orders`.
    """

    output: str
    type: ResultType
    local: bool = False
    schema: Mapping[str, Any] | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    questions: Sequence[DecisionQuestion] = ()
    suffix: str = ""
    confidence: float | None = None
    uncalibrated: bool = False
    orders: int = 1

    @classmethod
    def of(cls, wanted: TaskProperties, schema: Mapping[str, Any] | None) -> "Form":
        """Combine the task's wishes with the schema that holds for it, its own or its assistant's."""
        structured = schema is not None or wanted.fields
        kind = wanted.output_type or ("Json" if structured else "Text")
        return cls(wanted.output, kind, wanted.local, schema, wanted.fields)

    @classmethod
    def asking(cls, wanted: TaskProperties, questions: Sequence[DecisionQuestion]) -> "Form":
        """Have the task's decision questions answered. Raises BadDefinition where two would go into one variable."""
        check_names(questions, wanted.output, wanted.suffix)
        check_orders(wanted.orders, questions)
        return cls(
            wanted.output,
            "Json",
            wanted.local,
            form(questions),
            questions=questions,
            suffix=wanted.suffix,
            confidence=wanted.confidence,
            uncalibrated=wanted.uncalibrated,
            orders=wanted.orders,
        )

    @property
    def bar(self) -> float | None:
        """The highest confidence that an answer has to have; None where none has to."""
        own = [self.confidence if each.confidence is None else each.confidence for each in self.questions]
        return max((each for each in own if each is not None), default=None)

    def earlier(self, noted: str) -> Earlier:
        """Read what was noted for an attempt: what was wrong before, and answers in other orders."""
        return read_earlier(noted, self.questions) if self.orders > 1 else Earlier(wrong=noted)

    def together(self, answers: Sequence[Answer]) -> Answer:
        """Put the answers in all orders together."""
        return together(answers, self.questions) if self.orders > 1 else answers[-1]

    def unsure(self, answer: Answer) -> tuple[str, ...]:
        """Name the questions whose answers a person should look at; nothing where there are none."""
        if not self.questions:
            return ()
        return unsure(answer.text, self.questions, self.confidence, uncalibrated=self.uncalibrated)

    @property
    def is_json(self) -> bool:
        """Whether the answer is read as JSON."""
        return self.type == "Json" or self.schema is not None


OTHER_QUESTIONS: Final = "it answers other questions than the task asks now"
"""A kept answer may be older than the model that its instance was migrated to."""


def checked(answer: Answer, form: Form) -> tuple[Answer, str]:
    """Call an answer invalid that is not what the task asked for: engines store broken JSON unchecked.

    Returns what is wrong beside it, for the assistant: unlike the answer's detail it may quote the answer. Raises
    schema.Unusable. Not for the loop: a schema may make this take seconds.
    """
    if answer.outcome is Outcome.OK and answer.weighed and not is_answered(answer.text, form.questions):
        return replace(answer, outcome=Outcome.INVALID, detail=OTHER_QUESTIONS), OTHER_QUESTIONS
    if answer.outcome is not Outcome.OK or not form.is_json or answer.weighed:
        return answer, ""
    text = schema.unfenced(answer.text)
    try:
        found = _mistakes(schema.parse(text), form)
    except ValueError as exc:
        found = [Mistake("not JSON", f"it is not JSON: {exc}")]
    if not found:
        return replace(answer, text=by_form(text, form.questions) if form.questions else text), ""
    rules = "; ".join(dict.fromkeys(mistake.rule for mistake in found))
    invalid = replace(answer, outcome=Outcome.INVALID, detail=rules[:LONGEST_DETAIL])
    return invalid, "\n".join(mistake.said for mistake in found)


def _mistakes(value: Any, form: Form) -> list[Mistake]:
    found = [] if form.schema is None else schema.mistakes(value, form.schema)
    for name, path in form.fields.items():
        try:
            schema.at(value, path)
        except LookupError:
            found.append(Mistake(f"no {path} for the variable {name}", f"it has no {path}"))
    return found


def variables(
    answer: Answer, form: Form, assistant: Assistant, story: Story, *, spin: bool, wide: bool = False
) -> dict[str, Variable]:
    """Return the result variable, its fields and its meta. Nothing is cut; a type the engine lacks is replaced.

    `wide` takes a type without a limit where a String would do: for a database whose columns are shorter.
    """
    longest = 0 if wide else LONGEST_STRING
    result, stored_as = _result(answer.text, form, spin=spin, longest=longest)
    meta = _meta(answer, form, assistant, story, stored_as)
    fields = dict(_decided(answer, form, spin=spin, longest=longest))
    if form.fields:
        value = schema.parse(answer.text)
        fields = {
            name: _field(schema.at(value, path), name, spin=spin, longest=longest) for name, path in form.fields.items()
        }
    return {**fields, form.output: result, form.output + META_SUFFIX: Variable(meta, "String")}


def _decided(answer: Answer, form: Form, *, spin: bool, longest: int) -> Iterator[tuple[str, Variable]]:
    """Give each decision question's answer a variable, with one beside it that says how sure it is."""
    if not form.questions:
        return
    said = parts(answer.text)
    for each in form.questions:
        for name, value in zip(
            names(each, form.suffix), (said[each.name][key] for key in ("value", "confidence")), strict=True
        ):
            yield name, _field(value, name, spin=spin, longest=longest)
    yield form.output + UNSURE_SUFFIX, Variable(bool(form.unsure(answer)), "Boolean")


def _decided_names(form: Form) -> Iterator[str]:
    """Name what `_decided` makes, the answers first."""
    pairs = [names(each, form.suffix) for each in form.questions]
    yield from (name for name, _ in pairs)
    yield from (name for _, name in pairs)
    yield form.output + UNSURE_SUFFIX


def of_code(value: Mapping[str, Any], form: Form, *, spin: bool, wide: bool = False) -> dict[str, Variable]:
    """Return the result variable and its fields for what no assistant has answered. Raises LookupError for a field."""
    longest = 0 if wide else LONGEST_STRING
    text = json.dumps(value, ensure_ascii=False)
    fields = {
        name: _field(schema.at(value, path), name, spin=spin, longest=longest) for name, path in form.fields.items()
    }
    return {**fields, form.output: _result(text, form, spin=spin, longest=longest)[0]}


def _field(value: Any, name: str, *, spin: bool, longest: int) -> Variable:
    """Give a part of an answer the engine's own type, so that expressions compare it as what it is."""
    match value:
        case None:
            return Variable(None, "Null")
        case bool():
            return Variable(value, "Boolean")
        case int() if -(2**63) <= value < 2**63:
            # Not Integer: Java's ends at 2^31.
            return Variable(value, "Long")
        case int() | float():
            return Variable(float(value), "Double")
        case str():
            return _result(foreign.whole(value), Form(name, "Text"), spin=spin, longest=longest)[0]
    text = foreign.whole(json.dumps(value, ensure_ascii=False))  # not every database stores half a character
    return _result(text, Form(name, "Json"), spin=spin, longest=longest)[0]


LAST_GENERATION: Final = 999_999_999
_THREAD: Final = re.compile(r"(\w[\w.:=+~-]{0,499})#([1-9]\d{0,8})(?:@([\w.-]{1,64}))?", re.ASCII)
"""Ids are whatever a provider likes, such as base64 of some hundred characters; what could lead to another address is
none of them."""


def thread_variable(thread: Thread) -> Variable:
    """Write a thread as a process variable. Its provider stands there unless it is the first that was known.

    Whoever writes into the variable may name any generation; the one after the last that is read is written as that.
    """
    provider = "" if thread.provider == OPENAI else f"@{thread.provider}"
    return Variable(f"{thread.id}#{min(thread.generation, LAST_GENERATION)}{provider}", "String")


def read_thread_variable(variable: Variable | None) -> Thread | None:
    """Read it back; None for anything that we did not write."""
    text = variable.value if variable and isinstance(variable.value, str) else ""
    match = _THREAD.fullmatch(text)
    return Thread(match[1], int(match[2]), provider=match[3] or OPENAI) if match else None


def as_variable(text: str, name: str, *, spin: bool, wide: bool = False) -> Variable:
    """Write a text that no task has asked for, in the first type that holds it: String, Object (with Spin), File."""
    return _result(text, Form(name, "Text"), spin=spin, longest=0 if wide else LONGEST_STRING)[0]


def _result(text: str, form: Form, *, spin: bool, longest: int) -> tuple[Variable, str]:
    match form.type:
        case "File":
            return _file(text, form), "File"
        # Without the plugin Spin engines refuse the type with 400, and the completion of a paid answer with it.
        case "Json" if spin:
            return Variable(text, "Json"), "Json"
        case "Json" | "Text" if java_length(text) <= longest and "\0" not in text:  # PostgreSQL stores no NUL
            return Variable(text, "String"), "String"
        case "Text" if spin:
            return _long_string(text), "Object"
        case "Json" | "Text":
            return _file(text, form), "File"


def _long_string(text: str) -> Variable:
    """A String of any length: expressions read it as a string, but only engines with Spin can store it."""
    info = {"objectTypeName": "java.lang.String", "serializationDataFormat": "application/json"}
    return Variable(json.dumps(text), "Object", info)


def _file(text: str, form: Form) -> Variable:
    content = base64.b64encode(text.encode(errors="replace")).decode()
    ending, kind = ("json", "application/json") if form.is_json else ("md", "text/markdown")
    return Variable(content, "File", {"filename": f"{form.output}.{ending}", "mimeType": kind, "encoding": "UTF-8"})


def _meta(answer: Answer, form: Form, assistant: Assistant, story: Story, stored_as: str) -> str:
    told: dict[str, Any] = {
        "assistant": assistant.name,
        "version": assistant.version,
        "instructions": digest(assistant.instructions),
        **story.origin,
        "provider": assistant.provider,
        "model": answer.model or assistant.model,
        "thread": story.thread.id if story.thread else None,
        "generation": story.thread.generation if story.thread else None,
        "use": story.use,
        "recreated": story.use == "recreated",
        "seeded": story.seeded,
        "memory": story.memory,
        "untold": answer.untold,
        "recovered": story.recovered,
        "repaired": story.repaired,
        "response": answer.response_id,
        "tokens": {
            "input": answer.input_tokens,
            "cached": answer.cached_tokens,
            "cache_write": answer.cache_write_tokens,
            "output": answer.output_tokens,
            "reasoning": answer.reasoning_tokens,
        },
        "cost": answer.cost and answer.cost.told,
        "budgets": list(story.budgets),
        "seconds": {phase: round(seconds, 3) for phase, seconds in story.seconds.items()},
        "fields": list(form.fields),
        "type": form.type,
        "stored_as": stored_as,
    }
    if story.recalled is not None:
        told["recalled"] = _recalled(story.recalled)
    if story.looked_up:
        told["files"] = list(_that_fit((f"{name} {of}" for name, of in story.looked_up.items()), FILES_ROOM))
    if form.questions:
        told["confidence"] = form.confidence
        told["unsure"] = list(_that_fit(form.unsure(answer), UNSURE_ROOM))
    if form.orders > 1:
        told |= {"orders": form.orders, "agreement": agreement(answer.text)}
    if story.rewound:
        told["rewound"] = story.rewound[:LONGEST_DETAIL]
    if story.heard:
        told["heard"] = {"messages": sum(story.heard.values()), "of": sorted(story.heard)[:MOST_HEARD]}
    if form.questions:
        # Whoever erases results finds them by these; hundreds have no room here, and the rest of it goes before.
        room = meta.LONGEST - len(_compact(told))
        told["fields"] = list(_that_fit(_decided_names(form), room - 1))
    text = _compact(told)
    return (
        text
        if len(text) < meta.LONGEST
        else json.dumps({"thread": str(told["thread"])[:100], "provider": assistant.provider, "too_long": True})
    )


def _recalled(known: Recalled) -> dict[str, Any]:
    """Say what was recalled, or that nothing was and why."""
    if not known.facts:
        return {"memory": "none", "why": known.why[:LONGEST_DETAIL]}
    return {"facts": list(_that_fit(known.facts, RECALLED_ROOM)), "of": len(known.facts)}


def _compact(told: Mapping[str, Any]) -> str:
    return json.dumps(told, separators=(",", ":"))


def _that_fit(named: Iterable[str], room: int) -> Iterator[str]:
    """Take the first of these for which there is room in a list."""
    for each in named:
        room -= len(json.dumps(each)) + 1
        if room < 0:
            return
        yield each
