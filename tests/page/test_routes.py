"""The routes that the page adds to the API: who may ask, and what they say when the engine does not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api.client import GUEST, OPERATOR, TOKENS, VIEWER, Api
from tests.page.site import Deployed, site
from tests.records import exchange, key
from worker.domain.conversations import ActivityCounts
from worker.web.page.routes import FILES

ENGINE = Deployed("<definitions/>", {"frame": "done"})
IDS = ("a", "b", "other")


@asynccontextmanager
async def asked(tmp_path: Path, processes: Deployed = ENGINE, **options: Any) -> AsyncIterator[Api]:
    """An operator of a site with an instance, one of tenant north, and one of another engine."""
    async with site(tmp_path, processes, tokens=TOKENS, **options) as served:
        for number, name in enumerate(IDS, start=1):
            thread = key(
                f"instance-{name}",
                tenant="north" if name == "b" else None,
                engine="second" if name == "other" else "default",
            )
            await served.transcript.record(exchange(number, thread, activity_id="frame", activity_name="Frame"))
        async with aiohttp.ClientSession(served.url) as session:
            yield Api(session, OPERATOR)
        assert served.errors == []


async def test_me_tells_what_the_page_may_offer(tmp_path: Path) -> None:
    async with asked(tmp_path, can_erase=True) as api:
        operator, viewer = [(await Api(api.session, token).get("/api/me")).json for token in (OPERATOR, VIEWER)]
        assert operator == {
            "role": "operator",
            "can_erase": True,
            "has_asks": False,
            "has_memory": False,
            "guarded": True,
            "diagrams": True,
            "formats": [
                {"name": "json", "label": "JSON", "ending": "json"},
                {"name": "markdown", "label": "Markdown", "ending": "md"},
            ],
            "left_out": [],
            "person": None,
            "rights": ["ask", "erase", "hand_over", "hold", "read", "stop", "sway"],
            "assistants": [],
        }
        assert (viewer["role"], viewer["can_erase"], viewer["rights"]) == ("viewer", False, ["read"])
        assert (await Api(api.session, None).get("/api/me")).status == 401


async def test_what_is_not_served_is_told_to_those_who_may_see_every_instance(tmp_path: Path) -> None:
    async with asked(tmp_path, left_out=["tasks on topic t are left out: no"]) as api:
        told = {
            token: (await Api(api.session, token).get("/api/me")).json["left_out"]
            for token in (OPERATOR, VIEWER, GUEST)
        }
        assert told == {OPERATOR: ["tasks on topic t are left out: no"], VIEWER: [], GUEST: []}


@pytest.mark.parametrize("what", ["diagram", "now", "results", "activities", "thread"])
async def test_limits_hold_for_each_instance(tmp_path: Path, what: str) -> None:
    async with asked(tmp_path) as api:
        allowed = {
            token: [
                (await Api(api.session, token).get(f"/api/instances/instance-{name}/{what}")).status for name in "ab"
            ]
            for token in (OPERATOR, VIEWER, GUEST, None)
        }
        assert allowed == {OPERATOR: [200, 200], VIEWER: [404, 200], GUEST: [200, 404], None: [401, 401]}


async def test_an_instance_of_another_engine_is_not_asked_about_here(tmp_path: Path) -> None:
    async with asked(tmp_path) as api:
        answer = await api.get("/api/instances/instance-other/diagram")
        assert (answer.status, "second" in answer.text) == (404, True)
        now = (await api.get("/api/instances/instance-other/now")).json
        assert (now["process"], now["states"], now["problem"]) == (
            None,
            {},
            "This instance is of another engine, second.",
        )
        assert (await api.get("/api/instances/instance-other/results")).json["items"] == []
        assert (await api.get("/api/instances/instance-other/thread")).status == 200


async def test_the_engine_is_passed_on_and_its_absence_too(tmp_path: Path) -> None:
    async with asked(tmp_path) as api:
        diagram = (await api.get("/api/instances/instance-a/diagram")).json
        assert diagram == {"definition_id": "drones:3:4711", "xml": "<definitions/>"}
        assert (await api.get("/api/instances/instance-a/now")).json["states"] == {"frame": "done"}
    async with asked(tmp_path, Deployed()) as api:
        gone, away = [await api.get(f"/api/instances/instance-a/{what}") for what in ("diagram", "now")]
        assert (gone.status, away.status) == (404, 200)
        assert "does not have" in gone.json["detail"]
        assert (away.json["states"], away.json["problem"]) == ({}, "The engine cannot be asked now.")
    async with asked(tmp_path, Deployed(let=False)) as api:
        denied = (await api.get("/api/instances/instance-a/now")).json
        assert "right" in denied["problem"]


async def test_activities_are_summed_over_turns_and_attempts(tmp_path: Path) -> None:
    async with asked(tmp_path) as api:
        found = (await api.get("/api/instances/instance-a/activities")).json
    assert [ActivityCounts(**each) for each in found] == [ActivityCounts("frame", "Frame", 1, 1, 100, 20, 5.0, "ok")]


async def test_messages_come_with_their_trees(tmp_path: Path) -> None:
    async with asked(tmp_path) as api:
        items = (await api.get("/api/instances/instance-a/thread?limit=2")).json["items"]
    assert [each["body"] for each in items] == [
        [{"tag": "pre", "children": ["Question 1?"], "start": None, "href": None, "right": False}],
        [{"tag": "p", "children": ["Answer 1."], "start": None, "href": None, "right": False}],
    ]
    assert items[1]["message"]["output_tokens"] == 20


async def test_views_and_files_are_open_and_carry_the_policy(tmp_path: Path) -> None:
    async with asked(tmp_path) as api:
        nobody = Api(api.session, None)
        for path in ("/", "/instances/a%2Fb/activities/c", "/search?q=x", "/conversations/1", "/embed/instances/1"):
            answer = await nobody.get(path)
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8"), path
            assert "script-src 'self';" in answer.headers["Content-Security-Policy"]
        for file in filter(Path.is_file, FILES.rglob("*")):
            answer = await nobody.get(f"/static/{file.relative_to(FILES)}")
            assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache"), file.name
        for path in ("/nothing", "/static/", "/static/../routes.py", "/static/%2e%2e/routes.py", "/vendor/bpmn-js"):
            assert (await nobody.get(path)).status == 404, path


async def test_an_unknown_address_is_the_page_for_people_and_a_problem_for_all_others(tmp_path: Path) -> None:
    people = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with asked(tmp_path) as api:
        nobody = Api(api.session, None)
        for path in ("/nothing", "/instance/a", "/nothing/at/all"):
            shown, told = await nobody.get(path, headers=people), await nobody.get(path)
            assert (shown.status, shown.headers["Content-Type"]) == (404, "text/html; charset=utf-8"), path
            assert 'src="/static/app.js"' in shown.text
            assert (told.status, told.headers["Content-Type"]) == (404, "application/problem+json"), path
        answer = await api.get("/api/nothing", headers=people)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_no_file_of_the_page_takes_html_or_names_another_place() -> None:
    for file in filter(Path.is_file, FILES.glob("*")):
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "").replace("http://www.omg.org/spec/", "")
        for way in (
            "innerHTML",
            "InnerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "http:",
            "https:",
            "//cdn",
        ):
            assert way not in text, f"{file.name}: {way}"


async def test_the_page_adds_its_routes_to_the_document(tmp_path: Path) -> None:
    async with asked(tmp_path) as api:
        document = (await api.get("/api/openapi.json")).json
    assert {"/api/me", "/api/instances/{instance_id}/diagram", "/api/sessions/{session_id}/thread"} <= set(
        document["paths"]
    )
    assert not [path for path in document["paths"] if not path.startswith("/api/")]


async def test_without_the_part_that_draws_diagrams_its_files_are_not_found(tmp_path: Path) -> None:
    async with asked(tmp_path, vendor=tmp_path / "none") as api:
        assert (await api.get("/vendor/bpmn-js/viewer.js")).status == 404
        assert (await api.get("/api/me")).json["diagrams"] is False


async def test_whether_an_instance_runs_is_the_engines_word_within_a_tokens_limits(tmp_path: Path) -> None:
    engine = Deployed(runs={"instance-a": False, "instance-b": True, "instance-other": False, "secret": True})
    async with asked(tmp_path, engine) as api:
        listed = (await api.get("/api/listed/instances")).json
        sessions = (await api.get("/api/listed/sessions?limit=2")).json
        one = (await api.get("/api/instances/instance-a/now")).json
        limited = (await Api(api.session, VIEWER).get("/api/listed/instances")).json
        hidden = [
            (await Api(api.session, VIEWER).get(f"/api/instances/{name}/now")).status
            for name in ("instance-a", "secret")
        ]
    assert listed["standing"] == {"runs": {"instance-a": False, "instance-b": True}, "failed": [], "problem": ""}
    assert [each["id"] for each in listed["page"]["items"]] == ["instance-other", "instance-b", "instance-a"]
    assert (sessions["standing"]["runs"], sessions["page"]["next"] is None) == ({"instance-b": True}, False)
    assert one["runs"] is False
    assert limited["standing"]["runs"] == {"instance-b": True}
    assert hidden == [404, 404]
    assert engine.asked == 1, "what was told is good for seconds"


@pytest.mark.parametrize("what", ["instances", "sessions"])
async def test_what_the_engine_says_has_ended_is_not_listed_as_active(tmp_path: Path, what: str) -> None:
    engine = Deployed(runs={"instance-a": True, "instance-b": False, "instance-c": True})
    async with asked(tmp_path, engine) as api:
        everything = (await api.get(f"/api/listed/{what}")).json["page"]["items"]
        active = (await api.get(f"/api/listed/{what}?active=true")).json["page"]["items"]
        first = (await api.get(f"/api/listed/{what}?active=true&limit=1&instance=instance-b")).json["page"]
    name = "id" if what == "instances" else "process_instance_id"

    assert "instance-b" in {each[name] for each in everything if each["is_active"]}
    assert [each[name] for each in active] == [each[name] for each in everything if each[name] != "instance-b"]
    assert (first["items"], first["next"]) == ([], None)


async def test_lists_come_and_say_so_when_the_engine_is_away(tmp_path: Path) -> None:
    async with asked(tmp_path, Deployed(runs=None)) as api:
        listed = await api.get("/api/listed/instances")
    assert (listed.status, len(listed.json["page"]["items"])) == (200, 3)
    assert listed.json["standing"] == {"runs": {}, "failed": [], "problem": "The engine cannot be asked now."}
