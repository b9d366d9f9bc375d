"""The sample processes that make a decision's record, as the scripted model answers them, without an engine."""

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from tests.scripted import Instance, activities, asked
from worker.decisions import as_markdown, record
from worker.decisions.items import Item
from worker.decisions.record import Act, Record
from worker.demo.model import answers
from worker.domain.tasks import Activity, Variable

WAYS: Final = {
    "trade_study": (
        *("frame", "set_criteria", "describe", "weigh", "score", "compute", "score_again", "compute"),
        *("recommend", "propose"),
    ),
    "dadm": (
        *("frame", "objectives", "weigh", "alternatives", "assess", "synthesise", "uncertainty", "impact", "improve"),
        *("assess_again", "trade_offs", "recommend", "propose"),
    ),
    "red_team": ("compute", "attack", "fail", "propose"),
}
"""For each process its steps until somebody is asked to sign, in their order; those of persons have none."""
SAMPLES: Final = 2000


class Deciding(Instance):
    """An instance of such a process. `said` are the parts as they come, `record` is what was made of them last."""

    def __init__(self, process: str, **changed: Any) -> None:
        super().__init__(process, **changed)
        self.said: list[Item] = []
        self._given: set[str] = set()
        self.record: Record | None = None

    def take(self, activity: Activity) -> None:
        """Take one step."""
        if activity.is_record:
            self._make(activity)
        elif activity.loops:
            self._judge(activity)
        else:
            self._keep(activity, self.answer(activity))

    def _judge(self, activity: Activity) -> None:
        """Have each judge answer, none of whom knows what was said before."""
        for number, judge in enumerate(json.loads(self.variables["judges"].value)):
            own = self.variables.get(f"scores_{number}", Variable(None))
            text = answers.answer(
                asked(activity, self.variables | {"judge": Variable(f'"{judge}"'), "own_scores": own}), []
            )
            self.answers[f"{activity.id} {judge}"] = text
            self._keep(activity, text, judge)
            self.variables[f"{activity.said('data.output')}_{number}"] = Variable(text, "Json")

    def _keep(self, activity: Activity, text: str, judge: str = "") -> None:
        at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=len(self.said))
        source = {"of": "turn", "at": at.isoformat(), "task": activity.id}
        if part := activity.said("record.part"):
            self.said.append(Item(part, json.loads(text), source, judge))

    def _take_given(self, activity: Activity) -> None:
        """Take parts that variables hold from the start."""
        for entry in filter(None, activity.said("record.given").split(",")):
            part, _, variable = (each.strip() for each in entry.partition("="))
            if part not in self._given:
                source = {"of": "variable", "at": datetime(2026, 2, 1, tzinfo=UTC).isoformat(), "variable": variable}
                judge = variable if part == "scores" else ""
                self.said.append(Item(part, json.loads(self.variables[variable].value), source, judge))
                self._given.add(part)

    def _make(self, activity: Activity) -> None:
        self._take_given(activity)
        output = activity.said("data.output")
        stage = "computed" if activity.said("record.stage") == "compute" else "proposed"
        self.record = record.build("r", self.said, stage, before=self.record, samples=SAMPLES)  # type: ignore[arg-type]  # a literal
        self.variables[output] = Variable(json.dumps(self.record["content"]["computed"]), "Json")
        self.variables[f"{output}_text"] = Variable(as_markdown.words(self.record), "String")


def decided(process: str, **changed: Any) -> Deciding:
    """Take every step until somebody is asked to sign; `changed` replaces values of the sample."""
    instance = Deciding(process, **changed)
    for step in WAYS[process]:
        instance.take(activities(process)[step])
    return instance


def results(process: str) -> dict[str, str | None]:
    """The results of a sample whose decision was signed."""
    made = sample(process).record
    assert made is not None
    closed = record.close(made, [Act(accepted=True, answer="", shown_sha256=made["content_sha256"])])
    return {"decision": json.dumps(closed["decision"]), "decision_text": as_markdown.words(closed)}


@cache
def sample(process: str) -> Deciding:
    """The same for the sample as it is."""
    return decided(process)
