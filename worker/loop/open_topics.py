"""Topics without those that operators have stopped."""

from collections.abc import Collection
from datetime import timedelta

from worker.domain.tasks import Task, Topic
from worker.ports.engine import Topics
from worker.turn.stops import Stopped


class OpenTopics:
    """Implements `ports.engine.Topics` by another's. Those `elsewhere` are polled by others of this worker."""

    def __init__(self, topics: Topics, stopped: Stopped, elsewhere: Collection[str] = ()) -> None:
        self._elsewhere = elsewhere
        self._topics = topics
        self._stopped = stopped
        self._known: tuple[Topic, ...] = ()

    async def current(self) -> tuple[Topic, ...]:
        """See `ports.engine.Topics.current`."""
        self._known = tuple(each for each in await self._topics.current() if each.name not in self._elsewhere)
        return self.known()

    def known(self) -> tuple[Topic, ...]:
        """Return those that were last found, without looking for new ones."""
        return tuple(each for each in self._known if not self._stopped.topic(each.name))

    def every(self) -> tuple[Topic, ...]:
        """Return those that were last found, stopped ones too."""
        return self._known

    def next_look(self) -> timedelta:
        """See `ports.engine.Topics.next_look`."""
        return self._topics.next_look()

    def serves(self, task: Task) -> bool:
        """See `ports.engine.Topics.serves`."""
        return self._topics.serves(task)

    def suspect(self) -> None:
        """See `ports.engine.Topics.suspect`."""
        self._topics.suspect()

    async def definitions(self, topic: str) -> tuple[str, ...]:
        """See `ports.engine.Topics.definitions`."""
        return await self._topics.definitions(topic)

    async def without_models(self) -> frozenset[str]:
        """See `ports.engine.Topics.without_models`."""
        return await self._topics.without_models()
