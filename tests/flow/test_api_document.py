"""Every operation of a worker's API is asked for in all ways by one of the tests that hold it against its document."""

import aiohttp

from tests.api import test_decision_schema, test_feedback, test_schema, test_stops
from tests.flow.rig import Rig
from tests.flow.test_reading_along import reader_of
from tests.page import test_schema as test_page_schema

FEEDS = frozenset({f"GET /api/{what}/feed" for what in ("sessions/{session_id}", "instances/{instance_id}")})
"""They have no end, and a test of their own for what they say: `tests/unit/test_feeds_page.py`."""
BY = (test_schema, test_decision_schema, test_feedback, test_stops, test_page_schema)


async def test_no_operation_of_a_worker_is_left_out_where_answers_are_held_against_the_document(kept: Rig) -> None:
    async with (
        reader_of(kept, memory="embedded") as reader,
        aiohttp.ClientSession() as session,
        session.get(f"{reader.base}/api/openapi.json") as reply,
    ):
        document = await reply.json()
    found = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert found == FEEDS.union(*(each.VALIDATED for each in BY))
