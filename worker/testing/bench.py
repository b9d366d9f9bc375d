"""What a test works with: it deploys, scripts answers, starts instances, and looks at what was asked and came of it."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal

from worker.demo.application import names_of
from worker.demo.model.answers import without_ref
from worker.demo.model.wire import question_of
from worker.demo.rest import Failed
from worker.testing.parts import Parts
from worker.testing.playing import Player
from worker.testing.written import instructions_of

Outcome = Literal["completed", "refused", "filtered", "incomplete", "failed", "empty"]
"""How an answer ends; all but the first are the outcomes of `error.<outcome>`."""

WAIT_SECONDS, RECORDING_SECONDS = 60.0, 600.0
"""For how long a test waits for something, by default. It costs time only where a test fails, or real models think."""
CHECK_SECONDS, LONGEST_CHECK_SECONDS = 0.05, 0.3
"""Between two looks: what takes long is looked at less often, which leaves the processor to what works."""
REMOVE_SECONDS: Final = 10.0
"""For how long a removal is repeated that collides with what the worker does."""
LONGEST_STRING: Final = 4000
"""Characters, as Java counts them, that the engine's database takes of a String; longer texts go as the worker's do."""
CALLS: Final = ("responses.create", "chat.completions.create")
"""What asks an assistant, by each API."""
_OVER: Final = frozenset({"COMPLETED", "EXTERNALLY_TERMINATED", "INTERNALLY_TERMINATED"})


@dataclass(frozen=True, slots=True)
class Question:
    """What an assistant was asked: by the whole text, whose first line is the step's name behind `# `.

    `thread` is the conversation at the provider; `instance` the process instance that it belongs to, None for one that
    instances share, or of one task alone.
    """

    assistant: str
    step: str
    text: str
    thread: str
    instance: str | None


class Bench:
    """One test's engine, worker and scripted assistants."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._deployments: dict[str, None] = {}  # files that are as they were are no deployment of their own
        self._started: set[str] = set()
        self._ours: dict[str, bool] = {}
        self._names: dict[str, str] = {}
        requests = parts.model.requests()
        self._after = requests[-1]["seq"] if requests else 0

    def deploy(self, *files: Path | str) -> None:
        """Deploy files together: models, and the schemas, questions, forms and specs that they name."""
        paths = [Path(each) for each in files]
        for path in paths:
            if path.suffix == ".bpmn":
                self._names |= names_of(path)
        self._deployments[self._run(self._parts.rest.deploy("test", paths))] = None

    def answer(
        self,
        *texts: str | Mapping[str, Any] | Sequence[Any],
        assistant: str = "",
        activity: str = "",
        text: str = "",
        outcome: Outcome = "completed",
    ) -> None:
        """Answer so what `assistant` is asked, in this `activity` (its id), by a question with this `text` in it.

        What is not said may be anything; of several scripts the one that was written first counts. Several texts are
        answers one after the other, the last of them to all that comes then. What is no text is sent as JSON. Raises
        LookupError where there is no such assistant or activity.
        """
        said, asked = self._of_assistant(assistant), [*self._of_activity(activity), *([text] if text else [])]
        wanted = texts or ("",)
        rules: list[Mapping[str, Any]] = [
            {
                "call": "|".join(CALLS),
                "text": said,
                "question": asked,
                "answer": each if isinstance(each, str) else json.dumps(each, ensure_ascii=False),
                "outcome": outcome,
                "times": None if number == len(wanted) else 1,
            }
            for number, each in enumerate(wanted, start=1)
        ]
        self._parts.model.add_rules(rules)

    def start(self, key: str, /, *, business_key: str | None = None, **variables: Any) -> "Instance":
        """Start the newest version of a process. Dicts and lists become variables of the type Json."""
        id_ = self._run(self._parts.rest.start(key, _typed(variables), business_key))
        self._started.add(id_)
        return Instance(self, id_)

    @property
    def questions(self) -> list[Question]:
        """All that was asked in this test so far, in order, on instances of what it has started or deployed.

        Of a provider that keeps no conversations nobody knows thread and instance.
        """
        threads = self._parts.model.conversations()
        found = []
        for request in self._parts.model.requests(None, self._after):
            if request["call"] not in CALLS:
                continue
            metadata = threads.get(str(request["conversation"]), {}).get("metadata") or {}
            text = without_ref(question_of(request["body"]))
            scope = metadata.get("scope", "")
            instance = None if ":" in scope else scope or None
            if instance is not None and not self._is_ours(instance):
                continue
            found.append(
                Question(
                    metadata.get("assistant", ""),
                    text.partition("\n")[0].removeprefix("# "),
                    text,
                    request["conversation"] or "",
                    instance,
                )
            )
        return found

    def clear(self) -> None:
        """Take away what was deployed, with its instances, and what was scripted. Raises Failed for what stays."""
        self._parts.model.clear_faults()
        failed = [flaw for each in reversed(self._deployments) if (flaw := self._remove(each))]
        self._deployments.clear()
        if failed:
            raise Failed("; ".join(failed))

    def _remove(self, deployment: str) -> str:
        """Remove a deployment. Returns why it stays, empty if it does not."""
        deadline = time.monotonic() + REMOVE_SECONDS
        while True:
            try:
                self._run(self._parts.rest.remove(deployment))
            except Failed as exc:
                # The worker may complete a task of it in the same moment, and then one of both is refused.
                if exc.status != HTTPStatus.INTERNAL_SERVER_ERROR or time.monotonic() > deadline:
                    return "" if exc.status == HTTPStatus.NOT_FOUND else str(exc)
                time.sleep(CHECK_SECONDS)
            else:
                return ""

    def _is_ours(self, instance: str) -> bool:
        """Whether an instance is this test's: what one before it has left may still be asked about."""
        if instance not in self._ours:
            try:
                root, deployment = self._run(self._parts.rest.origin(instance))
            except Failed as exc:
                if exc.status != HTTPStatus.NOT_FOUND:
                    raise
                root = deployment = ""  # it was removed with its deployment
            self._ours[instance] = root in self._started or deployment in self._deployments
        return self._ours[instance]

    def _run(self, work: Any) -> Any:
        return self._parts.loop.run(work)

    def wait_until(self, done: Callable[[], Any], what: str, seconds: float | None) -> Any:
        """Return the first value that is true.

        Raises AssertionError after so many seconds, if the worker ended, or where a question could not be answered.
        """
        __tracebackhide__ = True
        player = self._parts.model.answerer
        if seconds is None:
            seconds = RECORDING_SECONDS if isinstance(player, Player) and player.records else WAIT_SECONDS
        began = time.monotonic()
        while not (value := self._unless_flawed(done)):
            if not self._parts.worker.running:
                raise AssertionError(f"the worker has ended:\n{self._parts.worker.log_tail()}")
            waited = time.monotonic() - began
            if waited > seconds:
                raise AssertionError(f"{what} did not come true within {seconds} s")
            time.sleep(min(max(CHECK_SECONDS, waited / 10), LONGEST_CHECK_SECONDS))
        return value

    def _unless_flawed(self, done: Callable[[], Any]) -> Any:
        """Look at something, and first at what could not be answered: that comes to an incident as well."""
        __tracebackhide__ = True
        try:
            value = done()
        except AssertionError:
            self._tell_flaws()
            raise
        self._tell_flaws()
        return value

    def _tell_flaws(self) -> None:
        __tracebackhide__ = True
        player = self._parts.model.answerer
        if isinstance(player, Player) and (flaws := player.told()):
            raise AssertionError("\n\n".join(flaws)) from None

    def _of_assistant(self, name: str) -> list[str]:
        """Tell an assistant's questions by its instructions, which go with each."""
        return [_in_json(instructions_of(self._parts.assistants, name))] if name else []

    def _of_activity(self, id_: str) -> list[str]:
        """Tell an activity's questions by their heading."""
        if not id_:
            return []
        if id_ not in self._names:
            raise LookupError(f"no activity has the id {id_!r}; deployed are {', '.join(self._names) or 'none'}")
        return [f"# {self._names[id_]}\n"]


class Instance:
    """A process instance."""

    def __init__(self, bench: Bench, id_: str) -> None:
        self._bench = bench
        self._incidents_wanted = False
        self.id = id_

    @property
    def state(self) -> str:
        """ACTIVE, SUSPENDED, COMPLETED, EXTERNALLY_TERMINATED or INTERNALLY_TERMINATED."""
        return str(self._ask("state", self.id))

    @property
    def path(self) -> list[str]:
        """Ids of the elements that it has reached, in order."""
        return list(self._ask("path", self.id))

    @property
    def variables(self) -> dict[str, Any]:
        """All variables, also when it is over; Json read, long texts whole. Files have the value None."""
        return dict(self._ask("variables", self.id))

    @property
    def incidents(self) -> list[str]:
        """What its open incidents say, and those of the processes that it called."""
        return [each.message for each in self._ask("incidents_below", self.id)]

    @property
    def questions(self) -> list[Question]:
        """What was asked on its own conversations, in order."""
        return [each for each in self._bench.questions if each.instance == self.id]

    @property
    def threads(self) -> dict[str, set[str]]:
        """Its own conversations, by assistant."""
        found: dict[str, set[str]] = {}
        for each in self.questions:
            found.setdefault(each.assistant, set()).add(each.thread)
        return found

    def wait(self, seconds: float | None = None) -> "Instance":
        """Wait until it is over, and return it. Raises AssertionError with what `incidents` say."""

        def over() -> bool:
            self._fail_by_incidents()
            return self.state in _OVER

        self._bench.wait_until(over, f"the end of instance {self.id}", seconds)
        return self

    def wait_for(self, activity: str, seconds: float | None = None) -> "Instance":
        """Wait until it has reached an element, and return it.

        Raises AssertionError with what `incidents` say, unless an incident was waited for.
        """
        self._wait_until(lambda: activity in self.path, f"{activity} in instance {self.id}", seconds)
        return self

    def _wait_until(self, is_so: Callable[[], bool], what: str, seconds: float | None) -> None:
        """Wait for this, unless there is an incident that nobody has waited for."""

        def seen() -> bool:
            if is_so():
                return True
            if not self._incidents_wanted:
                self._fail_by_incidents()
            return False

        self._bench.wait_until(seen, what, seconds)

    def wait_for_incident(self, seconds: float | None = None) -> str:
        """Wait for an incident, and return what it says."""
        self._incidents_wanted = True
        found = self._bench.wait_until(lambda: self.incidents, f"an incident of instance {self.id}", seconds)
        return str(found[0])

    def _fail_by_incidents(self) -> None:
        if found := self.incidents:
            raise AssertionError(f"instance {self.id} has an incident: {'; '.join(found)}")

    def complete(self, activity: str, **variables: Any) -> None:
        """Complete the person's task of this id, as soon as it is there."""

        def is_open() -> bool:  # and not done by now: a loop comes to it again
            return bool(self._ask("open_tasks", self.id, activity))

        self._wait_until(is_open, f"an open task {activity} in instance {self.id}", None)
        self._ask("complete", self.id, activity, _typed(variables))

    def _ask(self, method: str, *args: Any) -> Any:
        return self._bench._run(getattr(self._bench._parts.rest, method)(*args))  # noqa: SLF001 - one object for tests


def _typed(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _variable(value) for name, value in variables.items()}


def _variable(value: Any) -> dict[str, Any]:
    if isinstance(value, dict | list):
        return {"value": json.dumps(value), "type": "Json"}
    if isinstance(value, str) and len(value.encode("utf-16-le")) > 2 * LONGEST_STRING:
        info = {"objectTypeName": "java.lang.String", "serializationDataFormat": "application/json"}
        return {"value": json.dumps(value), "type": "Object", "valueInfo": info}
    return {"value": value}


def _in_json(text: str) -> str:
    """Write a text as it stands in a request's body."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


__all__ = ["Bench", "Failed", "Instance", "Outcome", "Question"]
