"""Whatever fits the document of the routes of records, or does not, is answered as it says, and never with a 5xx."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import OPERATOR, TOKENS, VIEWER
from tests.api.test_decisions import KEY, OTHER, keep
from tests.api.test_schema import FreshRecord, documented, validate
from tests.fakes.decisions import FakeSources
from tests.fakes.engine import World
from worker.chat.trying import Trying
from worker.transcript import SqlDecisions, open_database
from worker.web.api import deciding

NAMED = json.dumps(json.loads(TOKENS) | {OPERATOR: {"role": "operator", "name": "Ann"}})


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
    operations = [found.ok() for found in document.get_all_operations()]
    own = [each for each in operations if "/decisions" in each.path]
    assert len(own) == 8
    for operation in own:
        validate(operation, token, 10)
        for key in (KEY, OTHER) if "{" in operation.path else ():
            validate(operation, token, 4, decision_id=key.id)
    assert errors == []
