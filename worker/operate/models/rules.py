"""Every rule that a model can break, in one table, and what is found where one is broken."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

DEPLOY: Final = "Correct the model and deploy it; migrate or restart the instances of this version that get there."


class Level(StrEnum):
    """How grave it is, rising."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """The higher the graver."""
        return list(Level).index(self)


class Rule(Enum):
    """What is wrong with a model that breaks it, and how grave that is.

    Its id is its name in small letters, with `-` for `_`. What it says is a sentence without its subject, which is a
    task unless it names another.
    """

    NO_TOPIC = Level.ERROR, "has no topic, so that engines refuse the model"
    NOT_EXTERNAL = Level.ERROR, "is for this worker, but is no external task, which nobody hands out"
    TOPIC_OF_OTHERS = Level.ERROR, "has a topic that tasks of others in the same process use, so that it is not served"
    TOPIC_EXPRESSION = Level.ERROR, "has an expression for a topic, which only the engine can evaluate"
    NO_QUESTION = Level.ERROR, "has nothing to ask: neither documentation nor an input parameter `prompt`"
    NO_ASSISTANT = Level.ERROR, "names no assistant"
    UNKNOWN_ASSISTANT = Level.ERROR, "names an assistant, or a version, that there is not"
    WRONG_PROVIDER = Level.ERROR, "wants what the provider of its assistant does not do"
    WRONG_VALUE = Level.ERROR, "has a property with a value that is not allowed, or that contradicts another"
    LOOP_IN_LOOP = Level.ERROR, "is in a loop within a loop, where results overwrite each other"
    MISSING_FILE = Level.ERROR, "names a schema, decision questions, or a spec, that would not be deployed with it"
    BAD_FILE = (
        Level.ERROR,
        "names a file that is no JSON, no usable JSON Schema, no spec, or holds no decision questions",
    )
    RECORD_TOPIC = (
        Level.ERROR,
        "makes a decision's record, or approves what is remembered, on a topic that tasks for assistants have",
    )
    RECORD_PARTS = Level.ERROR, "makes a decision's record that lacks a part"
    RECORD_OPEN = Level.WARNING, "proposes a decision's record that nothing closes"
    LEFT_ALONE = Level.WARNING, "looks as if it was meant for this worker, and is not"
    UNREAD_PROPERTY = Level.WARNING, "has a property whose name nobody reads"
    REPEATED_PROPERTY = Level.WARNING, "has a property twice, of which one counts"
    NAMELESS_PROPERTY = Level.WARNING, "has a property without a name, which keeps other kinds of workers from tasks"
    EXPRESSION = Level.WARNING, "has an expression in a fixed text, which nobody evaluates"
    ODD_INPUT = Level.WARNING, "has an input whose name looks like several"
    UNSET_INPUT = Level.WARNING, "has an input that nothing before it can have set"
    UNSET_MAPPING = Level.WARNING, "a call hands over, or takes back, a variable that nothing sets"
    UNKNOWN_INPUT = Level.NOTE, "has an input of which nobody can know whether it is set"
    OVERWRITTEN_INPUT = Level.WARNING, "has a result that overwrites its own input"
    OVERWRITTEN_OUTPUT = Level.WARNING, "has a result that another task writes, too"
    ENDLESS_LOOP = Level.WARNING, "is in a loop of sequence flows that nothing but answers ends"
    UNCAUGHT_ERROR = Level.WARNING, "throws a BPMN error that nothing catches"
    NO_ASYNC_AFTER = Level.WARNING, "has no asyncAfter, so that the step behind it can undo its completion"
    SHORT_TIMER = Level.WARNING, "has a timer that takes it away before its answer has to be there"
    NOT_EXECUTABLE = Level.WARNING, "stands in a process that is not executable, which engines do not run"
    NO_TIME_TO_LIVE = Level.WARNING, "a process has no history time to live, so that engines refuse the model"
    ENCODING = Level.WARNING, "a file is not in UTF-8, as which engines hand models out"
    TOPIC_ELSEWHERE = Level.NOTE, "has a topic that tasks of others in another process use"

    def __init__(self, level: Level, about: str) -> None:
        self.level = level
        self.about = about

    @property
    def id(self) -> str:
        """How people name it."""
        return self.name.lower().replace("_", "-")


OF_PROVIDERS: Final = frozenset({Rule.WRONG_PROVIDER})
"""Rules that want to know the providers: `doctor` alone goes by them."""

BEYOND: Final[Mapping[Rule, str]] = {
    Rule.UNKNOWN_ASSISTANT: "goes by the assistants' specs",
    Rule.WRONG_PROVIDER: "goes by `PROVIDERS_FILE`",
    Rule.MISSING_FILE: "goes by the files beside the model",
    Rule.BAD_FILE: "goes by the files beside the model",
    Rule.UNSET_INPUT: "goes by forms, by other models, and by the ways through the process",
    Rule.UNSET_MAPPING: "goes by the process that is called",
    Rule.UNKNOWN_INPUT: "goes by forms, by other models, and by the ways through the process",
    Rule.OVERWRITTEN_OUTPUT: "goes by the ways through the process",
    Rule.ENDLESS_LOOP: "goes by the ways through the process",
    Rule.ENCODING: "goes by the file's bytes",
}
"""Rules that nobody goes by in a modeler, where one model is at hand and nothing else; and what they want more."""

PARTLY: Final[Mapping[Rule, str]] = {
    Rule.WRONG_VALUE: "nothing is said of what stands in schemas and questions, nor of assistants' `memory`",
    Rule.RECORD_PARTS: "nothing is said where a part may be in another file",
    Rule.LEFT_ALONE: "by the names of properties, as nobody knows which assistants there are",
    Rule.OVERWRITTEN_INPUT: "nothing is said of questions in a file",
    Rule.UNCAUGHT_ERROR: "processes in other files that call this one and catch it are not known",
    Rule.SHORT_TIMER: "by `service.timeout` alone",
    Rule.TOPIC_ELSEWHERE: "of processes in the same file",
}
"""Rules that find less in a modeler, or more, for the same reason; and in what way."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with one task. Equal for every task that is wrong in the same way.

    `about` is the property that it is about, by its name in the model; empty where it is about the task.
    """

    rule: Rule
    said: str
    advice: str
    about: str = ""

    @property
    def level(self) -> Level:
        """How grave it is."""
        return self.rule.level
