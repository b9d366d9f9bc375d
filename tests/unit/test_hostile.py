"""What others wrote, by the ten thousand: models, tasks, variables, answers, records, replies, settings, files.

Every part that reads such things without reaching anything either copes or raises an error of ours, in few steps. What
is made comes from plain random numbers by a seed, which is fast; a fault that is found becomes a test of its part.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest

from tests.hostile import seeds
from tests.samples import ASSISTANT, HOSTILE_TEXTS, TASK
from worker import transcript  # noqa: F401 - the settings import it when they need it, which is no step of theirs
from worker.domain import meta
from worker.domain.endings import Receipt, Step, Store
from worker.domain.exchanges import Exchange, Utterance
from worker.domain.money import Money
from worker.domain.tasks import Activity, Definition, Task, Variable
from worker.domain.threads import Answer, Outcome, Remembered, Said, Thread, ThreadKey
from worker.engine import definitions, failures, topics, wire
from worker.engine.failures import Reply
from worker.engine.order import BPMN
from worker.errors import BadDefinition, BadInput, EngineDown, NewerRecord, Permanent, UnknownAssistant
from worker.modelling import inputs, prompt, properties, result, schema
from worker.modelling.forms import ResultType
from worker.modelling.properties import PROPERTIES
from worker.operate.models import rules
from worker.operate.models import tasks as doctor
from worker.redis import formats, receipts
from worker.redis.formats import CorruptRecord
from worker.settings import Settings, read
from worker.specs import assistants, budgets, providers

MOST_STEPS = 200_000
"""Calls of functions that one thing may take; the largest of those below take some thousand."""


def by_seed(count: int) -> pytest.MarkDecorator:
    """Have so many things made with each seed."""
    return pytest.mark.parametrize(("seed", "count"), [(seed, count) for seed in seeds(count)])


class TooManySteps(AssertionError):
    """Something small took what only something huge should."""


@contextmanager
def few_steps() -> Iterator[None]:
    """Count the calls inside."""
    count = 0

    def called(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}
        if count > MOST_STEPS:
            sys.setprofile(None)
            raise TooManySteps

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        yield
    finally:
        sys.setprofile(before)


def copes(do: Callable[..., Any], *given: Any, ours: type[Exception] | tuple[type[Exception], ...] = ()) -> Any:
    """Return what this comes to, None where it raises an error of ours."""
    with few_steps(), suppress(*(ours if isinstance(ours, tuple) else (ours,))):
        return do(*given)
    return None


def quoted(text: str) -> str:
    """An XML attribute's value."""
    kept = "".join(each for each in text if each.isprintable() or each in "\n\t")
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), ('"', "&quot;")):
        kept = kept.replace(letter, entity)
    return f'"{kept}"'


AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
KEY = ThreadKey("default", "instance-1", "analyst", "north")
ACTIVITY = Activity("frame", "Frame", "t", "Ask.", {})
ANSWER = Answer("Yes.", response_id="resp_1", input_tokens=1, cost=Money.of(7, "EUR"), thread=Thread("conv_1", 2))
SAID = (Utterance("Why?", "user"), Utterance("Hm.", "system"), Utterance("So.", "assistant"))
EXCHANGE = Exchange(KEY, "task-1", 1, "instance-1", "frame", "d:1:d", "d", (SAID[0], SAID[-1]), AT, AT)
STEP = Step(Store.PROVIDER, "conv_1", KEY, at=AT, why="away")
RECEIPT = Receipt("order-1", "default", "instance-1", None, AT, steps=(STEP,), tenants=("north",))
TURN = Remembered((Said("user", "q"), Said("assistant", "a")), "Frame: frame", {"x": "y"}, 3)
RECORDS: list[tuple[str, Callable[[str], Any], Callable[[Any], Any]]] = [
    (formats.dump(ANSWER), formats.load, formats.dump),
    (formats.dump_exchange(EXCHANGE), partial(formats.load_exchange, answered_us="17"), formats.dump_exchange),
    (
        formats.dump_exchange(replace(EXCHANGE, messages=SAID)),
        partial(formats.load_exchange, answered_us="17"),
        formats.dump_exchange,
    ),
    (formats.dump_turn(TURN), formats.load_turn, formats.dump_turn),
    (receipts.dump_receipt(RECEIPT), receipts.load_receipt, receipts.dump_receipt),
]
META = result.variables(
    ANSWER,
    result.Form("frame", "Text"),
    ASSISTANT,
    result.Story(Thread("conv_1", 2), "created", None, repaired=False, seconds={}),
    spin=True,
)["frame_meta"].value

WORDS = [
    *(each[:3000] for each in HOSTILE_TEXTS.values()),
    *("-", "?", "a?", "a,b?", "a/b", ",,,", "=", "a=b.c", "a=b=c", "x" * 3000, "P1D", "PT0S", "P1M", "-1", "1e400"),
    *("assistant", "analyst", "1.0", "instance", "root", "local", "Json", "File", "Text", "NO", "{}", "[", '{"a":'),
    *("${x}", "#{x}", "__class__", "_meta", "assistant_thread_analyst", "a_meta", "loopCounter", "prompt", "%s"),
    *('{"type": "object"}', '{"$ref": "#"}', '{"pattern": "("}', '{"enum": 1}', '{"anyOf": [{"$ref": "#"}]}'),
    *("java.lang.String", "application/json", "application/x-java-serialized-object", "text/x", "utf-16", "AAAA"),
]
NAMES = [each.name for each in PROPERTIES if "<" not in each.name] + ["error.refused", "error.empty", "error.x", ""]
TYPES = [None, "String", "Json", "Object", "File", "Bytes", "Xml", "Null", "Long", "Double", "Date", "Custom"]
INFOS = ["objectTypeName", "serializationDataFormat", "mimeType", "filename", "encoding"]
TAGS = [
    *("process", "subProcess", "transaction", "serviceTask", "sendTask", "endEvent", "boundaryEvent", "startEvent"),
    *("callActivity", "error", "messageEventDefinition", "errorEventDefinition", "extensionElements"),
    *("documentation", "multiInstanceLoopCharacteristics"),
]
ATTRIBUTES = [
    *("id", "name", "value", "attachedToRef", "errorRef", "errorCode", "calledElement", "triggeredByEvent"),
    *("c:type", "c:topic", "c:asyncAfter"),
]
IN_XML = ["", "x", "ü", "&amp;", "&#10;", "&#0;", "&x;", "<", "]]>", "external", "true", "${x}", "a", "b", "a", "b"]
DOCTYPES = ["", "", '<!DOCTYPE x [<!ENTITY x "y">]>', "<!DOCTYPE x SYSTEM 'file:///etc/passwd'>"]
ENCODINGS = ["UTF-8", "ISO-8859-1", "UTF-16", "utf-7", "punycode", "x", ""]
FIELDS = [{}, {"a": "a"}, {"a": "a.0", "b": "a.b.c"}, {"a": "9" * 50}]
KEYWORDS = ["type", "pattern", "enum", "const", "anyOf", "properties", "items", "$ref", "minimum", "required", "format"]
RAW = [
    *("id", "topicName", "activityId", "processInstanceId", "processDefinitionId", "processDefinitionKey"),
    *("executionId", "createTime", "retries", "businessKey", "tenantId", "variables", "definition", "instances"),
    *("version", "key"),
]
BODIES = [b"[" * 5000, b'{"type": "XException", "message": null, "code": "1"}', b'{"type": 1}', b"<html>", b"\xff{\0"]
ADDRESSES = [
    "redis://h",
    "redis+cluster://[",
    "http://[::1",
    "http://a:b@c",
    "sqlite:///x?y",
    "postgresql://[",
    "never",
]
SECRET = "sk-very-secret"
VALUES = ["conversations", "chat", "env:KEY", "file:key", "env:", "http://h/v1", "h/v1", "EUR", 7, "0.1", SECRET]
GATEWAY = {
    "api": "chat",
    "base_url": "http://h/v1",
    "key": "env:KEY",
    "key_header": "api-key",
    "headers": {"X-Team": "a", "X-Sign": "env:KEY"},
    "query": {"api-version": "2026-09"},
    "proxy": "http://proxy:3128",
    "schema": "loose",
    "context_tokens": 8192,
    "limits": {"at_once": 2, "tokens_per_minute": 200_000},
    "currency": "EUR",
    "prices": {"m": {"input": 0.4, "cached": 0.1, "output": 1.6}},
}
PROVIDERS = {"providers": {"openai": {"api": "conversations", "key": "env:KEY"}, "local": GATEWAY}}
BUDGETS = {"currency": "EUR", "budgets": {"task": {"tokens": 5, "money": 0.25}, "tenant a": {"money": 2}}}
FRONT = ["name", "version", "model", "timeout_seconds", "output_schema", "background", "x", "provider"]


class Maker(Random):
    """Makes what somebody might have written, the same for the same seed."""

    def some(self, most: int) -> range:
        """So many times, at most."""
        return range(self.randint(0, most))

    def text(self) -> str:
        """A word that has a meaning somewhere, or letters of any kind."""
        if self.random() < 0.7:
            return self.choice(WORDS)
        return "".join(chr(self.choice([self.randrange(0x110000), self.randrange(0x250)])) for _ in self.some(12))

    def value(self, depth: int = 3) -> Any:
        """Anything that JSON can hold, and floats that it cannot."""
        simple = [None, True, 0, -1, 2**70, 1.5, float("nan"), float("inf"), self.text()]
        if depth == 0 or self.random() < 0.6:
            return self.choice(simple)
        if self.random() < 0.5:
            return [self.value(depth - 1) for _ in self.some(3)]
        return {self.text(): self.value(depth - 1) for _ in self.some(3)}

    def variable(self) -> Variable:
        info = {self.choice(INFOS): self.text() for _ in self.some(3)}
        return Variable(self.value(), self.choice(TYPES), info)

    def variables(self) -> dict[str, Variable]:
        names = ["a", "b", "a_meta", "prompt", "assistant", "loopCounter", self.text()]
        return {self.choice(names): self.variable() for _ in self.some(5)}

    def said(self) -> dict[str, str]:
        """Extension properties."""
        return {self.choice(NAMES): self.text() for _ in self.some(5)}

    def element(self, depth: int = 3) -> str:
        """One element of a model with others in it, often where none belongs."""
        tag = self.choice(TAGS)
        given = {self.choice(ATTRIBUTES): self.choice(IN_XML) for _ in self.some(3)}
        inside = "".join(self.element(depth - 1) for _ in self.some(2)) if depth else self.choice(IN_XML)
        return f"<b:{tag}{''.join(f' {name}={quoted(each)}' for name, each in given.items())}>{inside}</b:{tag}>"

    def service_task(self) -> str:
        """A task for an assistant whose properties say anything."""
        said = (f"<c:property name={quoted(name)} value={quoted(each)}/>" for name, each in self.said().items())
        odd = self.choice(["", "<c:property/>", "<c:property name='x'/>", "<c:property value='x'/>"])
        parameter = self.choice(["prompt", "assistant", "x"])
        return (
            f'<b:serviceTask id={quoted(self.text())} name={quoted(self.text())} c:type="external" c:topic="t">'
            f"<b:documentation>{quoted(self.text())}</b:documentation><b:extensionElements><c:properties>"
            f'{"".join(said)}{odd}<c:property name="service.type" value="assistant"/></c:properties><c:inputOutput>'
            f'<c:inputParameter name="{parameter}"/></c:inputOutput></b:extensionElements></b:serviceTask>'
        )

    def model(self) -> bytes:
        """A file that may be a model."""
        parts = "".join(self.choice([self.service_task, self.element])() for _ in self.some(4))
        deep = self.choice([0] * 20 + [1, 190, 300, 1000])
        encoding = self.choice(ENCODINGS)
        text = (
            f'<?xml version="1.0"{f" encoding={encoding!r}" if encoding else ""}?>{self.choice(DOCTYPES)}'
            f'<b:definitions xmlns:b="{BPMN[1:-1]}" xmlns:c="{definitions.EXTENSIONS[0][1:-1]}">'
            f'<b:process id="key">{"<b:subProcess>" * deep}{parts}{"</b:subProcess>" * deep}</b:process>'
            "</b:definitions>"
        )
        content = text.encode(encoding if encoding in {"ISO-8859-1", "UTF-16"} else "utf-8", errors="replace")
        if self.random() < 0.8:
            return content
        at = self.randrange(len(content))
        return content[:at] + self.randbytes(3) + content[at + self.choice([0, 5]) :]

    def raw(self) -> Any:
        """A row of an engine's answer."""
        if self.random() < 0.1:
            return self.value()
        whole = dict.fromkeys(RAW, "x") if self.random() < 0.5 else {}
        return whole | {self.choice(RAW): self.value() for _ in self.some(4)}

    def changed(self, whole: str) -> str:
        """A record of ours as an older or a newer worker, a person or a failing disk left it."""
        if self.random() < 0.1:
            at = self.randrange(len(whole))
            return whole[:at] + self.text() + whole[at + self.choice([0, 1, 50]) :]
        record = json.loads(whole)
        for _ in self.some(3):
            name = self.choice([*record, self.text()])
            record[name] = self.choice([self.value(), record.get(name), str(record.get(name))])
            if self.random() < 0.3:
                del record[name]
        return json.dumps(record)

    def body(self) -> bytes:
        return self.choice([*BODIES, self.randbytes(20), repr(self.value()).encode(errors="replace")])

    def environment(self) -> dict[str, str]:
        names = [name.upper() for name in Settings.model_fields if not name.endswith("_ca_file")]
        told = {self.choice(names): self.choice([self.text(), self.choice(ADDRESSES)]) for _ in self.some(4)}
        return {name: text for name, text in told.items() if text.isprintable()}

    def bent(self, whole: Any) -> Any:
        """What somebody made of a file that was right: values in the place of others, names too many or too few."""
        if self.random() < 0.03:
            return self.choice([self.value(), *VALUES])
        if not isinstance(whole, dict):
            return whole
        kept = {name: self.bent(each) for name, each in whole.items() if self.random() > 0.03}
        return kept | ({self.text(): self.bent(whole)} if self.random() < 0.05 else {})

    def file(self, whole: Any) -> bytes:
        """A file of YAML, which JSON is too; broken off now and then."""
        text = json.dumps(self.bent(whole), ensure_ascii=self.random() < 0.5)
        return (text if self.random() < 0.9 else text[: self.randrange(len(text))]).encode(errors="replace")

    def spec(self) -> str:
        """An assistant's file."""
        lines = [f"{self.choice(FRONT)}: {self.value()!r}" for _ in self.some(5)]
        lines += [f"{self.choice(FRONT)}: {self.text()}" for _ in self.some(2)]
        aliases = f"a: &a [x]\nb: &b [{', '.join(['*a'] * self.randint(1, 30))}]"
        fronts = ["\n".join(lines), "\n".join(lines), aliases, f"name: {'[' * self.randint(1, 150)}", self.text()]
        return f"---\n{self.choice(fronts)}\n---\n{self.text()}"


@by_seed(400)
def test_any_model_is_read_and_judged_or_a_bad_definition(seed: int, count: int) -> None:
    make = Maker(seed)
    served = 0
    for _ in range(count):
        content = make.model()
        copes(definitions.is_readable, content.decode(errors="replace"))
        definition = copes(read_model, content, ours=BadDefinition)
        if definition is None:
            continue
        served += bool(definition.activities)
        usage = copes(topics.Usage.of, definition)
        copes(topics.survey, {"key:1:1": usage})
        for activity in definition.activities.values():
            copes(faults_of, activity)
            ask(activity, make.variables(), definition)
    assert served > 20, "it is not all refused at the door"


@by_seed(1000)
def test_any_properties_and_variables_come_to_a_question_or_an_error_of_ours(seed: int, count: int) -> None:
    make = Maker(seed)
    asked = 0
    for _ in range(count):
        said, variables = {"service.name": "analyst"} | make.said(), make.variables()
        parameters = frozenset({"prompt", "assistant"} if make.random() < 0.3 else ())
        activity = Activity("frame", "Frame", "t", "Ask.", said, parameters=parameters, loops=make.randint(0, 2))
        asked += ask(activity, variables)
        for name, each in variables.items():
            copes(meta.read, name, each.value)
            copes(result.read_thread_variable, each)
            copes(wire.variable, each)
    assert asked > 20


def read_model(content: bytes) -> Definition:
    return definitions.read("key:1:1", definitions.decoded(content))


def faults_of(activity: Activity) -> list[rules.Fault]:
    return list(doctor.faults(activity, None))


def ask(activity: Activity, variables: Mapping[str, Variable], definition: Definition | None = None) -> bool:
    """Go the way of a task to its question, and from an answer to its results; whether it got so far."""
    task = replace(TASK, activity_id=activity.id, variables=variables)
    copes(getattr, activity, "needs")
    wanted = copes(properties.read, task, activity, definition, ours=BadDefinition)
    shown = copes(shown_of, task, activity, wanted, ours=BadInput)
    text = shown and copes(partial(prompt.text, room=3000), task, activity, shown, ours=BadDefinition)
    if wanted is not None:
        form = result.Form.of(wanted, wanted.schema if isinstance(wanted.schema, dict) else None)
        take(Answer('{"a": {"b": 1}}'), form)
    return bool(text)


def shown_of(task: Task, activity: Activity, wanted: properties.TaskProperties | None) -> inputs.Inputs:
    """What the task is shown, but for the contents of files."""
    if wanted is None or wanted.inputs is None:
        return inputs.within(inputs.readable(task, activity, Thread("conv_1", 1)), 2000)
    return inputs.whole({name: task.variables.get(name) for name in wanted.inputs}, 2000)


@by_seed(500)
def test_any_answer_is_taken_or_of_the_wrong_form(seed: int, count: int) -> None:
    make = Maker(seed)
    for _ in range(count):
        wanted = {make.choice(KEYWORDS): make.value() for _ in make.some(3)} or None
        if wanted is not None and copes(schema.flaw, wanted):
            wanted = None
        kinds: list[ResultType] = ["Text", "Json", "File"]
        kind = make.choice(kinds)
        fields = make.choice(FIELDS) if kind == "Json" else {}
        answer = make.choice([make.text(), str(make.value()), '{"a": [1, {"b": null}]}'])
        take(Answer(answer), result.Form("x", kind, schema=wanted, fields=fields))


def take(answer: Answer, form: result.Form) -> None:
    """Check an answer and make variables of it."""
    checked = copes(result.checked, answer, form, ours=schema.Unusable)
    if checked is not None and checked[0].outcome is Outcome.OK:
        story = result.Story(None, "created", None, repaired=False, seconds={})
        for spin in (True, False):
            copes(partial(result.variables, spin=spin), checked[0], form, ASSISTANT, story)


@by_seed(1000)
def test_any_variable_called_like_our_meta_is_ours_or_nothing(seed: int, count: int) -> None:
    make, read = Maker(seed), 0
    for _ in range(count):
        text = make.changed(META)
        told = copes(meta.read, "frame_meta", text)
        copes(meta.is_broken, "frame_meta", text)
        if told is not None:
            read += 1
            assert all(isinstance(each, str) for each in (told.thread, told.response, told.provider, *told.fields))
            copes(inputs.readable, replace(TASK, variables={"frame_meta": Variable(text)}), ACTIVITY, Thread("c", 1))
    assert read > 100


@by_seed(250)
def test_any_record_of_redis_is_read_or_nobodys_or_a_newer_workers(seed: int, count: int) -> None:
    make, read = Maker(seed), 0
    for _ in range(count):
        for whole, load, dump in RECORDS:
            text = make.changed(whole)
            found = copes(load, text, ours=(CorruptRecord, NewerRecord))
            copes(formats.is_newer, {"answer": text, "schema": make.text()})
            if found is not None:
                read += 1
                copes(dump, found, ours=NewerRecord)
                if isinstance(found, Remembered):
                    copes(lambda turn: (turn.size, dict(turn.settled)), found)
                if isinstance(found, Answer):
                    copes(result.checked, found, result.Form("x", "Json"))
        copes(formats.load_former, make.changed(formats.dump_former(Thread("conv_1", 2))))
    assert read > 100


@by_seed(1000)
def test_any_row_is_read_or_unreadable_and_any_reply_means_something(seed: int, count: int) -> None:
    make = Maker(seed)
    for _ in range(count):
        raw = make.raw()
        copes(wire.read_task, raw, 0.0, ours=wire.Unreadable)
        copes(wire.read_deployed, {"definition": raw, "instances": 1}, ours=wire.Unreadable)
        headers = {make.choice(["Retry-After", "Location"]): make.text()}
        reply = Reply(make.randint(100, 599), make.body(), headers)
        copes(failures.check, reply, ours=EngineDown)
        copes(failures.refusal, reply)
        copes(failures.describe, reply)
        copes(reply.value, list, ours=EngineDown)


@by_seed(100)
def test_any_environment_is_settings_or_mistakes_in_words(seed: int, count: int, tmp_path: Path) -> None:
    make = Maker(seed)
    for _ in range(count):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            for name, text in make.environment().items():
                patch.setenv(name, text)
            copes(read, ours=Permanent)


@by_seed(40)
def test_any_spec_is_an_assistant_or_mistakes_by_line(seed: int, count: int, tmp_path: Path) -> None:
    make = Maker(seed)
    for _ in range(count):
        (tmp_path / "analyst.md").write_bytes(make.spec().encode(errors="replace"))
        specs = copes(assistants.load, tmp_path, ours=Permanent)
        if specs is not None:
            copes(specs.find, make.text(), None, ours=UnknownAssistant)


@by_seed(100)
def test_any_file_of_providers_or_budgets_is_taken_or_mistakes_by_line(seed: int, count: int, tmp_path: Path) -> None:
    make, taken = Maker(seed), 0
    file = tmp_path / "file.yaml"
    for _ in range(count):
        file.write_bytes(make.file(PROVIDERS))
        found = copes(told_without_secrets, partial(providers.load, file, {"KEY": SECRET}), ours=Permanent)
        file.write_bytes(make.file(BUDGETS))
        bounds = copes(told_without_secrets, partial(budgets.load, file), ours=Permanent)
        taken += (found is not None) + (bounds is not None)
    assert taken > 10


def told_without_secrets(load: Callable[[], Any]) -> Any:
    """Read a file; no text about a mistake repeats what may be secret."""
    try:
        return load()
    except Permanent as exc:
        if SECRET in str(exc):
            pytest.fail("a secret is told")
        raise
