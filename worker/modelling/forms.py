"""What the values of properties have to look like, and which exclude each other, as data. Pure.

The reader of properties goes by it, and so does the linter that runs in modelers, in JavaScript.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, get_args

from worker.decisions import schemas
from worker.domain.memory import MOST_RECALLED
from worker.domain.tasks import ASSISTANT, DECISION_RECORD, MEMORY_APPROVAL
from worker.domain.threads import Outcome
from worker.errors import BadDefinition
from worker.modelling.orders import MOST_ORDERS

ResultType = Literal["Text", "Json", "File"]
Sharing = Literal["instance", "root", "business-key", "activity"]
Stage = Literal["compute", "propose", "close"]
MOST_RETRIES: Final = 100
MOST_CALLS: Final = 100
LONGEST_TIMEOUT: Final = timedelta(hours=1)
LONGEST_DELAY: Final = timedelta(days=1)
_TRUTH: Final = ("true", "false")

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "service.type": (ASSISTANT, DECISION_RECORD, MEMORY_APPROVAL),
    "service.thread": get_args(Sharing),
    "service.thread.required": _TRUTH,
    "service.confidence.uncalibrated": ("allow",),
    "data.output.type": get_args(ResultType),
    "data.output.scope": ("instance", "local"),
    "record.part": schemas.PARTS,
    "record.stage": get_args(Stage),
    "record.scope": ("instance", "root"),
    "record.text": _TRUTH,
    "memory.remember": _TRUTH,
    "memory.approve": _TRUTH,
}
"""What the properties may hold that take one of a few values."""

RECORDS_TOO: Final = frozenset(
    {"data.output", "data.output.fields", "service.retries", "service.retries.delay", "record.id"}
)
"""What tasks that make records read besides the properties that are of them alone."""
RECORDS_ALONE: Final = frozenset(
    f"record.{each}" for each in ("stage", "scope", "given", "signed", "accepted", "answer", "text")
)
APPROVALS_TOO: Final = RECORDS_TOO - {"record.id"}
"""What tasks by which persons approve read besides the properties that are of them alone."""
APPROVALS_ALONE: Final = frozenset({"memory.signed", "memory.accepted"})


def is_read(name: str, kind: str) -> bool:
    """Whether tasks of a kind read a property."""
    if kind == ASSISTANT:
        return name not in RECORDS_ALONE | APPROVALS_ALONE
    return name in (APPROVALS_TOO | APPROVALS_ALONE if kind == MEMORY_APPROVAL else RECORDS_TOO | RECORDS_ALONE)


DURATION: Final = "P(?=.)(?:([0-9]{1,6})D)?(?:T(?=.)(?:([0-9]{1,6})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,6})S)?)?"
"""One of days, hours, minutes and seconds."""
_SOME: Final = ".+"
_ENTRY: Final = r".*[^\s,].*"
"""Something between commas."""


@dataclass(frozen=True, slots=True)
class Form:
    r"""What a value has to be; `allowed` says it in words.

    `pattern` matches all of it, in Python as in JavaScript, but that there `\w` is ASCII's alone. `most` bounds a whole
    number, and a duration by its seconds; the least is 1. With `entries` all that is said of each that stands between
    commas, each with another name before its `=`.
    """

    allowed: str
    pattern: str
    most: int | None = None
    entries: bool = False

    def fits(self, value: str) -> bool:
        """Whether a value is as it has to be."""
        if not self.entries:
            return self._fits(value)
        given = entries(value)
        return len(given) == len({*map(_name, given)}) and all(map(self._fits, given))

    def _fits(self, value: str) -> bool:
        if not re.fullmatch(self.pattern, value, re.DOTALL):
            return False
        size = _size(value) if self.most else None
        return self.most is None or size is None or 1 <= size <= self.most


def _number(most: int) -> Form:
    return Form(f"whole numbers from 1 to {most}", "[0-9]{1,9}", most)


def _lasting(longest: timedelta) -> Form:
    most = int(longest / timedelta(seconds=1))
    return Form(f"durations such as PT90S or PT5M, up to {most} s", DURATION, most)


FORMS: Final[Mapping[str, Form]] = {
    **{name: Form(", ".join(values), "|".join(values)) for name, values in CHOICES.items()},
    "service.timeout": _lasting(LONGEST_TIMEOUT),
    "service.retries": _number(MOST_RETRIES),
    "service.retries.delay": _lasting(LONGEST_DELAY),
    "service.calls": _number(MOST_CALLS),
    "service.confidence": Form("numbers from 0 to 1, such as 0.8", r"0?\.[0-9]{1,9}|[01](\.0{1,9})?"),
    "data.questions.orders": _number(MOST_ORDERS),
    "data.output.fields": Form(
        "entries such as choice or cost=budget.total, each name once",
        r"[^\W\d]\w*\s*(=\s*([^.=\s]+(\.[^.=\s]+)*)?)?",
        entries=True,
    ),
    "record.id": Form("up to 40 letters, digits and _, a letter first", "[A-Za-z][A-Za-z0-9_]{0,39}"),
    "record.given": Form(
        f"entries such as weights=agreed_weights, each part once, of {', '.join(schemas.PARTS)}",
        rf"({'|'.join(schemas.PARTS)})\s*=.*\S.*",
        entries=True,
    ),
    "memory.subject": Form(
        "variable:<name>, business-key, tenant, and - for nobody",
        r"(?!.*[$#]\{)variable:.*\S.*|business-key|tenant|-",
    ),
    "memory.recall": Form(f"whole numbers from 1 to {MOST_RECALLED}, or off", "[0-9]{1,9}|off", MOST_RECALLED),
}
"""What the properties may hold that do not take any text. What is empty is absent."""


@dataclass(frozen=True, slots=True)
class Clash:
    """A property that may not be said where others are so: `where` has the pattern of each. `said` says why not."""

    name: str
    said: str
    where: Mapping[str, str]


def _clashes() -> tuple[Clash, ...]:
    """List what excludes what of a task for an assistant."""
    of_text = {"data.output.type": "Text"}
    without, beside = {"data.questions": ""}, {"data.questions": _SOME}
    about = "is about the answers to data.questions, which the task has not"
    no_place = "has no place beside data.questions, which say what is answered"
    return (
        Clash(
            "service.version",
            "means nothing beside service.name 'deployment:…', whose version is the process's: take it out",
            {"service.version": _SOME, "service.name": "deployment:.*"},
        ),
        Clash(
            "record.part",
            "wants JSON, but data.output.type is 'Text'; leave that out",
            of_text | {"record.part": _SOME},
        ),
        Clash(
            "data.output.schema",
            "wants JSON, but data.output.type is 'Text'; make it Json or File",
            of_text | {"data.output.schema": _SOME},
        ),
        *(
            Clash(
                "data.output.fields",
                f"needs data.output.type Json; it is {each!r}",
                {"data.output.type": each, "data.output.fields": _ENTRY},
            )
            for each in ("Text", "File")
        ),
        Clash(
            "service.thread.required",
            "is 'true', but with service.thread 'activity' nothing is known of before",
            {"service.thread.required": "true", "service.thread": "activity"},
        ),
        Clash("service.confidence", about, without | {"service.confidence": _SOME}),
        Clash("service.confidence.uncalibrated", about, without | {"service.confidence.uncalibrated": _SOME}),
        Clash(f"error.{Outcome.UNSURE}", about, without | {f"error.{Outcome.UNSURE}": _SOME}),
        Clash("data.questions.orders", about, without | {"data.questions.orders": "(?!0*1$).+"}),
        Clash("data.input.answers", about, without | {"data.input.answers": _ENTRY}),
        Clash("record.part", no_place, beside | {"record.part": _SOME}),
        Clash("data.output.schema", no_place, beside | {"data.output.schema": _SOME}),
        Clash("data.output.fields", no_place, beside | {"data.output.fields": _ENTRY}),
        Clash("data.output.type", no_place, beside | {"data.output.type": "Text|File"}),
        *(
            Clash(
                "service.thread",
                f"is {each!r}, but data.questions are asked beside every conversation: leave it out",
                beside | {"service.thread": each},
            )
            for each in CHOICES["service.thread"]
            if each != "activity"
        ),
        Clash(
            "service.thread.required",
            "is 'true', but data.questions are asked beside every conversation, where nothing is known of before",
            beside | {"service.thread.required": "true"},
        ),
    )


CLASHES: Final[Mapping[str, tuple[Clash, ...]]] = {
    ASSISTANT: _clashes(),
    DECISION_RECORD: (
        Clash(
            "record.part",
            "is of tasks for assistants, whose answers are parts; take it out",
            {"record.part": _SOME},
        ),
    ),
    MEMORY_APPROVAL: (
        Clash("memory.signed", "is missing; name there the persons' tasks that approve", {"memory.signed": r"[\s,]*"}),
        Clash(
            "memory.subject",
            "is of tasks for assistants, whose answers are proposed; take it out",
            {"memory.subject": _SOME},
        ),
    ),
}
"""What excludes what, by the kind of task."""


def checked(said: Mapping[str, str], name: str) -> str | None:
    """Return what a property holds, None where it is absent. Raises BadDefinition where it is not as it has to be."""
    # Modelers write a property without a value for one that was cleared.
    value = said.get(name) or None
    if value is not None and not FORMS[name].fits(value):
        raise BadDefinition(f"property {name} is {value!r}; allowed are {FORMS[name].allowed}")
    return value


def check_clashes(said: Mapping[str, str], kind: str) -> None:
    """Refuse what contradicts itself. Raises BadDefinition. `kind` is what the task is for."""
    for each in CLASHES[kind]:
        if all(re.fullmatch(pattern, said.get(name, ""), re.DOTALL) for name, pattern in each.where.items()):
            raise BadDefinition(f"property {each.name} {each.said}")


def entries(text: str) -> list[str]:
    """Return what stands between commas."""
    return [each for each in map(str.strip, text.split(",")) if each]


def duration(text: str) -> timedelta | None:
    """Read an ISO 8601 duration of days, hours, minutes and seconds; None where it is none.

    Months and years have no fixed length.
    """
    match = re.fullmatch(DURATION, text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _size(value: str) -> float | None:
    if value.isdecimal():
        return int(value)
    lasting = duration(value)
    return None if lasting is None else lasting.total_seconds()


def _name(entry: str) -> str:
    return entry.partition("=")[0].rstrip()
