"""What pytest leaves undone where the end of a fixture is cancelled."""

import asyncio
from collections.abc import Generator
from contextlib import suppress

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Have all of a test's fixtures ended although one of them ends in a cancellation, which is an error of that test.

    Pytest stops there, as it looks for exceptions alone, and takes the other fixtures for those of the next test: what
    they have changed then stays so in this process to its end, and dozens of tests fail by it.
    """
    left = item.session._setupstate.stack.get(item, ([],))[0]  # nothing public knows what is left
    try:
        yield
    except asyncio.CancelledError as exc:
        while left:
            with suppress(Exception):
                left.pop()()
        raise AssertionError("the end of one of its fixtures was cancelled") from exc
