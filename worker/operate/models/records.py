"""What is wrong with a task that makes a decision's record, as far as its model shows it. Pure."""

from collections.abc import Iterable, Iterator

from worker.decisions import schemas
from worker.domain.tasks import Activity, Definition
from worker.modelling import properties
from worker.modelling.properties import RecordProperties
from worker.operate.models import tasks
from worker.operate.models.rules import DEPLOY, Fault, Rule


def faults(activity: Activity, definition: Definition, family: Iterable[Definition]) -> Iterator[Fault]:
    """Name everything that is wrong with the task. `family` are the definitions whose answers it may gather."""
    yield from of_topic(activity, definition, "decision records")
    wanted, wrong = tasks.wishes(properties.read_record, activity)
    yield from wrong
    if wanted is not None:
        yield from _of_parts(wanted, [each for one in family for each in one.activities.values()])
        if wanted.stage == "propose" and not _is_closed(wanted, definition):
            said = "nothing closes what it proposes: no task has record.stage=close, so that a signature counts nowhere"
            yield Fault(Rule.RECORD_OPEN, said, DEPLOY, "record.stage")
    yield from tasks.odd_properties(activity)
    yield from tasks.without_async_after(activity)


def of_topic(activity: Activity, definition: Definition, what: str) -> Iterator[Fault]:
    """Name a task that asks no assistant on a topic of tasks that do. `what` older workers do not know."""
    others = definition.activities.values()
    if any(each.is_for_assistant and each.topic == activity.topic for each in others):
        said = (
            f"its topic {activity.topic} is that of tasks for assistants, too: workers from before {what} would leave "
            "all of them alone"
        )
        yield Fault(Rule.RECORD_TOPIC, said, f"Give it a topic of its own. {DEPLOY}")


def _of_parts(wanted: RecordProperties, activities: Iterable[Activity]) -> Iterator[Fault]:
    known = {
        each.said("record.part")
        for each in activities
        if each.is_for_assistant and each.said("record.id") == wanted.name
    }
    needed = schemas.REQUIRED[properties.STATUS[wanted.stage]]
    missing = [each for each in needed if each not in known and each not in wanted.given]
    if missing:
        said = f"no task has record.part={missing[0]}" + (f", nor {', '.join(missing[1:])}" if missing[1:] else "")
        text = f"{said}, which record.stage={wanted.stage} needs; an incident then"
        yield Fault(Rule.RECORD_PARTS, text, DEPLOY, "record.stage")


def _is_closed(wanted: RecordProperties, definition: Definition) -> bool:
    return any(
        each.is_record and each.said("record.stage") == "close" and each.said("record.id") == wanted.name
        for each in definition.activities.values()
    )
