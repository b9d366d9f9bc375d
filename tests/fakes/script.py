"""What a fake is told to do beside its work: wait, or raise, at the next calls of a method."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

Step = Exception | float | Callable[[], Any] | None
"""An error to raise, seconds to take, something to do, or nothing."""


class Script:
    """Steps by the name of a method, each for one call, in order; and every call that came."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._steps: defaultdict[str, deque[Step]] = defaultdict(deque)
        self._always: dict[str, Step] = {}

    def next(self, method: str, *steps: Step) -> None:
        """Say what the next calls meet; those behind them meet nothing."""
        self._steps[method].extend(steps)

    def always(self, method: str, step: Step) -> None:
        """Say what every call meets that `next` says nothing about; None ends that."""
        self._always[method] = step

    def named(self, method: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of this method."""
        return [args for name, args in self.calls if name == method]

    async def reach(self, method: str, *args: Any) -> None:
        """Note the call and do what is said about it."""
        self.calls.append((method, args))
        await asyncio.sleep(0)  # as a real one, it lets others go on
        step = self._steps[method].popleft() if self._steps[method] else self._always.get(method)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, int | float):
            await asyncio.sleep(step)
        elif step is not None:
            done = step()
            if asyncio.iscoroutine(done):
                await done
