"""The application `procurement`: called processes that share the caller's conversation, and called ones that do not."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.flow.rig import Rig

BPMN = Path(__file__).parents[2] / "bpmn"
FOLDER = BPMN / "procurement"
SHARED = ["Set the criteria", "Compare the offers", "Find the points", "Write the brief", "Propose the award"]
REVIEW = ["Check the offer", "Rate the supplier"]


@dataclass(frozen=True, slots=True)
class Procurement:
    """A procurement that is over, with the instances that it called, by process key."""

    rig: Rig
    instance: str
    called: dict[str, list[str]]

    def titles(self) -> list[list[str]]:
        """The headings of the questions on each conversation."""
        return [[_title(question) for question in self.rig.questions(thread)] for thread in self.threads()]

    def threads(self) -> list[str]:
        """The provider's ids of all conversations."""
        return list(self.rig.provider.counts()["turns"])

    def question(self, title: str) -> str:
        """The only question with this heading."""
        [found] = [question for question in self.rig.questions() if _title(question) == title]
        return found

    async def variables(self, key: str = "") -> list[dict[str, Any]]:
        """The variables of the called instances of a process, or of the calling one."""
        instances = self.called[key] if key else [self.instance]
        return [await self.rig.rest.variables(instance) for instance in instances]


def _title(question: str) -> str:
    return question.partition("\n")[0].removeprefix("# ")


def _flat(text: str) -> str:
    """Without the indentation that inputs have in a question."""
    return " ".join(text.split())


@pytest.fixture
async def procurement(rig: Rig) -> Procurement:
    """The sample, run to its end by the real assistants."""
    rig.folder = BPMN / "assistants"
    await rig.rest.deploy(*sorted(FOLDER.glob("*.bpmn")))
    await rig.start_worker(topics="procurement")
    instance = await rig.rest.start("procurement", json.loads((FOLDER / "procurement.json").read_text("utf-8")))
    await rig.rest.wait_for_end(instance, 60)
    rows = await rig.rest.get("history/process-instance", superProcessInstanceId=instance)
    called: dict[str, list[str]] = {}
    for row in rows:
        called.setdefault(row["processDefinitionKey"], []).append(row["id"])
    return Procurement(rig, instance, called)


async def test_a_called_process_that_shares_goes_on_with_the_conversation_of_its_caller(
    procurement: Procurement,
) -> None:
    assert sorted(procurement.titles(), key=len) == [REVIEW, REVIEW, SHARED]
    assert {key: len(called) for key, called in procurement.called.items()} == {"supplier_review": 2, "negotiation": 1}
    [parent], [child] = await procurement.variables(), await procurement.variables("negotiation")
    threads = {
        json.loads(parent[f"{output}_meta"])["thread"] for output in ("criteria", "comparison", "award_proposal")
    }
    threads |= {json.loads(child[f"{output}_meta"])["thread"] for output in ("negotiation_points", "negotiation_brief")}
    assert len(threads) == 1
    assert "criteria" not in child, "the conversation knows them; nobody handed them over"


async def test_a_called_process_that_does_not_share_knows_what_was_handed_over_and_no_more(
    procurement: Procurement,
) -> None:
    conversations = [procurement.rig.questions(thread) for thread in procurement.threads()]
    reviews = [" ".join(asked) for asked in conversations if _title(asked[-1]) == "Rate the supplier"]

    assert len(reviews) == 2
    suppliers = ("Kestrel Charging", "Brightline Systems")
    assert sorted([name in asked for name in suppliers] for asked in reviews) == [[False, True], [True, False]]
    assert all("1550000" not in asked for asked in reviews), "the estimate is the buyer's secret"
    assert "1550000" in procurement.question("Propose the award")


async def test_the_result_of_a_called_process_is_what_the_next_step_is_asked_about(procurement: Procurement) -> None:
    [parent] = await procurement.variables()
    reviews = [child["review"] for child in await procurement.variables("supplier_review")]
    [negotiation] = await procurement.variables("negotiation")

    assert sorted([parent["review_a"], parent["review_b"]]) == sorted(reviews)
    asked = _flat(procurement.question("Compare the offers"))
    assert "Kestrel Charging" in parent["review_a"]
    assert all(_flat(review) in asked for review in reviews)
    assert parent["negotiation_brief"] == negotiation["negotiation_brief"]
    assert "Brightline Systems for 1,615,000 EUR, 65,000 EUR above the estimate" in parent["award_proposal"]
