"""How far each step is, put together of what Redis knows of turns and the engine of tasks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from worker.domain.threads import ThreadKey
from worker.domain.watching import Step, StepState, TaskSeen, TurnSeen


def steps(
    turns: Iterable[tuple[str, ThreadKey, TurnSeen]],
    tasks: Sequence[TaskSeen],
    trouble: Callable[[str], str | None],
) -> Sequence[Step]:
    """List the steps, those that the engine knows first. `turns` are of the session's id, and its thread.

    `trouble` says why an assistant's provider cannot be asked.
    """
    of_turns = {each.task_id: each for each in _of_turns(turns, trouble)}
    of_tasks = [_of_task(each, of_turns.pop(each.id, None)) for each in tasks]
    return [*of_tasks, *of_turns.values()]


def _of_turns(turns: Iterable[tuple[str, ThreadKey, TurnSeen]], trouble: Callable[[str], str | None]) -> Iterator[Step]:
    for session, key, turn in turns:
        state, why = _state(turn), trouble(key.assistant)
        step = Step(turn.task_id, state, turn.attempt, session, assistant=key.assistant)
        yield replace(step, state="paused", text=why) if why and state in {"waiting", "preparing"} else step


def _state(turn: TurnSeen) -> StepState:
    match turn.state:
        case "answered":
            return "delivering"
        case "done":
            return "delivered"
        case "intent" if turn.is_held:
            return "repairing" if turn.is_repair else "asking"
    return "preparing" if turn.is_held else "waiting"


def _of_task(task: TaskSeen, step: Step | None) -> Step:
    known = replace(step or Step(task.id, "waiting"), activity_id=task.activity_id)
    return replace(known, state="incident", text=task.problem) if task.retries == 0 else known
