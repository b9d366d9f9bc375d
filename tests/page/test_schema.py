"""Whatever fits the page's routes, or does not, is answered as the document says."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import schemathesis

from tests.api.client import NO_CALLS, OPERATOR, TOKENS, VIEWER
from tests.api.conftest import KEYS
from tests.api.test_schema import FreshRecord, fill, operations, validate
from tests.page.site import Deployed
from worker.domain.conversations import session_id
from worker.ports.rates import Rate
from worker.web import page
from worker.web.api import Access, app

errors: list[Exception] = []
VALIDATED = operations("""
    GET /api/me
    GET /api/instances/{instance_id}/thread
    GET /api/sessions/{session_id}/thread
    GET /api/instances/{instance_id}/activities
    GET /api/listed/instances
    GET /api/listed/sessions
    GET /api/sessions/{session_id}/standing
    GET /api/ongoing
    GET /api/instances/{instance_id}/now
    GET /api/instances/{instance_id}/results
    GET /api/instances/{instance_id}/diagram
""")
WORKING = Deployed("<definitions/>", {"step_1": "failed"})


def document(url: str) -> Any:
    conversations: Any = FreshRecord(url)
    extend = page.routes(conversations, WORKING, engine_name="default", can_erase=True)
    application = app(
        conversations, NO_CALLS, Access.of(TOKENS), report=errors.append, rate=Rate(burst=100_000), extend=[extend]
    )
    return schemathesis.openapi.from_asgi("/api/openapi.json", application)


@pytest.mark.sweep
@pytest.mark.timeout(600)  # see tests/api/test_schema.py
def test_answers_are_as_documented(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/record.db"
    asyncio.run(fill(url))
    found = [each.ok() for each in document(url).get_all_operations()]
    own = [each for each in found if each.label in VALIDATED]
    assert {each.label for each in own} == VALIDATED
    for operation in own:
        for token in (OPERATOR, VIEWER):
            validate(operation, token, 8)
            if "{" in operation.path:
                for name, thread in KEYS.items():
                    validate(operation, token, 2, session_id=session_id(thread), instance_id=f"instance-{name}")
    assert errors == []
