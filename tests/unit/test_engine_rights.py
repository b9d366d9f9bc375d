"""Rights that an engine has by the hundred: who lacks one of them does not get all."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qs

import pytest

from worker.engine.failures import Reply
from worker.engine.lists import Lists
from worker.engine.rights import GLOBAL, INSTANCE, MOST_SINGLE, REVOKE, RestRights
from worker.engine.transport import Transport

GRANT = "1"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the engine: what it is about, for a user or for a group."""

    type: str
    about: str
    user: str = "ann"
    group: str = ""


@dataclass(frozen=True, slots=True)
class Engine:
    """Answers as an engine does in which Ann is in two groups, and may read every instance but for what is taken."""

    rows_: list[Row]

    async def rows(self, path: str, query: dict[str, str], *, most: int | None = None) -> AsyncIterator[dict[str, Any]]:
        if path == "/group":
            for name in ("one", "two"):
                yield {"id": name}
            return
        assert query["resourceType"] == str(INSTANCE)
        users, groups = query.get("userIdIn", "").split(","), query.get("groupIdIn", "").split(",")
        found = [
            each
            for each in self.rows_
            if query.get("type", each.type) == each.type
            and ("userIdIn" not in query or each.user in users)
            and ("groupIdIn" not in query or each.group in groups)
        ]
        for each in found[:most]:
            yield {"resourceId": each.about}

    async def send(self, _: str, path: str) -> Reply:
        about = parse_qs(path.partition("?")[2])["resourceId"][0]
        taken = {each.about for each in self.rows_ if each.type == REVOKE}
        refused = about in taken or about.startswith("taken")
        return Reply(200, b'{"authorized": %s}' % (b"false" if refused else b"true"))

    @property
    def rights(self) -> RestRights:
        return RestRights(cast("Transport", self), cast("Lists", self))


GIVEN = [Row(GRANT, f"given-{number}") for number in range(2 * MOST_SINGLE)]


@pytest.mark.parametrize(
    ("rows", "every"),
    [
        ([], True),
        (GIVEN, True),
        ([*GIVEN, Row(REVOKE, "taken")], False),
        ([*GIVEN, Row(REVOKE, "taken", user="", group="two")], False),
        ([Row(GLOBAL, "given", user="*"), Row(GRANT, "*")], True),
        ([*GIVEN, Row(GLOBAL, "taken", user="*")], False),
        ([Row(REVOKE, f"taken-{number}") for number in range(2 * MOST_SINGLE)], False),
        # The same ones twice, by two groups, and what is taken by the other one behind them.
        (
            [Row(REVOKE, f"over-{number // 2}", user="", group="one") for number in range(2 * MOST_SINGLE)]
            + [Row(REVOKE, "taken", user="", group="two")],
            False,
        ),
    ],
)
async def test_who_lacks_one_instance_may_not_see_every_one(rows: list[Row], every: bool) -> None:
    assert await Engine(rows).rights.on_every_instance("ann") is every


async def test_of_many_that_are_given_one_by_one_some_are_seen_and_none_that_is_taken() -> None:
    rows = [*GIVEN, Row(GLOBAL, "all", user="*"), Row(GRANT, "*"), Row(REVOKE, "a-taken")]
    seen = await Engine(rows).rights.on_instances("ann")
    assert len(seen) == MOST_SINGLE
    assert seen.isdisjoint({"*", "a-taken"})
