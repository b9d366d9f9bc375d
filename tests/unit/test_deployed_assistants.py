"""Assistants whose specs are deployed with a process: their names, what they may ask, and how they are read."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from worker.domain.deployed import Allowed, allowed, file_of, named
from worker.domain.providers import ProviderSpec
from worker.domain.tasks import Activity, Variable, thread_variable_name
from worker.errors import BadDefinition, Permanent
from worker.modelling import properties
from worker.operate.models.tasks import as_fetched
from worker.specs.deployed import KEPT, LONGEST, Deployed

SPEC = """\
---
name: analyst
version: "1"
model: gpt-5-mini
max_output_tokens: 500
---
You weigh offers.
"""
ALLOWED = allowed("openai/gpt-5-mini=1000, local/llama3:8b=200")
NAME = "deployment:offers:analyst"
PROVIDERS = {"openai": ProviderSpec(), "local": ProviderSpec("local", api="chat", base_url="http://localhost:1")}


class Deployment:
    """Files of one deployment, and which of them were asked for."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files
        self.asked: list[tuple[str, str]] = []

    async def resource(self, definition_id: str, name: str) -> str:
        self.asked.append((definition_id, name))
        if name not in self.files:
            raise BadDefinition(f"the deployment of {definition_id} has no resource {name!r}")
        return self.files[name]


def finding(files: Mapping[str, str], bound: Allowed = ALLOWED) -> tuple[Deployed, Deployment]:
    deployment = Deployment(files)
    return Deployed(deployment.resource, bound, PROVIDERS), deployment


def test_the_process_is_part_of_the_name_and_no_assistant_of_the_house_is_called_so() -> None:
    assert named("deployment:analyst.md", "offers") == NAME
    assert file_of(NAME) == file_of("deployment:analyst.md") == "analyst.md"
    assert named("deployment:analyst.md", "tenders") != NAME
    for other in ("analyst", "deployment:analyst", "deployment:../analyst.md", "deployment:a:b.md", "deployment:.md"):
        assert named(other, "offers") is None


@pytest.mark.parametrize(
    "said",
    [
        *("on", "openai", "openai/gpt-5-mini", "openai/x=0", "openai/x=y", ",", "a/b=1,a/b=2"),
        *("a/b=1 process=", "a/b=1 tenant=t process=p", "a/b=1 key=p", "a/b process=p=1", "process=p"),
        "a/b=1 process=p tenant=t, a/b=2 process=p tenant=t",
    ],
)
def test_what_the_setting_cannot_mean_is_refused(said: str) -> None:
    with pytest.raises(Permanent):
        allowed(said)


async def test_a_spec_is_read_once_for_each_definition_with_the_schema_beside_it() -> None:
    text = SPEC.replace("max_output", "output_schema: answer.json\nmax_output")
    deployed, deployment = finding({"analyst.md": text, "answer.json": '{"type": "object"}'})
    found = await deployed.find(NAME, "offers:1:a", None)

    assert await deployed.find(NAME, "offers:1:a", None) is found
    assert (found.name, found.version, found.output_schema) == (NAME, "1", {"type": "object"})
    assert deployment.asked == [("offers:1:a", "analyst.md"), ("offers:1:a", "answer.json")]
    await deployed.find(NAME, "offers:2:b", None)
    assert deployment.asked[2:] == [("offers:2:b", "analyst.md"), ("offers:2:b", "answer.json")]


async def test_one_has_no_files_to_look_things_up_in() -> None:
    deployed, _ = finding(
        {"analyst.md": SPEC.replace("max_output", "files: [prices.csv]\nmax_output"), "prices.csv": "a"}
    )
    with pytest.raises(BadDefinition, match=r"files: 'prices\.csv' cannot be named here: assistants that come with"):
        await deployed.find(NAME, "offers:1:a", None)


async def test_a_schema_of_its_own_has_the_same_bound() -> None:
    text = SPEC.replace("max_output", "output_schema: answer.json\nmax_output")
    deployed, _ = finding({"analyst.md": text, "answer.json": " " * (LONGEST + 1)})
    with pytest.raises(BadDefinition, match=r"'answer\.json' of the deployment has more than"):
        await deployed.find(NAME, "offers:1:a", None)


def test_the_variable_with_its_thread_comes_with_the_poll() -> None:
    said = {"service.type": "assistant", "service.name": "deployment:analyst.md", "data.input": "offer"}
    needs = Activity("review", "Review", "offers", properties=said, process="offers").needs
    assert needs is not None
    assert {"offer", thread_variable_name(NAME)} <= needs


@pytest.mark.parametrize("shared", [False, True])
def test_names_that_differ_only_in_what_no_variable_has_are_variables_of_their_own(shared: bool) -> None:
    twins = [("p", "a.b"), ("p", "a-b"), ("p", "a_b"), ("a_b", "c"), ("a", "b_c")]
    names = [f"deployment:{process}:{name}" for process, name in twins]
    variables = {thread_variable_name(each, by_business_key=shared) for each in names}
    assert len(variables) == len(names)
    assert all(each.isidentifier() for each in variables)
    assert thread_variable_name("deployment:p:a.b") == "assistant_thread_deployment_p_a_b_d6c1b2fd"


@pytest.mark.parametrize(("letter", "room"), [("p", 1), ("\U00020000", 2)])
def test_a_name_as_long_as_its_variable_can_be_is_taken_and_no_longer_one(letter: str, room: int) -> None:
    def read(process: str) -> str:
        said = {"service.type": "assistant", "service.name": "deployment:analyst.md"}
        activity = Activity("a", "A", "t", properties=said, process=process)
        return properties.read(as_fetched(activity), activity).assistant

    most = (255 - len("assistant_thread_deployment__analyst_01234567_by_business_key")) // room
    assert read(letter * most) == f"deployment:{letter * most}:analyst"
    with pytest.raises(BadDefinition, match="too long"):
        read(letter * (most + 1))


def test_an_input_parameter_and_earlier_answers_may_name_it_as_well() -> None:
    said = {
        "service.type": "assistant",
        "data.input.answers": "deployment:critic.md, analyst",
        "data.questions": '[{"name": "fits", "type": "predicate", "instructions": "Does it fit?"}]',
    }
    activity = Activity("a", "A", "t", properties=said, parameters=frozenset({"assistant"}), process="offers")
    task = replace(as_fetched(activity), variables={"assistant": Variable("deployment:analyst.md", "String")})
    wanted = properties.read(task, activity)
    assert (wanted.assistant, wanted.heard) == (NAME, ("deployment:offers:critic", "analyst"))
    with pytest.raises(BadDefinition, match=r"property data\.input\.answers is 'deployment:critic'"):
        properties.read(task, replace(activity, properties={**said, "data.input.answers": "deployment:critic"}))


def test_names_that_are_together_too_long_for_a_variables_name_are_refused() -> None:
    said = {"service.type": "assistant", "service.name": f"deployment:{'a' * 64}.md"}
    activity = Activity("a", "A", "t", properties=said, process="p" * 255)
    with pytest.raises(BadDefinition, match=r"property service\.name: .* too long"):
        properties.read(as_fetched(activity), activity)


async def test_so_many_are_remembered_at_most() -> None:
    deployed, deployment = finding({"analyst.md": SPEC})
    for number in [*range(KEPT + 1), KEPT, 0]:
        await deployed.find(NAME, f"offers:{number}:a", None)
    assert len(deployment.asked) == KEPT + 2, "the last is known still, the first is not"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("gpt-5-mini", "gpt-5"),
            "openai/gpt-5, which DEPLOYED_ASSISTANTS does not allow; allowed are openai/gpt-5-mini",
        ),
        (("max_output_tokens: 500\n", ""), "max_output_tokens is missing; DEPLOYED_ASSISTANTS allows .* up to 1000"),
        ((": 500", ": 5000"), "max_output_tokens is 5000; DEPLOYED_ASSISTANTS allows openai/gpt-5-mini up to 1000"),
        (("max_out", "fallback: [local/llama3:8b]\nmax_out"), "allows local/llama3:8b up to 200"),
        (("max_out", "fallback: [local/other]\nmax_out"), "asks local/other, which"),
        (("max_out", "provider: nobody\nmax_out"), "line 5: provider: 'nobody' is unknown"),
        (("max_out", "tools: [shell]\nmax_out"), "line 5: tools: is no part of a spec"),
        (("name: analyst", "name: critic"), "line 2: name: is 'critic', but 'analyst' in the name of the file"),
        (("max_out", "output_schema: ../x.json\nmax_out"), "has no resource '../x.json'"),
        (("You weigh", "You weigh" * LONGEST), f"has more than {LONGEST} characters"),
        (("---\nname", "name"), "has no front matter"),
    ],
)
async def test_a_spec_that_is_wrong_or_asks_for_more_than_is_allowed_is_the_models_mistake(
    change: tuple[str, str], said: str
) -> None:
    deployed, _ = finding({"analyst.md": SPEC.replace(*change)})
    with pytest.raises(BadDefinition, match=said) as caught:
        await deployed.find(NAME, "offers:1:a", None)
    assert str(caught.value).startswith("property service.name: ")


async def test_where_none_is_allowed_no_file_is_asked_for() -> None:
    deployed, deployment = finding({"analyst.md": SPEC}, allowed("off"))
    with pytest.raises(BadDefinition, match="DEPLOYED_ASSISTANTS is off"):
        await deployed.find(NAME, "offers:1:a", None)
    assert deployment.asked == []


BOUND = allowed(
    "openai/gpt-5-mini=500 process=offers, openai/gpt-5-mini=400 tenant=acme, openai/gpt-5-mini=600 process=tenders "
    "tenant=acme, openai/gpt-5-mini=450 process=hiring tenant=-"
)


@pytest.mark.parametrize(
    ("process", "tenant", "most"),
    [
        ("offers", None, 500),
        ("offers", "other", 500),
        ("offers", "acme", 500),
        ("tenders", "acme", 600),
        ("hiring", None, 450),
        ("hiring", "acme", 400),
        ("anything", "acme", 400),
    ],
)
async def test_of_what_is_allowed_to_its_process_and_tenant_the_most_counts(
    process: str, tenant: str | None, most: int
) -> None:
    name = f"deployment:{process}:analyst"
    fitting, _ = finding({"analyst.md": SPEC.replace(": 500", f": {most}")}, BOUND)
    longer, _ = finding({"analyst.md": SPEC.replace(": 500", f": {most + 1}")}, BOUND)

    assert (await fitting.find(name, "x:1:a", tenant)).max_output_tokens == most
    with pytest.raises(BadDefinition, match=rf"allows openai/gpt-5-mini up to {most}$"):
        await longer.find(name, "x:1:a", tenant)


@pytest.mark.parametrize(
    ("process", "tenant", "said"),
    [
        ("tenders", None, "process tenders without a tenant"),
        ("tenders", "other", "process tenders of tenant other"),
        ("hiring", "other", "process hiring of tenant other"),
    ],
)
async def test_where_nothing_is_allowed_to_its_process_and_tenant_no_file_is_asked_for(
    process: str, tenant: str | None, said: str
) -> None:
    deployed, deployment = finding({"analyst.md": SPEC}, BOUND)
    with pytest.raises(BadDefinition, match=f"DEPLOYED_ASSISTANTS allows nothing to assistants that come with {said}"):
        await deployed.find(f"deployment:{process}:analyst", "x:1:a", tenant)
    assert deployment.asked == []


async def test_what_is_known_of_a_spec_is_not_what_another_tenant_may_ask() -> None:
    deployed, _ = finding({"analyst.md": SPEC.replace(": 500", ": 400")}, BOUND)
    await deployed.find("deployment:tenders:analyst", "tenders:1:a", "acme")
    with pytest.raises(BadDefinition, match="of tenant other"):
        await deployed.find("deployment:tenders:analyst", "tenders:1:a", "other")
