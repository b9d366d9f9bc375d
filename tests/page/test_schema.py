"""Whatever fits the page's routes, or does not, is answered as the document says."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import schemathesis

from tests.api.client import NO_CALLS, OPERATOR, TOKENS, VIEWER
from tests.api.conftest import KEYS
from tests.api.test_schema import FreshRecord, fill, validate
from tests.page.site import Deployed
from worker.domain.conversations import session_id
from worker.ports.rates import Rate
from worker.web import page
from worker.web.api import Access, app

errors: list[Exception] = []
WORKING = Deployed("<definitions/>", {"step_1": "failed"})


def document(url: str) -> Any:
    conversations: Any = FreshRecord(url)
    extend = page.routes(conversations, WORKING, engine_name="default", can_erase=True)
    application = app(
        conversations, NO_CALLS, Access.of(TOKENS), report=errors.append, rate=Rate(burst=100_000), extend=[extend]
    )
    return schemathesis.openapi.from_asgi("/api/openapi.json", application)


@pytest.mark.sweep
def test_answers_are_as_documented(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/record.db"
    asyncio.run(fill(url))
    operations = [found.ok() for found in document(url).get_all_operations()]
    ends = ("/me", "/thread", "/activities", "/diagram", "/now", "/results", "/ongoing", "/standing")
    own = [each for each in operations if each.path.endswith(ends)]
    assert len(own) == 9
    for operation in own:
        for token in (OPERATOR, VIEWER):
            validate(operation, token, 8)
            if "{" in operation.path:
                for name, thread in KEYS.items():
                    validate(operation, token, 2, session_id=session_id(thread), instance_id=f"instance-{name}")
    assert errors == []
