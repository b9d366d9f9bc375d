"""The scripted answers to the sample processes are worked out from the turns before them, and add up."""

import json
import re
from collections.abc import AsyncIterator
from graphlib import TopologicalSorter
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from openai import AsyncOpenAI

from tests.contract.provider_client import ask, client_of
from tests.scripted import BPMN, REF, activities, asked, listed, number, start_variables, table
from worker.demo.model import ModelServer
from worker.domain.tasks import Variable

STEPS: Final = ("frame", "alternatives", "evaluate", "recommend")


@pytest.fixture
async def openai() -> AsyncIterator[AsyncOpenAI]:
    async with ModelServer() as server, client_of(server.base_url) as client:
        yield client


@pytest.fixture
async def conversation(openai: AsyncOpenAI) -> str:
    return (await openai.conversations.create()).id


def question(step: str, **changed: Any) -> str:
    """A step of the sample decision; `changed` replaces inputs."""
    return asked(activities("decision")[step], start_variables("decision", **changed))


async def said(client: AsyncOpenAI, conversation: str, *steps: str, **changed: Any) -> list[str]:
    """The answers to these steps, asked one after the other on one conversation."""
    return [(await ask(client, question(step, **changed), conversation=conversation)).output_text for step in steps]


async def test_each_step_speaks_of_what_the_steps_before_it_said(openai: AsyncOpenAI, conversation: str) -> None:
    frame, alternatives, evaluation, recommendation = await said(openai, conversation, *STEPS)
    objectives, names = listed(frame, "Objectives"), listed(alternatives, "Alternatives")
    assert len(objectives) == 6
    assert len(names) == 5
    assert ", ".join(objectives) in alternatives
    assert table(evaluation, "Consequences")[0][1:] == objectives
    assert [row[0] for row in table(evaluation, "Consequences")[1:]] == names
    best = table(evaluation, "Weighted sums")[2]
    assert f"**Recommendation**: {best[0]}, {best[-2]} points" in recommendation


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
    assert table(answers[2], "Weighted sums")[0] == ["", "Reach", "Cost", "Sum", "Rank"]


async def test_a_small_budget_leaves_alternatives_out(openai: AsyncOpenAI, conversation: str) -> None:
    answers = await said(openai, conversation, *STEPS, budget_usd=1_100_000)
    assert listed(answers[1], "Alternatives") == ["A Present state", "B Quadcopter pool", "E Provider on call"]
    assert "Left out: C Mixed fleet, costs more than **Budget**" in answers[1]
    assert "**Recommendation**: B Quadcopter pool" in answers[3]


async def test_the_recommendation_goes_by_the_budget_in_its_own_question(
    openai: AsyncOpenAI, conversation: str
) -> None:
    await said(openai, conversation, *STEPS[:3])
    (cheap,) = await said(openai, conversation, "recommend", budget_usd=900_000)
    assert "**Recommendation**: B Quadcopter pool" in cheap
    assert "C Mixed fleet has more points" in cheap
    (nothing,) = await said(openai, conversation, "recommend", budget_usd=0)
    assert "none; not one of the 4 that were ranked fits into 0 $" in nothing


async def test_nothing_is_recommended_where_nothing_fits_the_budget(openai: AsyncOpenAI, conversation: str) -> None:
    answers = await said(openai, conversation, *STEPS[:3])
    without_the_free_one = [
        re.sub(r"^(- \*\*|\| )A Present state.*\n", "", text, flags=re.MULTILINE) for text in answers
    ]
    items: Any = [{"role": "assistant", "content": text} for text in without_the_free_one]
    other = (await openai.conversations.create(items=items)).id
    (none,) = await said(openai, other, "recommend", budget_usd=1000)
    assert "none; not one of the 4 that were ranked fits into 1,000 $" in none


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
        assert 10 <= len([line for line in answer.splitlines() if line]) <= 45
        assert len(answer.replace("|", "").split()) <= 450
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


async def run(openai: AsyncOpenAI, process: str, **changed: Any) -> dict[str, str]:
    """The answers to all steps of a process by step, each on its assistant's conversation, results handed over."""
    variables = start_variables(process, **changed)
    conversations: dict[str, str] = {}
    answers: dict[str, str] = {}
    for step, activity in activities(process).items():
        assistant = activity.properties["service.name"]
        if assistant not in conversations:
            conversations[assistant] = (await openai.conversations.create()).id
        options: dict[str, Any] = {"text": {"format": {"type": "text"}}}
        if name := activity.properties.get("data.output.schema"):
            options["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": schema(process, name)}}
        response = await ask(openai, asked(activity, variables), conversation=conversations[assistant], **options)
        answers[step] = response.output_text
        variables[activity.properties["data.output"]] = Variable(response.output_text, "String")
    return answers


def schema(process: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((BPMN / process / name).read_text("utf-8"))
    return found


async def test_every_view_speaks_of_the_options_of_the_brief(openai: AsyncOpenAI) -> None:
    options = [{"name": "Contractor", "what": "somebody else"}, {"name": "Own centre", "what": "us"}]
    answers = await run(openai, "parallel_analysis", options=json.dumps(options))
    assert listed(answers["set_up"], "Options") == ["Contractor", "Own centre"]
    for step in ("judge_feasibility", "judge_business_case", "answer_risks"):
        assert sorted(listed(answers[step], "Ranking")) == ["Contractor", "Own centre"]
        assert "Shared centre" not in answers[step]
    assert [row[0] for row in table(answers["reconcile"], "With all conditions")[1:]] == ["Own centre", "Contractor"]


async def test_the_second_step_of_a_view_follows_from_its_first(openai: AsyncOpenAI) -> None:
    answers = await run(openai, "parallel_analysis")
    header, *rows = table(answers["examine_technology"], "Requirements")
    met = {name: [row[place] for row in rows].count("met") for place, name in enumerate(header) if name}
    ranking = listed(answers["judge_feasibility"], "Ranking")
    assert [met[name] for name in ranking] == sorted(met.values(), reverse=True)
    figures = {row[0]: [number(cell) for cell in row[1:]] for row in table(answers["estimate_money"], "Figures")[1:]}
    assert all(net == pytest.approx(spent + 10 * (cost - income)) for spent, cost, income, net in figures.values())
    assert listed(answers["judge_business_case"], "Ranking") == sorted(figures, key=lambda name: figures[name][-1])
    register = {row[0]: int(row[-1]) for row in table(answers["find_risks"], "Register")[1:]}
    for risk in listed(answers["answer_risks"], "Besides"):
        assert f"**{risk}**: {register[risk]} becomes" in answers["answer_risks"]


async def test_the_draw_between_the_first_two_options_is_where_it_is_said_to_be(openai: AsyncOpenAI) -> None:
    answers = await run(openai, "parallel_analysis")
    figures = {row[0]: [number(cell) for cell in row[1:]] for row in table(answers["estimate_money"], "Figures")[1:]}
    change = re.search(
        r"(\w[\w ]+) draws level with (.+) if all income is ([\d.]+) % higher", answers["judge_business_case"]
    )
    assert change
    nets = [figures[name][-1] - 10 * figures[name][2] * float(change[3]) / 100 for name in change.group(1, 2)]
    assert nets[0] == pytest.approx(nets[1], abs=0.05)


async def test_the_synthesis_is_made_of_what_the_views_answered(openai: AsyncOpenAI) -> None:
    answers = await run(openai, "parallel_analysis")
    views = [answers[step] for step in ("judge_feasibility", "judge_business_case", "answer_risks")]
    synthesis = answers["reconcile"]
    rankings = [listed(view, "Ranking") for view in views]
    assert [row[1:3] for row in table(synthesis, "Conflicts")[1:]] == [[ranks[0], ranks[-1]] for ranks in rankings]
    figures = {row[0]: [number(cell) for cell in row[1:]] for row in table(answers["estimate_money"], "Figures")[1:]}
    for name, *conditions, investment, net, _ in table(synthesis, "With all conditions")[1:]:
        for view, condition in zip(views, conditions, strict=True):
            assert f"- **{name}**: {condition}" in view.partition("## Conditions")[2]
        price = sum(number(condition) for condition in conditions)
        assert number(investment) == pytest.approx(figures[name][0] + price)
        assert number(net) == pytest.approx(figures[name][-1] + price)


async def test_a_synthesis_without_the_views_says_whose_answer_is_missing(
    openai: AsyncOpenAI, conversation: str
) -> None:
    verdict = Variable("## Ranking\n- **Own centre**: good\n", "String")
    text = asked(activities("parallel_analysis")["reconcile"], {"technical_verdict": verdict})
    answer = (await ask(openai, text, conversation=conversation)).output_text
    assert "No ranking from Business and Risk reached me" in answer


@pytest.mark.parametrize(("budget", "best"), [(8_500_000, "Shared centre"), (9_000_000, "Own centre")])
async def test_the_recommended_course_is_the_cheapest_that_the_budget_pays_for(
    openai: AsyncOpenAI, budget: int, best: str
) -> None:
    answers = await run(openai, "parallel_analysis", budget_eur=budget)
    assert f"**Recommendation**: {best}," in answers["recommend_course"]
    money = {row[0]: number(row[1]) for row in table(answers["recommend_course"], "Money")[1:]}
    assert money["Investment with all conditions"] + money["Reserve"] == pytest.approx(money["Budget"])
    assert f"Recommendation: {best}" in answers["write_white_paper"]
    assert "For the supervisory board" in answers["write_white_paper"]


STRUCTURED: Final = ("raise_issues", "sort_issues", "build_hierarchy", "diagram_influences", "write_frame")


async def test_the_structured_answers_of_the_frame_fit_their_schemas_and_say_something(openai: AsyncOpenAI) -> None:
    answers = await run(openai, "decision_frame")
    for step in STRUCTURED:
        name = activities("decision_frame")[step].properties["data.output.schema"]
        Draft202012Validator(schema("decision_frame", name)).validate(json.loads(answers[step]))
    frame = json.loads(answers["write_frame"])
    assert "for at most 64 M€" in frame["statement"]
    assert frame["decision_maker"] == "Town council"
    vision = json.loads(answers["state_vision"])  # JSON by the form that its question asks for, without a schema
    stakeholders = [row[0] for row in table(answers["map_stakeholders"], "Stakeholders")[1:]]
    assert [each["who"] for each in vision["success"]] == stakeholders
    assert len(stakeholders) == 6


async def test_issues_come_from_the_people_who_were_mapped_and_go_into_one_category_each(openai: AsyncOpenAI) -> None:
    people = [{"who": "Tenants", "role": "pay"}, {"who": "Town council", "role": "decides"}]
    answers = await run(openai, "decision_frame", people=json.dumps(people))
    issues = json.loads(answers["raise_issues"])["issues"]
    assert {issue["raised_by"] for issue in issues} == {"Tenants", "Town council"}
    categories = json.loads(answers["sort_issues"])
    sorted_ids = [each["issue"] for entries in categories.values() for each in entries]
    assert sorted(sorted_ids) == sorted(issue["id"] for issue in issues)


async def test_the_frame_keeps_the_decisions_and_uncertainties_of_the_steps_before(openai: AsyncOpenAI) -> None:
    answers = await run(openai, "decision_frame")
    categories, hierarchy, diagram, frame = (json.loads(answers[step]) for step in STRUCTURED[1:])
    decisions = {each["restated"] for each in categories["decisions"]}
    questions = [each["question"] for each in hierarchy["focus"]] + [each["decision"] for each in hierarchy["later"]]
    assert sorted(questions) == sorted(decisions)
    labels = {kind: [n["label"] for n in diagram["nodes"] if n["kind"] == kind] for kind in ("decision", "uncertainty")}
    assert labels["decision"] == [each["name"] for each in hierarchy["focus"]]
    assert labels["uncertainty"] == [each["name"] for each in frame["uncertainties"]]
    assert [each.partition(":")[0] for each in frame["focus"]] == labels["decision"]


async def test_the_influence_diagram_has_no_cycle_and_all_of_it_leads_to_the_value(openai: AsyncOpenAI) -> None:
    diagram = json.loads((await run(openai, "decision_frame"))["diagram_influences"])
    nodes = {node["id"] for node in diagram["nodes"]}
    arcs = [(arc["from"], arc["to"]) for arc in diagram["arcs"]]
    assert {end for arc in arcs for end in arc} == nodes
    before: dict[str, set[str]] = {node: {one for one, other in arcs if other == node} for node in nodes}
    assert list(TopologicalSorter(before).static_order())[-1] == "V"  # raises on a cycle
    assert {one for one, _ in arcs} == nodes - {"V"}


async def test_a_question_that_wants_json_is_answered_with_json_by_any_step(
    openai: AsyncOpenAI, conversation: str
) -> None:
    form = "## Form\n\nAnswer with one JSON value and nothing else."
    text = f"# Count sheep\n\nCount them.\n\n## Inputs\n\n### herd (Long)\n\n    7\n\n{form}\n\n(ref {REF})"
    answer = json.loads((await ask(openai, text, conversation=conversation)).output_text)
    assert "Inputs given: herd." in answer["answer"]
    wanted = {"type": "object", "properties": {"sheep": {"type": "string"}}, "required": ["sheep"]}
    response = await ask(
        openai,
        text,
        conversation=conversation,
        text={"format": {"type": "json_schema", "name": "answer", "schema": wanted}},
    )
    assert json.loads(response.output_text)["sheep"].startswith("I see 1 earlier turn")


@pytest.mark.parametrize("process", ["parallel_analysis", "decision_frame"])
async def test_the_same_process_gets_the_same_answers_of_readable_length(openai: AsyncOpenAI, process: str) -> None:
    answers = await run(openai, process)
    assert answers == await run(openai, process)
    for answer in answers.values():
        assert 50 <= len(answer.replace("|", "").split()) <= 500
        assert REF not in answer
        assert "scripted answer" not in answer
