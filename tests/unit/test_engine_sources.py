"""What the engine's rows tell of variables, where its history does not keep each value."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from worker.engine.lists import Lists
from worker.engine.sources import RestSources
from worker.engine.transport import Transport


class Rows(Lists):
    """Lists of an engine, by their paths."""

    def __init__(self, rows: Mapping[str, list[dict[str, Any]]]) -> None:
        self._by_path = rows

    async def rows(self, path: str, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        for row in self._by_path.get(path, []):
            yield row


async def works() -> None:
    """The engine does."""


def sources(**rows: list[dict[str, Any]]) -> RestSources:
    paths = {f"/{name.replace('__', '/').replace('_', '-')}": each for name, each in rows.items()}
    return RestSources(cast("Transport", None), Rows(paths), works)


def variable(id_: str, name: str, scope: str) -> dict[str, Any]:
    return {"id": id_, "name": name, "type": "String", "value": id_, "activityInstanceId": scope, "createTime": ""}


async def test_below_level_full_a_variable_says_which_activity_instance_it_is_of() -> None:
    """So that local results of activities that are over can be told apart."""
    gone = [variable("1", "scores", "score:1"), variable("2", "scores_meta", "score:1")]
    there = variable("3", "scores", "a")
    found = await sources(history__variable_instance=[*gone, there], variable_instance=[there]).values("a", "scores")
    assert [(each.id, each.scope, each.activity_instance) for each in found] == [
        ("1", "score:1", ""),
        ("2", "score:1", ""),
        ("3", "a", ""),
    ]


async def test_at_level_full_it_is_where_the_instance_was() -> None:
    known = [variable("1", "scores", "a")]
    at = "2026-01-01T00:00:00.000+0000"
    details = [{"id": "d", "variableName": "scores", "time": at, "activityInstanceId": "score:1"}]
    [found] = await sources(history__variable_instance=known, history__detail=details).values("a", "scores")
    assert (found.scope, found.activity_instance) == ("", "score:1")


async def test_results_of_a_record_are_found_by_its_id() -> None:
    known = [
        variable("1", "decision_id", "a") | {"value": "r1"},
        variable("2", "other_id", "a") | {"value": "r2"},
        variable("3", "raid", "a") | {"value": "r1"},
    ]
    there = [known[0], variable("4", "end_id", "a") | {"value": "r1"}]
    found = await sources(history__variable_instance=known, variable_instance=there).outputs("a", "r1")
    assert found == ["decision", "end"]


async def test_a_task_that_was_created_and_not_completed_is_unfinished() -> None:
    log: list[dict[str, Any]] = [
        {"externalTaskId": "t1"},
        {"externalTaskId": "t2"},
        {"externalTaskId": "t1", "successLog": True},
    ]
    done = [*log, {"externalTaskId": "t2", "successLog": True}]
    assert await sources().unfinished("a") is None
    assert await sources(history__external_task_log=log).unfinished("a") is True
    assert await sources(history__external_task_log=done).unfinished("a") is False
