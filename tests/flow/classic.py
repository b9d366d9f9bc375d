"""Functions as people write them for camunda-external-task-client-python3; the first is its README's, word for word."""

import threading
import time

from camunda.external_task.external_task import ExternalTask, TaskResult


def handle_task(task: ExternalTask) -> TaskResult:
    """
    This task handler you need to implement with your business logic.
    After completion of business logic call either task.complete() or task.failure() or task.bpmn_error()
    to report status of task to Camunda
    """
    # add your business logic here
    # ...

    # mark task either complete/failure/bpmnError based on outcome of your business logic
    failure, bpmn_error = random_true(), random_true()  # this code simulate random failure
    if failure:
        # this marks task as failed in Camunda
        return task.failure(
            error_message="task failed", error_details="failed task details", max_retries=3, retry_timeout=5000
        )
    elif bpmn_error:  # noqa: RET505 - the README's
        return task.bpmn_error(
            error_code="BPMN_ERROR_CODE",
            error_message="BPMN Error occurred",
            variables={"var1": "value1", "success": False},
        )

    # pass any output variables you may want to send to Camunda as dictionary to complete()
    return task.complete({"var1": 1, "var2": "value"})


def random_true() -> bool:
    current_milli_time = int(round(time.time() * 1000))  # noqa: RUF046 - the README's
    return current_milli_time % 2 == 0


def score(task: ExternalTask) -> TaskResult:
    """Of its README as well, with what stands for `...` there."""
    # get the process variable 'score'
    score = task.get_variable("score")
    if int(score) >= 100:
        return task.complete({"passed": True})
    else:  # noqa: RET505 - the README's
        return task.failure("too low", f"it is {score}", max_retries=0, retry_timeout=0)


def echo(task: ExternalTask) -> TaskResult:
    """Answer with what is there."""
    said = {name: value for name, value in task.get_variables().items() if not name.endswith("_echo")}
    properties = {"greeting_echo": task.get_extension_property("echo.greeting")}
    return task.complete({f"{name}_echo": value for name, value in said.items()} | properties)


async def echo_async(task: ExternalTask) -> TaskResult:
    return echo(task)


def broken(task: ExternalTask) -> TaskResult:
    raise ValueError(f"no account for {task.get_business_key()}")


going_on = threading.Event()
hanging = threading.Semaphore(0)


def hang(task: ExternalTask) -> TaskResult:
    hanging.release()
    going_on.wait()
    return task.complete({"hung": True})
