"""Functions written for camunda-external-task-client-python3, by its own classes: `ExternalTask` → `TaskResult`."""

import asyncio
import contextvars
import importlib
import inspect
import json
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import structlog
from camunda.external_task.external_task import ExternalTask, TaskResult
from camunda.variables.variables import Variables

from worker.domain.handled import Completed, Failed, Handled, Raised, Thrown
from worker.domain.tasks import Task, Variable
from worker.errors import Permanent
from worker.telemetry.logs import Event

Function = Callable[[ExternalTask], Any]

LONGEST_DETAILS: Final = 10_000
"""Characters of a trace; its end says most."""
_RETURNS: Final = "return what task.complete(), task.failure() or task.bpmn_error() returns"

log = structlog.get_logger()


def topics(entries: Iterable[str]) -> frozenset[str]:
    """Name the topics of such entries."""
    return frozenset(entry.partition("=")[0].strip() for entry in entries)


def load(entries: Iterable[str]) -> dict[str, Function]:
    """Import the functions of `topic=package.module:function`, by topic. Raises Permanent, a line for each mistake."""
    found: dict[str, Function] = {}
    mistakes: list[str] = []
    for entry in entries:
        topic, _, place = (each.strip() for each in entry.partition("="))
        try:
            found[topic] = _imported(place)
        except ValueError as exc:
            mistakes.append(f"HANDLERS: {entry}: {exc}")
    if mistakes:
        raise Permanent("\n".join(mistakes))
    return found


def _imported(place: str) -> Function:
    module, _, name = place.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:
        advice = (
            "is its folder in PYTHONPATH, or its package installed?" if isinstance(exc, ImportError) else "correct it"
        )
        raise ValueError(f"the module {module} cannot be imported: {type(exc).__name__}: {exc}; {advice}") from exc
    for part in name.split("."):
        found = getattr(found, part, None)
    if callable(found):
        function: Function = found
        return function
    raise ValueError(f"the module {module} has no function {name}")


class ClassicHandlers:
    """Implements `ports.handlers.Handlers`.

    `keep_slot` takes the slot of a turn that is given up while its function runs, and returns what gives it back.
    """

    def __init__(
        self, functions: Mapping[str, Function], worker_id: str, keep_slot: Callable[[], Callable[[], None]]
    ) -> None:
        self._functions = functions
        self._worker_id = worker_id
        self._keep_slot = keep_slot

    async def handle(self, task: Task, properties: Mapping[str, str]) -> Handled:
        """See `ports.handlers.Handlers.handle`."""
        function = self._functions[task.topic]
        given = ExternalTask(_context(task, properties, self._worker_id))
        name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__name__)}"
        try:
            if _is_async(function):
                returned = await function(given)
            else:
                returned = await self._in_thread(function, given)
                # Such as what a lambda returns that calls an async function.
                returned = await returned if inspect.isawaitable(returned) else returned
        except BaseException as exc:  # also SystemExit, which would end the worker
            current = asyncio.current_task()
            if isinstance(exc, asyncio.CancelledError) and current is not None and current.cancelling():
                raise
            return _raised(name, exc)
        return _outcome(name, returned)

    async def _in_thread(self, function: Function, given: ExternalTask) -> Any:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            returned, error = None, None
            try:
                returned = context.run(function, given)
            except BaseException as exc:  # noqa: BLE001 - told to whoever waits
                error = exc
            with suppress(RuntimeError):  # the loop may be closed by then
                loop.call_soon_threadsafe(done.set_result, (returned, error))

        # No pool's: those are waited for when Python ends, and one that hangs would keep the worker from stopping.
        threading.Thread(target=work, name=f"handler of {given.get_topic_name()}", daemon=True).start()
        try:
            returned, error = await asyncio.shield(done)
        except asyncio.CancelledError:
            # Else a task would be fetched for it, and wait here for a thread, away from other workers: however many
            # hang and are given up, no more threads run than slots.
            give_back = self._keep_slot()
            done.add_done_callback(lambda _: give_back())
            log.warning(Event.FUNCTION_GIVEN_UP, topic=given.get_topic_name())
            raise
        if error is not None:
            raise error
        return returned


def _is_async(function: Function) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 - whether it is async


def _context(task: Task, properties: Mapping[str, str], worker_id: str) -> dict[str, Any]:
    """Write a task as the engine's poll has it. Properties are not polled for, see `wire`."""
    return {
        "activityId": task.activity_id,
        "activityInstanceId": task.activity_instance,
        "businessKey": task.business_key,
        "createTime": task.created_at.isoformat(),
        "executionId": task.execution_id,
        "extensionProperties": dict(properties),
        "id": task.id,
        "processDefinitionId": task.process_definition_id,
        "processDefinitionKey": task.process_definition_key,
        "processInstanceId": task.process_instance_id,
        "retries": task.retries,
        "tenantId": task.tenant_id,
        "topicName": task.topic,
        "variables": {
            name: {"type": each.type, "value": each.value, "valueInfo": dict(each.info)}
            for name, each in task.variables.items()
        },
        "workerId": worker_id,
    }


def _raised(name: str, error: BaseException) -> Raised:
    trace = "".join(traceback.format_exception(error))
    return Raised(f"{name} raised {type(error).__name__}: {error}", trace[-LONGEST_DETAILS:], type(error).__name__)


def _outcome(name: str, returned: Any) -> Handled:
    """Read what a function returned; everything but a result of the library's is a mistake of the function's."""
    try:
        if not isinstance(returned, TaskResult):
            return _odd(name, f"returned {'nothing' if returned is None else f'a {type(returned).__name__}'}")
        if returned.is_success():
            return Completed(_variables(returned.global_variables), _variables(returned.local_variables))
        if returned.is_bpmn_error():
            message = str(returned.error_message or "")
            return Thrown(str(returned.bpmn_error_code), message, _variables(returned.global_variables))
        if returned.is_failure():
            return Failed(
                str(returned.error_message),
                str(returned.error_details or ""),
                max(0, int(returned.retries)),
                timedelta(milliseconds=max(0, int(returned.retry_timeout))),
            )
    except (ArithmeticError, AttributeError, TypeError, ValueError) as exc:
        return _odd(name, f"returned what cannot be told to the engine: {exc}")
    return _odd(name, "returned an empty result")


def _odd(name: str, what: str) -> Raised:
    return Raised(f"{name} {what}; {_RETURNS}", "", "odd_result")


def _variables(given: Any) -> dict[str, Variable]:
    """Read variables as the library takes them: values, or objects with `value` and `type`. Raises ValueError."""
    found = {}
    for name, each in Variables.format(given).items():
        try:
            json.dumps(each, allow_nan=False)
        except (TypeError, ValueError) as exc:
            raise ValueError(f"variable {name}: {exc}") from exc
        found[str(name)] = Variable(each["value"], each.get("type"), each.get("valueInfo") or {})
    return found
