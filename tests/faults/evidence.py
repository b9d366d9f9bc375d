"""What is left when a test is over: of the servers' histories, the engine, the model server and the workers' logs."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.faults.history import History
from tests.faults.http_proxy import worker_of
from tests.faults.world import KEY, World
from worker.domain.threads import ThreadKey, ref

ATTEMPTS = 9
"""As many attempts of a task are looked for."""
SHORTEST_LINE = 12
"""A shorter line of a message says nothing and may stand in a log by chance."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that checkers look at. `log` are the rows of the engine's external-task log, `tasks` the open ones."""

    history: History
    states: Mapping[str, str] = field(default_factory=dict)
    tasks: Sequence[Mapping[str, Any]] = ()
    log: Sequence[Mapping[str, Any]] = ()
    incidents: Sequence[Mapping[str, Any]] = ()
    conversations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    worker_logs: str = ""
    secrets: frozenset[str] = frozenset({KEY})

    def of(self, *instances: str) -> "Evidence":
        """What concerns these instances; history and logs stay whole."""
        return replace(
            self,
            states={instance: self.states[instance] for instance in instances},
            tasks=[each for each in self.tasks if each["processInstanceId"] in instances],
            log=[each for each in self.log if each["processInstanceId"] in instances],
            incidents=[each for each in self.incidents if each["processInstanceId"] in instances],
            conversations={
                name: each for name, each in self.conversations.items() if each["metadata"].get("scope") in instances
            },
        )

    @property
    def task_ids(self) -> set[str]:
        return {each["externalTaskId"] for each in self.log} | {each["id"] for each in self.tasks}

    def refs(self) -> dict[str, str]:
        """Whose question each ref marks: ref → `<activity>, attempt n`, for the tasks of these instances."""
        rows = [(each["externalTaskId"], each) for each in self.log] + [(each["id"], each) for each in self.tasks]
        keys = self._keys()
        shared = {key.scope for key in keys if key.scope.startswith("business-key:")}
        return {
            ref(replace(key, scope=scope), task, attempt): f"{row['activityId']}, attempt {attempt}"
            for task, row in rows
            for key in {replace(key, scope="") for key in keys}
            for scope in (row["processInstanceId"], f"task:{task}", *shared)
            for attempt in range(1, ATTEMPTS + 1)
        }

    def _keys(self) -> set[ThreadKey]:
        """Whose conversations there are."""
        facts = [each["metadata"] for each in self.conversations.values()]
        return {
            ThreadKey(each["engine"], each["scope"], each["assistant"], each["tenant"] or None)
            for each in facts
            if "scope" in each
        }

    def workers(self) -> set[str]:
        """The ids under which anybody fetched."""
        return {name for each in self.history.of("engine", "fetchAndLock") if (name := worker_of(each))}

    def asked(self) -> Counter[str]:
        """How many turns with each ref a model may have been paid for."""
        turns = [each for each in self.history.of("provider", "POST /responses") if each.reached]
        return Counter(ref for each in turns for ref in set(re.findall(r"\(ref (\w{12})\)", each.text)))

    def landed(self) -> Counter[str]:
        """How often the question with each ref stands on a conversation."""
        ends = [re.search(r"\(ref (\w{12})\)$", text) for text in self._texts("user")]
        return Counter(end[1] for end in ends if end)

    def strange_questions(self) -> int:
        """How many questions on the conversations end with the ref of no task."""
        known = tuple(f"(ref {each})" for each in self.refs())
        return sum(not text.endswith(known) for text in self._texts("user"))

    def message_lines(self) -> set[str]:
        """Lines of questions and answers, but for titles and refs."""
        lines = {line.strip() for text in self._texts("user", "assistant") for line in text.splitlines()}
        return {line for line in lines if len(line) >= SHORTEST_LINE and not re.match(r"#|\(ref ", line)}

    def _texts(self, *roles: str) -> Iterable[str]:
        for conversation in self.conversations.values():
            for item in conversation["items"]:
                if item.get("role") in roles:
                    yield "".join(part.get("text", "") for part in item["content"])


async def gather(world: World) -> Evidence:
    """Look everywhere, for the instances that were started by the world."""

    async def of_all(path: str) -> list[dict[str, Any]]:
        rows = await asyncio.gather(*(world.rest.get(path, processInstanceId=each) for each in world.instances))
        return [row for part in rows for row in part]

    states = await asyncio.gather(*map(world.rest.state, world.instances))
    return Evidence(
        history=world.history,
        states=dict(zip(world.instances, states, strict=True)),
        tasks=await of_all("external-task"),
        log=await of_all("history/external-task-log"),
        incidents=await of_all("history/incident"),
        conversations=world.model.conversations(),
        worker_logs=world.logs(),
    )
