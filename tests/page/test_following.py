"""What goes on at the engine, as the page's routes tell it: to whom it may be told, and what of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api.client import GUEST, OPERATOR, TOKENS, VIEWER, Api
from tests.page.site import Deployed, process, site
from tests.page.test_routes import asked
from tests.records import START, exchange, key
from worker.domain.processes import Incident, Result, Step

NEW = process("instance-new", business_key="Order/7_b", definition_key="drones")
NORTH = process("instance-north", tenant="north")
FAILED = Incident("instance-a", "frame", "the key is refused")


def engine(**more: Any) -> Deployed:
    return replace(Deployed("<definitions/>", {"frame": "done"}), **more)


async def test_an_instance_is_told_of_before_anything_was_said_in_it(tmp_path: Path) -> None:
    waiting = Step("frame", "waiting")
    told = engine(started=[NEW], tasks=[waiting], titles={("drones", None): "Buy drones"})
    async with asked(tmp_path, told) as api:
        now = (await api.get("/api/instances/instance-new/now")).json
        diagram = await api.get("/api/instances/instance-new/diagram")
        unknown = await api.get("/api/instances/nobody/now")
    assert (now["instance"], now["process"]["business_key"], now["name"]) == (None, "Order/7_b", "Buy drones")
    assert (now["runs"], now["states"], now["steps"][0]["state"]) == (True, {"frame": "done"}, "waiting")
    assert diagram.status == 200
    assert unknown.status == 404


async def test_what_only_the_engine_knows_is_told_within_a_tokens_limits(tmp_path: Path) -> None:
    async with asked(tmp_path, engine(started=[NEW, NORTH])) as api:
        viewer, guest = Api(api.session, VIEWER), Api(api.session, GUEST)
        seen = {
            name: [(await each.get(f"/api/instances/{name}/{what}")).status for each in (viewer, guest)]
            for name in ("instance-new", "instance-north")
            for what in ("now", "results", "diagram")
        }
        listed = [
            [each["process"]["id"] for each in (await of.get("/api/ongoing")).json["items"]]
            for of in (api, viewer, guest)
        ]
    assert seen == {"instance-new": [404, 404], "instance-north": [200, 404]}
    assert listed == [["instance-new", "instance-north"], ["instance-north"], []]


@pytest.mark.parametrize(
    "what", ["now", "results", "diagram", "thread", "activities", "messages", "cost", "export", "feed"]
)
async def test_an_instance_that_spoke_on_anothers_conversation_is_told_of_to_who_may_see_it_itself(
    tmp_path: Path, what: str
) -> None:
    told = engine(outcome=[Result("secret", "42", START)], tasks=[Step("frame", "failed", "secret")])
    async with site(tmp_path, told, tokens=TOKENS) as served, aiohttp.ClientSession(served.url) as session:
        said = exchange(1, key("instance-a")), exchange(2, key("instance-a"), process_instance_id="instance-called")
        await served.transcript.record(*said)
        statuses = list[int]()
        for token in (OPERATOR, GUEST):
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(f"/api/instances/instance-called/{what}", headers=headers) as answer:
                statuses.append(answer.status)
    assert statuses == [200, 404]


async def test_where_the_engine_has_another_process_than_the_record_it_is_not_told(tmp_path: Path) -> None:
    told = engine(
        started=[process("instance-b", tenant="south")],
        outcome=[Result("secret", "42", START)],
        tasks=[Step("frame", "failed", "secret")],
    )
    async with asked(tmp_path, told) as api:
        viewer = Api(api.session, VIEWER)
        now = (await viewer.get("/api/instances/instance-b/now")).json
        results = (await viewer.get("/api/instances/instance-b/results")).json
        of_all = (await api.get("/api/instances/instance-b/now")).json
    assert (now["instance"]["id"], now["process"], now["steps"], now["states"]) == ("instance-b", None, [], {})
    assert results == {"items": [], "problem": "What the engine knows of this instance now is not for you to see."}
    assert of_all["steps"][0]["message"] == "secret"


async def test_where_the_engine_is_away_an_instance_that_the_record_lacks_may_be_there(tmp_path: Path) -> None:
    async with asked(tmp_path, engine(runs=None)) as api:
        unknown = await api.get("/api/instances/instance-new/now")
        known = (await api.get("/api/instances/instance-a/now")).json
        ongoing = (await api.get("/api/ongoing")).json
        hidden = await Api(api.session, VIEWER).get("/api/instances/instance-new/now")
    assert (unknown.status, "cannot be asked" in unknown.json["detail"]) == (503, True)
    assert (known["instance"]["id"], known["runs"], known["problem"]) == (
        "instance-a",
        True,
        "The engine cannot be asked now.",
    )
    assert ongoing == {"items": [], "problem": "The engine cannot be asked now."}
    assert hidden.status == 404


async def test_what_has_no_answer_yet_is_listed_and_what_failed_whether_it_has_one_or_not(tmp_path: Path) -> None:
    wrong = [FAILED, replace(FAILED, instance="instance-new", message="newest"), replace(FAILED, message="older")]
    async with asked(tmp_path, engine(started=[NEW, process("instance-a")], wrong=wrong)) as api:
        silent = (await api.get("/api/ongoing")).json["items"]
        failed = (await api.get("/api/ongoing?failed=true")).json["items"]
        listed = (await api.get("/api/listed/instances")).json
    assert [(each["process"]["id"], each["asked"]) for each in silent] == [("instance-new", "")]
    assert [(each["process"]["id"], each["incident"]["message"], each["asked"]) for each in failed] == [
        ("instance-new", "newest", ""),
        ("instance-a", "the key is refused", "Question 1?"),
    ]
    assert listed["standing"]["failed"] == [], "only of what runs"


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("", True),
        ("business_key=Order/7_b", True),
        ("business_key=order/7", False),
        ("business_key=order/7&parts=true", True),
        ("business_key=7%25&parts=true", False),
        ("definition_key=RON&parts=true", True),
        ("definition_key=flying&parts=true", True),
        ("definition_key=flying", False),
        ("instance=instance-new", True),
        ("instance=instance-a", False),
        ("active=true", True),
        ("active=false", False),
        ("assistant=analyst", False),
        ("tenant=north", False),
        ("until=2026-05-04T09:00:00Z", False),
        ("until=2026-05-04T09:00:01Z", True),
        ("engine=second", False),
    ],
)
async def test_filters_hold_for_what_only_the_engine_knows(tmp_path: Path, query: str, is_found: bool) -> None:
    told = engine(started=[NEW], titles={("drones", None): "Flying things"})
    async with asked(tmp_path, told) as api:
        found = (await api.get(f"/api/ongoing?{query}")).json["items"]
    assert bool(found) is is_found


async def test_what_failed_is_filtered_by_the_assistant_that_spoke(tmp_path: Path) -> None:
    async with asked(tmp_path, engine(started=[process("instance-a")], wrong=[FAILED])) as api:
        found = {
            name: len((await api.get(f"/api/ongoing?failed=true&parts=true&assistant={name}")).json["items"])
            for name in ("ANA", "critic")
        }
    assert found == {"ANA": 1, "critic": 0}


async def test_lists_find_parts_and_say_names_and_what_was_asked(tmp_path: Path) -> None:
    titles = {("drones", None): "Buy drones", ("drones", "north"): "Buy <b>drones</b>"}
    async with asked(tmp_path, engine(titles=titles)) as api:
        listed = {
            query: [each["id"] for each in (await api.get(f"/api/listed/instances?{query}")).json["page"]["items"]]
            for query in (
                "business_key=ORDER&parts=true",
                "business_key=ORDER",
                "assistant=nal&parts=true",
                "definition_key=%3Cb%3E&parts=true",
                "definition_key=rone&parts=true",
                "definition_key=4711&parts=true",
                "business_key=_rder&parts=true",
            )
        }
        beside = (await api.get("/api/listed/instances?instance=instance-b")).json
        [session] = (await api.get("/api/listed/sessions?instance=instance-a")).json["page"]["items"]
        sessions = (await api.get("/api/listed/sessions?instance=instance-a")).json
        one = (await api.get(f"/api/sessions/{session['id']}/standing")).json
    everything = ["instance-other", "instance-b", "instance-a"]
    assert list(listed.values()) == [everything, [], everything, everything, everything, [], []]
    assert (beside["names"], beside["asked"]) == ({"instance-b": "Buy <b>drones</b>"}, {"instance-b": "Question 2?"})
    assert (sessions["names"], sessions["asked"]) == ({session["id"]: "Buy drones"}, {session["id"]: "Question 1?"})
    assert one["name"] == "Buy drones"


async def test_results_come_laid_out_and_cut(tmp_path: Path) -> None:
    outcome = [
        Result("recommendation", "**B**", START),
        Result("report", None, None),
        Result("long", "x" * 200_000, None),
    ]
    async with asked(tmp_path, engine(outcome=outcome)) as api:
        came = (await api.get("/api/instances/instance-a/results")).json
        unknown = (await api.get("/api/instances/nobody/results")).status
    first, file, long = came["items"]
    assert (first["name"], first["body"][0]["children"][1]["tag"], first["is_cut"]) == (
        "recommendation",
        "strong",
        False,
    )
    assert (file["body"], long["is_cut"], came["problem"]) == (None, True, "")
    assert (unknown, len(long["body"][0]["children"][0]) <= 100_000) == (404, True)


async def test_those_who_look_at_once_cost_the_engine_one_look(tmp_path: Path) -> None:
    told = engine(started=[NEW])
    async with asked(tmp_path, told) as api:
        for _ in range(5):
            assert (await api.get("/api/instances/instance-new/now")).status == 200
    assert told.looked == 1
