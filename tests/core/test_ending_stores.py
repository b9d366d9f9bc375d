"""Another store is one class and its place in a list: by order and by age it is emptied like the others."""

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from tests.core.closing import Closing, open_in
from worker.domain.endings import Status, Step, Store
from worker.domain.threads import ThreadKey
from worker.ending import stores
from worker.ending.case import Place
from worker.ending.erasing import NAMES
from worker.errors import ModelDown


class Facts(Place):
    """A memory that names the conversation which each fact is from."""

    facts: ClassVar[dict[ThreadKey, list[str]]]
    store = Store.TRANSCRIPT
    kind = "facts of "
    waits = True

    def steps(self) -> list[Step]:
        return [Step(self.store, f"{self.kind}{key.scope}", key) for key in self.case.kept if key in self.facts]

    async def erase(self, step: Step) -> AsyncIterator[Step]:
        yield self.done(step, len(self.facts.pop(self.case.hold.key)))


@pytest.fixture
async def remembering(closing: Closing, monkeypatch: pytest.MonkeyPatch) -> Closing:
    """An instance that is over and one that runs, with facts of both."""
    monkeypatch.setattr(stores, "NAMING", (Facts, *stores.NAMING))
    Facts.facts = {ThreadKey("default", name, "analyst"): ["a", "b"] for name in ("over", "runs")}
    await closing.ran("over")
    await closing.speak("runs")
    return closing


async def test_an_order_empties_it_after_what_it_names(remembering: Closing) -> None:
    remembering.provider.script.next("erase_thread", ModelDown("busy"))
    receipt = await remembering.erase("over")
    assert open_in(receipt)[Store.TRANSCRIPT, "facts of over"] == NAMES
    assert len(Facts.facts) == 2

    [final] = await remembering.resume()
    step = final.named[Store.TRANSCRIPT, "facts of over"]
    assert (final.completed_at is not None, step.status, step.count) == (True, Status.REMOVED, 2)
    assert [key.scope for key in Facts.facts] == ["runs"]


async def test_it_ends_by_age_with_its_thread(remembering: Closing) -> None:
    remembering.provider.script.next("erase_thread", ModelDown("busy"))
    await remembering.sweep()
    assert len(Facts.facts) == 2
    await remembering.sweep()
    assert [key.scope for key in Facts.facts] == ["runs"]
