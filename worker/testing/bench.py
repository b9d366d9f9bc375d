"""What a test works with: it deploys, scripts answers, starts instances, and looks at what was asked and came of it."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from worker.demo.application import names_of
from worker.demo.rest import Failed
from worker.testing.parts import Parts

Outcome = Literal["completed", "refused", "filtered", "incomplete", "failed", "empty"]
"""How an answer ends; all but the first are the outcomes of `error.<outcome>`."""

WAIT_SECONDS: Final = 60.0
"""For how long a test waits for something, by default. It costs time only where a test fails."""
CHECK_SECONDS: Final = 0.05
_REF: Final = re.compile(r"\s*\(ref [0-9a-f]{12}\)\s*$")
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
        self._deployments: list[str] = []
        self._names: dict[str, str] = {}
        requests = parts.model.requests()
        self._after = requests[-1]["seq"] if requests else 0

    def deploy(self, *files: Path | str) -> None:
        """Deploy files together: models, and the schemas, questions, forms and specs that they name."""
        paths = [Path(each) for each in files]
        for path in paths:
            if path.suffix == ".bpmn":
                self._names |= names_of(path)
        self._deployments.append(self._run(self._parts.rest.deploy("test", paths)))

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
        marks = [*self._of_assistant(assistant), *self._of_activity(activity), *([_in_json(text)] if text else [])]
        wanted = texts or ("",)
        rules: list[Mapping[str, Any]] = [
            {
                "call": "responses.create",
                "text": marks,
                "answer": each if isinstance(each, str) else json.dumps(each, ensure_ascii=False),
                "outcome": outcome,
                "times": None if number == len(wanted) else 1,
            }
            for number, each in enumerate(wanted, start=1)
        ]
        self._parts.model.add_rules(rules)

    def start(self, key: str, /, *, business_key: str | None = None, **variables: Any) -> "Instance":
        """Start the newest version of a process. Dicts and lists become variables of the type Json."""
        return Instance(self, self._run(self._parts.rest.start(key, _typed(variables), business_key)))

    @property
    def questions(self) -> list[Question]:
        """All that was asked in this test so far, in order."""
        threads = self._parts.model.conversations()
        found = []
        for request in self._parts.model.requests("responses.create", self._after):
            metadata = threads.get(str(request["conversation"]), {}).get("metadata") or {}
            text = _text(request["body"].get("input"))
            scope = metadata.get("scope", "")
            found.append(
                Question(
                    metadata.get("assistant", ""),
                    text.partition("\n")[0].removeprefix("# "),
                    text,
                    str(request["conversation"]),
                    None if ":" in scope else scope or None,
                )
            )
        return found

    def clear(self) -> None:
        """Take away what was deployed, with its instances, and what was scripted."""
        self._parts.model.clear_faults()
        while self._deployments:
            self._run(self._parts.rest.remove(self._deployments.pop()))

    def _run(self, work: Any) -> Any:
        return self._parts.loop.run(work)

    def wait_until(self, done: Callable[[], Any], what: str, seconds: float) -> Any:
        """Return the first value that is true. Raises AssertionError after so many seconds, or if the worker ended."""
        deadline = time.monotonic() + seconds
        while not (value := done()):
            if not self._parts.worker.running:
                raise AssertionError(f"the worker has ended:\n{self._parts.worker.log_tail()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come true within {seconds} s")
            time.sleep(CHECK_SECONDS)
        return value

    def _of_assistant(self, name: str) -> list[str]:
        """Tell an assistant's questions by its instructions, which go with each."""
        if not name:
            return []
        found = sorted(self._parts.assistants.glob(f"{name}.md")) + sorted(self._parts.assistants.glob(f"{name}@*.md"))
        if not found:
            there = ", ".join(sorted(path.stem for path in self._parts.assistants.glob("*.md")))
            raise LookupError(f"no assistant is called {name!r}; there are {there or 'none'}")
        instructions = found[-1].read_text("utf-8-sig").split("\n---", 1)[1].partition("\n")[2].strip()
        return [_in_json(instructions)]

    def _of_activity(self, id_: str) -> list[str]:
        """Tell an activity's questions by their heading."""
        if not id_:
            return []
        if id_ not in self._names:
            raise LookupError(f"no activity has the id {id_!r}; deployed are {', '.join(self._names) or 'none'}")
        return [_in_json(f"# {self._names[id_]}\n")]


class Instance:
    """A process instance."""

    def __init__(self, bench: Bench, id_: str) -> None:
        self._bench = bench
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
        """What its open incidents say."""
        return [each.message for each in self._ask("incidents", [self.id])]

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

    def wait(self, seconds: float = WAIT_SECONDS) -> "Instance":
        """Wait until it is over, and return it. Raises AssertionError with what an incident says."""

        def over() -> bool:
            if found := self.incidents:
                raise AssertionError(f"instance {self.id} has an incident: {'; '.join(found)}")
            return self.state in _OVER

        self._bench.wait_until(over, f"the end of instance {self.id}", seconds)
        return self

    def wait_for(self, activity: str, seconds: float = WAIT_SECONDS) -> "Instance":
        """Wait until it has reached an element, and return it."""
        self._bench.wait_until(lambda: activity in self.path, f"{activity} in instance {self.id}", seconds)
        return self

    def wait_for_incident(self, seconds: float = WAIT_SECONDS) -> str:
        """Wait for an incident, and return what it says."""
        found = self._bench.wait_until(lambda: self.incidents, f"an incident of instance {self.id}", seconds)
        return str(found[0])

    def complete(self, activity: str, **variables: Any) -> None:
        """Complete the person's task of this id, as soon as it is there."""
        self.wait_for(activity)
        self._ask("complete", self.id, activity, _typed(variables))

    def _ask(self, method: str, *args: Any) -> Any:
        return self._bench._run(getattr(self._bench._parts.rest, method)(*args))  # noqa: SLF001 - one object for tests


def _typed(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"value": json.dumps(value), "type": "Json"} if isinstance(value, dict | list) else {"value": value}
        for name, value in variables.items()
    }


def _in_json(text: str) -> str:
    """Write a text as it stands in a request's body."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _text(question: Any) -> str:
    """Read a question out of a request, without its ref."""
    if isinstance(question, list):
        content = question[-1]["content"]
        question = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return _REF.sub("", str(question))


__all__ = ["Bench", "Failed", "Instance", "Outcome", "Question"]
