"""What a turn stands on where there is one task alone: no engine, no Redis, nothing that was said before."""

import base64
import binascii
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from worker.domain.documents import Attachment
from worker.domain.exchanges import Exchange
from worker.domain.stops import Stops
from worker.domain.tasks import Definition, Variable
from worker.domain.threads import (
    NOTHING,
    Answer,
    Assistant,
    Cut,
    Entered,
    Hold,
    Intended,
    Past,
    Remembered,
    Said,
    Seed,
    Thread,
    ThreadKey,
)
from worker.domain.watching import Speaker
from worker.errors import BadDefinition, BadInput, Stopping
from worker.operate.lint.reading import Folder
from worker.ports.engine import Engine
from worker.ports.fleet import REMEMBERED, Presence
from worker.ports.providers import Model, Watcher
from worker.ports.stops import StopBook
from worker.ports.threads import Threads
from worker.specs.assistants import Current, Specs


class FileEngine:
    """The part of `ports.engine.Engine` that a question needs: the model's file, and what lies beside it.

    It stores JSON, as the engines do that have Spin.
    """

    def __init__(self, definition: Definition, folder: Folder, variables: Mapping[str, Variable]) -> None:
        self._definition = definition
        self._folder = folder
        self._variables = variables

    def as_port(self) -> Engine:
        """Return it as what turns take: of the rest of the port none of them makes use before it is over."""
        return cast("Engine", self)

    async def definition(self, _: str) -> Definition:
        """Return the process of the file."""
        return self._definition

    async def resource(self, _: str, name: str) -> str:
        """Return the text of a file beside the model. Raises BadDefinition."""
        text = self._folder.text(name)
        if text is None:
            raise BadDefinition(f"there is no file {name!r} {self._folder.place}")
        return text

    async def content(self, _: str, name: str, most: int) -> bytes | None:
        """Return the content of a File variable, which stands in it in base64. Raises BadInput."""
        try:
            content = base64.b64decode(str(self._variables[name].value), validate=True)
        except (binascii.Error, ValueError) as exc:
            raise BadInput(f"the value of the file {name!r} has to be its content in base64") from exc
        return content if len(content) <= most else None

    async def as_json(self, _: str, __: str, ___: int) -> str | None:
        """Return nothing of a Java object, of which no engine is here to tell."""
        return ""

    async def root_instance(self, instance: str) -> str:
        """Return the instance itself."""
        return instance

    async def origin(self, _: str) -> None:
        """Know nothing of any instance before."""

    async def began_at(self, _: str) -> str:
        """Know of no instance."""
        return ""

    async def variable(self, _: str, __: str) -> None:
        """Know of no thread of before."""

    async def set_variable(self, _: str, __: str, ___: Variable) -> None:
        """Leave the thread's name out: nobody goes on with it."""

    async def has_spin(self) -> bool:
        """Whether JSON is stored as such."""
        return True


class OneThread:
    """The part of `ports.threads.Threads` and `Histories` that one task needs, kept as long as the command runs."""

    def __init__(self) -> None:
        self._thread: Thread | None = None
        self._turns: list[Remembered] = []
        self._attempt, self._calls, self._dropped, self._repair = 1, 0, 0, ""

    def as_port(self) -> Threads:
        """Return it as what turns take, as above."""
        return cast("Threads", self)

    async def enter(self, key: ThreadKey, task_id: str, *_: Any, **__: Any) -> Entered:
        """Be let in: nobody else is here."""
        return Entered(
            Hold(key, task_id, "alone"),
            self._attempt,
            self._thread,
            published=self._thread is not None,
            repair=self._repair,
            calls=self._calls,
            dropped=self._dropped,
        )

    async def bind(self, _: Hold, thread: Thread, *__: Any, said: Sequence[Remembered] = (), **___: Any) -> bool:
        """Note the thread."""
        self._thread, self._turns = thread, [*said]
        return True

    async def intend(
        self, _: Hold, __: int, ___: timedelta, ____: Speaker | None = None, _____: int | None = None
    ) -> Intended:
        """Count a call."""
        self._calls += 1
        return Intended()

    async def keep_answer(
        self,
        _: Hold,
        __: int,
        answer: Answer,
        *,
        published: bool,  # noqa: ARG002 - of the port
        exchange: Exchange | None = None,  # noqa: ARG002 - of the port
        remembered: Remembered | None = None,
        **___: Any,
    ) -> Answer:
        """Keep what a second attempt is told."""
        self._turns += [remembered] if remembered is not None else []
        return answer

    async def drop_answer(self, _: ThreadKey, __: str, attempt: int, repair: str = "") -> None:
        """Have the next attempt put right what was wrong with this one."""
        self._attempt, self._dropped, self._repair = attempt + 1, self._dropped + 1, repair

    async def renew(self, _: Hold) -> bool:
        """Hold on."""
        return True

    async def leave(self, _: Hold, **__: Any) -> None:
        """Let go."""

    async def unrecorded(self, _: ThreadKey, __: str) -> bool:
        """Nothing is on its way to a transcript."""
        return False

    async def history(self, _: ThreadKey, __: Thread) -> Past:
        """Return what was said."""
        return Past(tuple(self._turns))

    async def may_fold(self, _: ThreadKey, __: timedelta) -> str | None:
        """Fold nothing: so long is no history here."""
        return None

    async def fold(self, *_: Any) -> bool:
        """Fold nothing."""
        return False


class NoHistory:
    """`ports.threads.History` of what was never said."""

    async def seed(self, _: ThreadKey, most: int | None = None, cuts: Sequence[Cut] = ()) -> Seed:  # noqa: ARG002 - of the port
        """Tell a new thread nothing."""
        return Seed()

    async def inherited(
        self,
        keys: Sequence[ThreadKey],  # noqa: ARG002 - of the port
        activity: str,  # noqa: ARG002 - of the port
        most: int | None = None,  # noqa: ARG002 - of the port
        then: Seed = NOTHING,
    ) -> Seed:
        """Add nothing."""
        return then

    async def thread(self, _: ThreadKey) -> Thread | None:
        """Know none."""
        return None

    async def anchor(self, _: ThreadKey, __: Thread) -> str | None:
        """Know none."""
        return None


class Nobody:
    """No other worker, and nothing that operators have stopped: neither stands anywhere without Redis."""

    def as_presence(self) -> Presence:
        """Return it as what a fleet asks."""
        return cast("Presence", self)

    def as_book(self) -> StopBook:
        """Return it as what stops are read from."""
        return cast("StopBook", self)

    async def workers(self, within: timedelta = REMEMBERED) -> list[Any]:  # noqa: ARG002 - of the port
        """There are none."""
        return []

    async def wanted(self, _: str, __: str) -> timedelta:
        """Wait for no other worker's version."""
        return REMEMBERED

    async def read(self) -> Stops:
        """Nothing is stopped."""
        return Stops()


class Plain:
    """`ports.providers.Assistants` who answer at once and by their own provider: nobody waits for any other."""

    def __init__(self, assistants: Current) -> None:
        self._assistants = assistants

    def find(self, name: str, version: str | None) -> Assistant:
        """See `Specs.find`."""
        return _plain(self._assistants.find(name, version))

    async def deployed(self, name: str, definition_id: str, tenant: str | None) -> Assistant:
        """Find one that lies beside the model, as it would be deployed with it."""
        return _plain(await self._assistants.deployed(name, definition_id, tenant))


def _plain(assistant: Assistant) -> Assistant:
    return replace(assistant, background=False, fallback=())


class Shown(Stopping):
    """The question was there to be shown, and is not asked."""


class Recorder:
    """A model that hears what it is asked, and answers by another one where there is one. Else it raises Shown."""

    def __init__(self, model: Model | None) -> None:
        self._model = model
        self.asked: list[tuple[str, Assistant]] = []

    async def ask(
        self,
        said: Sequence[Said],
        question: str,
        assistant: Assistant,
        *,
        cache_key: str = "",
        watcher: Watcher | None = None,
        attached: Sequence[Attachment] = (),
    ) -> Answer:
        """Hear it, and hand it on."""
        self.asked.append((question, assistant))
        if self._model is None:
            raise Shown("the question is shown, and not asked")
        return await self._model.ask(said, question, assistant, cache_key=cache_key, watcher=watcher, attached=attached)

    async def ping(self) -> None:
        """Be there."""


def later(work: Coroutine[Any, Any, None], _: str) -> None:
    """Leave undone what nobody waits for."""
    work.close()


def names(providers: Collection[str], specs: Specs) -> set[str]:
    """Name all providers that anybody may be asked at."""
    return {*providers, *(each.provider for each in specs.assistants)}
