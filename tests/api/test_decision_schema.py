"""Whatever fits the document of the routes of records, or does not, is answered as it says, and never with a 5xx."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import OPERATOR, VIEWER
from tests.api.test_decisions import KEY, OTHER, keep
from tests.api.test_schema import FreshRecord, documented, operations, validate
from tests.fakes.decisions import FakeSources
from tests.fakes.engine import World
from worker.chat.trying import Trying
from worker.transcript import SqlDecisions, open_database
from worker.web.api import deciding

VALIDATED = operations("""
    POST /api/decisions/{decision_id}/what-ifs
    POST /api/decisions/{decision_id}/hold
    POST /api/decisions/{decision_id}/release
    GET /api/decisions
    GET /api/decisions/{decision_id}
    GET /api/decisions/{decision_id}/verify
    GET /api/decisions/{decision_id}/compare
    GET /api/decisions/{decision_id}/export
""")


async def fill(url: str) -> None:
    async with open_database(url) as database:
        book = SqlDecisions(database, engine="default")
        for key in (KEY, KEY, OTHER):
            await keep(book, key)


@pytest.mark.parametrize("token", [OPERATOR, VIEWER], ids=["operator", "viewer"])
def test_answers_are_as_documented(tmp_path: Path, token: str) -> None:
    url, errors = f"sqlite:///{tmp_path}/record.db", list[Exception]()
    asyncio.run(fill(url))
    book: Any = FreshRecord(url, lambda database: SqlDecisions(database, engine="default"))
    conversations: Any = FreshRecord(url)
    document = documented(conversations, errors, deciding(book, FakeSources(World()), Trying(book)))
    found = [each.ok() for each in document.get_all_operations()]
    own = [each for each in found if each.label in VALIDATED]
    assert {each.label for each in own} == VALIDATED
    for operation in own:
        validate(operation, token, 10)
        for key in (KEY, OTHER) if "{" in operation.path else ():
            validate(operation, token, 4, decision_id=key.id)
    assert errors == []
