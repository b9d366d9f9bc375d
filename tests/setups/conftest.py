"""The rig of the flow tests, with workers that are cut off at the end; and what tests saw, told behind the run."""

from collections.abc import Callable

import pytest

from tests.conformance.conftest import flow_rig, kept, rig

__all__ = ["flow_rig", "kept", "rig"]

SEEN = "seen"


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say what was seen, for people; it stands at the end of the run if the test passes."""
    return lambda text: record_property(SEEN, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what passed tests saw; processes of pytest-xdist cannot print it themselves."""
    for report in terminalreporter.stats.get("passed", []):
        for name, text in report.user_properties:
            if name == SEEN:
                terminalreporter.write_line(text)
