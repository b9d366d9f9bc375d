"""A rig whose transcript is in PostgreSQL: several workers share it."""

import pytest

from tests.flow.conftest import empty_database, record_server, rig
from tests.flow.conftest import kept as flow_kept
from tests.flow.rig import Rig

__all__ = ["empty_database", "flow_kept", "record_server", "rig"]


@pytest.fixture
def kept(flow_kept: Rig) -> Rig:
    """The rig of the flow tests with a transcript that workers share."""
    return flow_kept
