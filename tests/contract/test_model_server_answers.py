"""The scripted answers to the sample decision are worked out from the turns before them, and add up."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from openai import AsyncOpenAI

from tests.contract.provider_client import ask, client_of
from worker import prompt, properties
from worker.dev.model import ModelServer
from worker.domain import Activity, Question, Task, Variable
from worker.engine import definitions

BPMN: Final = Path(__file__).parents[2] / "bpmn"
STEPS: Final = ("frame", "alternatives", "evaluate", "recommend")
REF: Final = "0123456789ab"


@pytest.fixture
async def openai() -> AsyncIterator[AsyncOpenAI]:
    async with ModelServer() as server, client_of(server.base_url) as client:
        yield client


@pytest.fixture
async def conversation(openai: AsyncOpenAI) -> str:
    return (await openai.conversations.create()).id


def question(step: str, **changed: Any) -> str:
    """A step of the sample decision as the worker asks it; `changed` replaces inputs."""
    activity = definitions.read("decision:1:x", (BPMN / "decision.bpmn").read_text("utf-8")).activities[step]
    inputs = json.loads((BPMN / "decision.json").read_text("utf-8"))
    variables = {name: Variable(changed.get(name, each["value"]), each["type"]) for name, each in inputs.items()}
    task = task_of(activity, variables)
    return Question(prompt.text(task, activity, properties.read(task, activity)), REF).with_ref


def task_of(activity: Activity, variables: dict[str, Variable]) -> Task:
    return Task(
        "task-1", activity.topic, activity.id, "instance-1", "decision:1:x", "decision", "execution-1",
        datetime.now(UTC), 0.0, properties=activity.properties, variables=variables,
    )  # fmt: skip


async def said(client: AsyncOpenAI, conversation: str, *steps: str, **changed: Any) -> list[str]:
    """The answers to these steps, asked one after the other on one conversation."""
    return [(await ask(client, question(step, **changed), conversation=conversation)).output_text for step in steps]


def listed(answer: str, heading: str) -> list[str]:
    """The names in the list under a heading."""
    section = answer.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^- \*\*(.+?)\*\*", section, re.MULTILINE)


def table(answer: str, heading: str) -> list[list[str]]:
    section = answer.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def money(text: str) -> int:
    return int(re.sub(r"\D", "", text))


async def test_each_step_speaks_of_what_the_steps_before_it_said(openai: AsyncOpenAI, conversation: str) -> None:
    frame, alternatives, evaluation, recommendation = await said(openai, conversation, *STEPS)
    objectives, names = listed(frame, "Objectives"), listed(alternatives, "Alternatives")
    assert len(objectives) == 6
    assert len(names) == 5
    assert ", ".join(objectives) in alternatives
    assert table(evaluation, "Consequences")[0][1:] == objectives
    assert [row[0] for row in table(evaluation, "Consequences")[1:]] == names
    best = table(evaluation, "Weighted sums")[2]
    assert f"**Recommendation**: {best[0]}, {best[-1]} points" in recommendation


async def test_the_frame_is_made_of_the_inputs(openai: AsyncOpenAI, conversation: str) -> None:
    needs = [{"name": "Thermal camera", "need": "see a fox", "must": False}]
    (frame,) = await said(openai, conversation, "frame", requirements=json.dumps(needs), budget_usd=123_456)
    assert listed(frame, "Objectives") == ["Night search", "Cost"]
    assert "see a fox" in frame
    assert "at most 123,456 $" in frame


async def test_fewer_objectives_in_the_frame_make_a_smaller_evaluation(openai: AsyncOpenAI, conversation: str) -> None:
    needs = [{"name": "Reach", "need": "everywhere"}]
    answers = await said(openai, conversation, *STEPS, requirements=json.dumps(needs))
    assert "2 objectives (Reach, Cost)" in answers[1]
    assert table(answers[2], "Weighted sums")[0] == ["", "Reach", "Cost", "Sum"]


async def test_a_small_budget_leaves_alternatives_out(openai: AsyncOpenAI, conversation: str) -> None:
    answers = await said(openai, conversation, *STEPS, budget_usd=1_100_000)
    assert listed(answers[1], "Alternatives") == ["A Present state", "B Quadcopter pool", "E Provider on call"]
    assert "Left out: C Mixed fleet, costs more than **Budget**" in answers[1]
    assert "**Recommendation**: B Quadcopter pool" in answers[3]


async def test_the_weighted_sums_add_up(openai: AsyncOpenAI, conversation: str) -> None:
    evaluation = (await said(openai, conversation, *STEPS[:3]))[2]
    _, (_, *weights, hundred), *rows = table(evaluation, "Weighted sums")
    assert sum(map(int, weights)) == int(hundred) == 100
    for _, *scores, total in rows:
        assert float(total) == sum(int(w) * int(s) for w, s in zip(weights, scores, strict=True)) / 100
    totals = [float(row[-1]) for row in rows]
    assert totals == sorted(totals, reverse=True)


async def test_the_scores_follow_from_the_consequences(openai: AsyncOpenAI, conversation: str) -> None:
    evaluation = (await said(openai, conversation, *STEPS[:3]))[2]
    reach = {row[0]: float(row[2]) for row in table(evaluation, "Consequences")[1:]}
    lowest, highest = min(reach.values()), max(reach.values())
    for name, _, score, *_ in table(evaluation, "Weighted sums")[2:]:
        assert int(score) == round(100 * (reach[name] - lowest) / (highest - lowest))


async def test_the_first_two_draw_level_at_the_weight_that_is_named(openai: AsyncOpenAI, conversation: str) -> None:
    evaluation = (await said(openai, conversation, *STEPS[:3]))[2]
    change = re.search(r"If the weight of (.+) went from (\d+) to ([\d.]+)", evaluation)
    assert change
    header, weighting, first, second, *_ = table(evaluation, "Weighted sums")
    weights = dict(zip(header[1:-1], map(int, weighting[1:-1]), strict=True))
    new = float(change[3])
    rest = (100 - new) / (100 - weights[change[1]])
    changed = [new if name == change[1] else weight * rest for name, weight in weights.items()]
    sums = [sum(w * int(s) for w, s in zip(changed, row[1:-1], strict=True)) / 100 for row in (first, second)]
    assert sums[0] == pytest.approx(sums[1], abs=0.1)


async def test_the_money_adds_up_to_the_budget(openai: AsyncOpenAI, conversation: str) -> None:
    recommendation = (await said(openai, conversation, *STEPS))[3]
    rows = {row[0]: money(row[2]) for row in table(recommendation, "Budget")[1:]}
    total, reserve, budget = (rows.pop(f"**{name}**") for name in ("Total", "Reserve", "Budget"))
    assert sum(rows.values()) == total
    equipment = sum(rows[item] for item in ("Talvo M3", "Orrin V60", "Bruma C8"))
    assert rows["operation, 12 % of the equipment a year"] == equipment * 36 // 100  # for three years
    assert total + reserve == budget == 2_000_000


async def test_the_recommendation_goes_by_the_budget_in_its_own_question(
    openai: AsyncOpenAI, conversation: str
) -> None:
    await said(openai, conversation, *STEPS[:3])
    (cheap,) = await said(openai, conversation, "recommend", budget_usd=900_000)
    assert "**Recommendation**: B Quadcopter pool" in cheap
    assert "C Mixed fleet has more points" in cheap
    (nothing,) = await said(openai, conversation, "recommend", budget_usd=0)
    assert "**Recommendation**: A Present state" in nothing


async def test_nothing_is_recommended_where_nothing_fits_the_budget(openai: AsyncOpenAI, conversation: str) -> None:
    answers = await said(openai, conversation, *STEPS[:3])
    without_the_free_one = [
        re.sub(r"^(- \*\*|\| )A Present state.*\n", "", text, flags=re.MULTILINE) for text in answers
    ]
    items: Any = [{"role": "assistant", "content": text} for text in without_the_free_one]
    other = (await openai.conversations.create(items=items)).id
    (none,) = await said(openai, other, "recommend", budget_usd=1000)
    assert "none; not one of the 4 alternatives fits into 1,000 $" in none


@pytest.mark.parametrize(
    ("before", "step", "missing"),
    [
        ([], "alternatives", "No frame was given in this conversation"),
        ([], "evaluate", "No frame was given in this conversation"),
        (["frame"], "evaluate", "No list of alternatives was given in this conversation"),
        (["frame", "alternatives"], "recommend", "No evaluation was given in this conversation"),
    ],
)
async def test_a_step_without_what_it_builds_on_says_so(
    openai: AsyncOpenAI, conversation: str, before: list[str], step: str, missing: str
) -> None:
    assert missing in (await said(openai, conversation, *before, step))[-1]


async def test_what_other_conversations_said_is_not_known(openai: AsyncOpenAI, conversation: str) -> None:
    await said(openai, conversation, *STEPS)
    other = (await openai.conversations.create()).id
    assert "No frame was given" in (await said(openai, other, "alternatives"))[0]


async def test_the_answers_can_be_read_on_one_page_and_repeat_no_ref(openai: AsyncOpenAI, conversation: str) -> None:
    for answer in await said(openai, conversation, *STEPS):
        assert 10 <= len([line for line in answer.splitlines() if line]) <= 35
        assert len(answer.split()) <= 450
        assert REF not in answer


async def test_any_other_question_is_told_what_the_conversation_holds(openai: AsyncOpenAI, conversation: str) -> None:
    first = (
        f"# Count sheep\n\nCount them.\n\n## Inputs\n\n### herd (Long)\n\n    7\n\n### dog\n\n    Rex\n\n(ref {REF})"
    )
    answer = (await ask(openai, first, conversation=conversation)).output_text
    assert "I see 0 earlier turns in this conversation." in answer
    assert "“Count sheep”" in answer
    assert "Inputs given: herd, dog." in answer
    answer = (await ask(openai, f"Again\n\n(ref {REF})", conversation=conversation)).output_text
    assert "I see 1 earlier turn in this conversation; the last one asked: “# Count sheep Count them." in answer
    assert REF not in answer


async def test_the_same_conversation_gets_the_same_answers(openai: AsyncOpenAI) -> None:
    twice = [await said(openai, (await openai.conversations.create()).id, *STEPS) for _ in range(2)]
    assert twice[0] == twice[1]
