"""OpenAI's Conversations and Responses: conversations stay on the server, a turn is one call."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, Literal, Self, TypeVar
from urllib.parse import quote

from worker.domain.documents import Attachment
from worker.domain.providers import ProviderSpec, Schemas
from worker.domain.refs import defused
from worker.domain.threads import Answer, Assistant, Outcome, Question, Said
from worker.errors import (
    BadRequest,
    ContextFull,
    Filtered,
    ModelDown,
    ModelUnknown,
    ProviderAway,
    ProviderPaused,
    ThreadGone,
    ThreadObsolete,
    TurnedAway,
    WorkerError,
)
from worker.ports.providers import Watcher
from worker.providers import failures
from worker.providers.client import SHORT_CALL, Client, counted, counting_failures
from worker.providers.failures import Call
from worker.providers.file_stores import searching
from worker.providers.forms import cached, first_taken, instructions, named
from worker.providers.response_stream import WAYS, ResponseHearing
from worker.providers.streams import Hearing, Telling
from worker.providers.watching import Streaming
from worker.providers.wire import (
    Anything,
    Conversation,
    Items,
    ModelCard,
    ModelCards,
    Names,
    Origin,
    Response,
    Wire,
    answer_behind,
    answer_of,
)
from worker.runtime.clock import monotonic
from worker.runtime.portions import portions

SHORTEST_CALL: Final = timedelta(seconds=2)
"""What a call may take although the time it belongs to is over: it tells whether there is an answer after all."""
CANCEL_CALL: Final = timedelta(seconds=5)
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 5.0
"""Between two looks at a run in the background."""
BATCH = 20
"""Items that one request may bring."""
ITEMS, ITEMS_DEEP = 20, 100
"""How far a look reads; 100 is the most that one page holds."""
NOBODY: Final = "conv_" + 48 * "0"
"""A conversation that does not exist: asking for it tells whether key and address are right."""

_RUNNING: Final = frozenset({"queued", "in_progress"})

W = TypeVar("W", bound=Wire)


class OpenAIProvider:
    """Speaks to OpenAI, or to another server with the same two APIs. See `ports.providers.Provider` for the promises.

    One method call is one request, never repeated; the exception is a conversation that seems gone, which is asked
    for a second time.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._streaming = Streaming(*WAYS)

    @property
    def refuses_overlap(self) -> bool:
        """See `ports.providers.Provider.refuses_overlap`. OpenAI does; of other servers their operators know."""
        return self._client.spec.refuses_overlap

    @classmethod
    @asynccontextmanager
    async def open(cls, api_key: str | None, base_url: str | None = None) -> AsyncIterator[Self]:
        """Prepare the connections; nothing is reached yet. Without a base URL it is OpenAI, which wants a key."""
        async with Client.open(ProviderSpec(key=api_key, base_url=base_url)) as client:
            yield cls(client)

    async def create_thread(self, metadata: Mapping[str, str], said: Sequence[Said] = ()) -> str:
        """Create a conversation, put what was said on it, 20 items with each request, and return its id.

        A server that does not take the form of the messages is told them in another one.
        """
        # Servers of this API differ in which of these they take; one that has refused a form has made nothing.
        for write in (long_form, short_form) if said else ():
            try:
                return await self._created(metadata, map(write, said))
            except (ContextFull, Filtered):
                raise
            except BadRequest:
                continue
        return await self._created(metadata, map(users_form, said))

    async def _created(self, metadata: Mapping[str, str], items: Iterable[dict[str, Any]]) -> str:
        call = Call("conversations.create", SHORT_CALL, acts=True)
        batches = list(portions(items, BATCH))
        body: dict[str, Any] = {"metadata": dict(metadata)}
        if batches:
            body["items"] = batches[0]
        created = await self._client.request(call, Conversation, "POST", "/conversations", body)
        try:
            for batch in batches[1:]:
                more = Call("items.create", SHORT_CALL, acts=True, thread_id=created.id)
                await self._on_thread(more, Anything, "POST", f"{_path(created.id)}/items", {"items": batch})
        except WorkerError:
            with suppress(WorkerError):  # nobody else knows of it, and it holds what was said
                await self.erase_thread(created.id)
            raise
        return created.id

    async def metadata(self, thread_id: str) -> Mapping[str, str]:
        """What `create_thread` was given."""
        call = Call("conversations.retrieve", SHORT_CALL, thread_id=thread_id)
        conversation = await self._on_thread(call, Conversation, "GET", _path(thread_id))
        return conversation.metadata or {}

    async def look(self, thread_id: str, ref: str, *, deep: bool = False) -> Answer | None:
        """Find the answer to the question with this ref among the newest items. Its response id is not known there."""
        call = Call("items.list", SHORT_CALL, thread_id=thread_id)
        path = f"{_path(thread_id)}/items?order=desc&limit={ITEMS_DEEP if deep else ITEMS}"
        page = await self._on_thread(call, Items, "GET", path)
        return answer_behind(page.data, ref)

    async def ask(
        self, thread_id: str, question: Question, assistant: Assistant, watcher: Watcher | None = None
    ) -> Answer:
        """One turn: question and answer appear on the conversation together, when the response completes."""
        call = Call("responses.create", assistant.timeout, acts=True, thread_id=thread_id, model=assistant.model)

        async def put(more: Mapping[str, Any], telling: Telling | None) -> Answer:
            return answer_in(await self._create(call, thread_id, question, assistant, more, telling), call)

        return await self._streaming.answer(put, assistant.model, watcher)

    async def start(self, thread_id: str, question: Question, assistant: Assistant) -> str:
        """Begin a turn in the background and return its response id. Only stored responses can be retrieved."""
        # Only the beginning is waited for: the model thinks afterwards, and `follow` has the rest of the time.
        limit = min(SHORT_CALL, assistant.timeout)
        with counting_failures():
            call = Call("responses.create", limit, acts=True, thread_id=thread_id, model=assistant.model)
            more = {"background": True, "store": True}
            run = (await self._create(call, thread_id, question, assistant, more)).id
        # Its answer will stand on the conversation all the same, where the next attempt looks for it.
        if run is None:
            raise ModelUnknown(f"{call.name}: the run that was begun has no id by which it could be followed")
        return run

    async def follow(self, response_id: str, within: timedelta) -> Answer | None:
        """Retrieve the response with growing pauses until it has ended. One that is queued may be so for ever."""
        ends_at = monotonic() + within.total_seconds()
        with counting_failures():
            try:
                response, overdue = await self._ended(response_id, ends_at), ""
                if response is None:
                    # Asked to end, it says how it stands: it may have had its answer by then.
                    response, overdue = await self._cancel(response_id), " after its deadline"
            except (ThreadGone, BadRequest):
                return None
            call = Call("responses.retrieve", SHORT_CALL)
            match response.status:
                case "queued" | "in_progress":
                    raise ModelUnknown(f"{call.name}: the run was to be cancelled{overdue}, and goes on")
                case "cancelled":
                    raise ModelDown(f"{call.name}: the run was cancelled{overdue}")
                case None | "completed" | "incomplete" | "failed":
                    return counted(answer_in(response, call))
                case _:  # expired, or a word that is not known yet: what there is stands on the thread
                    return None

    async def cancel(self, response_id: str) -> None:
        """End a turn in the background; one that is over, or is not known, is fine."""
        with suppress(ThreadGone):
            await self._cancel(response_id)

    async def run_status(self, response_id: str) -> str | None:
        """How a turn in the background stands: queued, in_progress, completed …; None if the provider knows of none."""
        try:
            return (await self._retrieve(response_id, monotonic() + SHORT_CALL.total_seconds())).status
        except ThreadGone:
            return None

    async def conversation_of(self, response_id: str) -> str | None:
        """The conversation that a stored response was given on; None if on none. Raises ThreadGone if there is none."""
        call = Call("responses.retrieve", SHORT_CALL, thread_id=response_id)
        return (await self._client.request(call, Origin, "GET", _run_path(response_id))).conversation_id

    async def _create(
        self,
        call: Call,
        thread_id: str,
        question: Question,
        assistant: Assistant,
        more: Mapping[str, Any],
        telling: Telling | None = None,
    ) -> Response:
        _path(thread_id)  # refuses a thread that is gone by its form
        # Items carry no id of the response that they are from: only the question's own text tells whose answer follows.
        said = [asked(question.with_ref, question.attached)]

        def write(schemas: Schemas) -> Mapping[str, Any]:
            body = turn(assistant, said, schemas) | {"conversation": thread_id, **more}
            return cached(body, self._client.spec, question.cache_key)

        async def send(body: Mapping[str, Any]) -> Response:
            hearing = ResponseHearing(telling) if telling else None
            return await self._on_thread(call, Response, "POST", "/responses", body, hearing)

        async with searching(self._client, assistant):
            return await first_taken(send, write, self._client.spec.schema)

    async def _ended(self, response_id: str, ends_at: float) -> Response | None:
        """Return the response when it has ended, None if it has not in time. Trouble on the way is not the run's."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads requests, guards nothing
            try:
                response = await self._retrieve(response_id, ends_at)
                if response.status not in _RUNNING:
                    return response
            except ModelDown as exc:
                wait = max(wait, (exc.retry_after or timedelta(0)).total_seconds())
            except TurnedAway:
                pass  # the run goes on, whatever became of the look at it
            rest = ends_at - monotonic()
            if rest <= 0:
                return None
            await asyncio.sleep(min(wait, rest))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _retrieve(self, response_id: str, ends_at: float) -> Response:
        rest = timedelta(seconds=ends_at - monotonic())
        # By its id in the thread's place a response, too, is gone only when the provider says so of this one.
        call = Call("responses.retrieve", min(max(rest, SHORTEST_CALL), SHORT_CALL), thread_id=response_id)
        return await self._client.request(call, Response, "GET", _run_path(response_id))

    async def _cancel(self, response_id: str) -> Response:
        """Ask for the run's end and return how it stands then. Raises ModelUnknown (it may go on), ThreadGone."""
        call = Call("responses.cancel", CANCEL_CALL, acts=True, thread_id=response_id)
        try:
            return await self._client.request(call, Response, "POST", f"{_run_path(response_id)}/cancel")
        except (ModelDown, BadRequest, TurnedAway) as exc:
            with suppress(ModelDown, BadRequest, TurnedAway):  # OGX says 409 of a run that is over
                response = await self._retrieve(response_id, monotonic() + CANCEL_CALL.total_seconds())
                if response.status not in _RUNNING:
                    return response
            raise ModelUnknown(f"a run could not be cancelled: {exc}") from exc

    async def delete_thread(self, thread_id: str) -> None:
        """Delete an empty conversation; one that is gone already is fine. OpenAI would keep the items of a full one."""
        call = Call("conversations.delete", SHORT_CALL, acts=True, thread_id=thread_id)
        with suppress(ThreadGone):  # `_path` may raise it, too
            await self._erase(call, _path(thread_id))

    async def erase_thread(self, thread_id: str) -> int:
        """Delete every item, then the conversation, and see that it is gone; returns how many items went.

        OpenAI keeps the items of a conversation that is deleted whole. May be repeated after any end: it goes on with
        what is left, and one that is gone already is fine.
        """
        erased: set[str] = set()
        try:
            while names := await self._oldest(thread_id):
                # A server that says it has deleted and goes on listing would keep this going for ever.
                if erased & set(names):
                    raise ModelDown("items.delete: the provider deleted an item, and yet shows it")
                for name in names:
                    await self._erase(
                        Call("items.delete", SHORT_CALL, acts=True, thread_id=name), _item_path(thread_id, name)
                    )
                    erased.add(name)
        except ThreadGone:
            return len(erased)
        await self.delete_thread(thread_id)
        try:
            await self.metadata(thread_id)
        except ThreadGone:
            return len(erased)
        raise ModelDown("conversations.delete: the provider deleted the conversation, and yet shows it")

    async def erase_response(self, response_id: str) -> bool:
        """Delete a stored response, which holds its answer a second time; False if it is gone already."""
        return await self._erase(
            Call("responses.delete", SHORT_CALL, acts=True, thread_id=response_id), _run_path(response_id)
        )

    async def _oldest(self, thread_id: str) -> list[str]:
        call = Call("items.list", SHORT_CALL, thread_id=thread_id)
        # Always the first page: what was on it before has been deleted, and a cursor would be of an item that is gone.
        page = await self._on_thread(call, Names, "GET", f"{_path(thread_id)}/items?order=asc&limit={ITEMS_DEEP}")
        return [each.id for each in page.data]

    async def _erase(self, call: Call, path: str) -> bool:
        try:
            await self._client.request(call, Anything, "DELETE", path)
        except ThreadGone:
            return False
        return True

    async def ping(self) -> None:
        """Return if the provider accepts our key and has conversations: it says of one that it does not exist.

        Not by listing the models: a key that is restricted to what a turn needs may not do that.
        """
        call = Call("conversations.retrieve", SHORT_CALL, thread_id=NOBODY, probe=True)
        try:
            await self._client.request(call, Conversation, "GET", _path(NOBODY))
        except (ThreadGone, BadRequest):  # the latter where the id has not even the form of one
            return
        raise ModelDown(
            f"{call.name}: the server shows a conversation that cannot exist, so it keeps none: "
            f"{self._client.spec.words.address} has to name one with Conversations and Responses"
        )

    async def find_model(self, name: str) -> ModelCard | None:
        """What is said of a model; None where this key cannot use it. Raises ModelDown, ProviderPaused."""
        return await find_model(self._client, name)

    async def try_out(self, question: str, assistant: Assistant, schemas: Schemas) -> Answer:
        """Ask a question that nobody keeps, in one form alone. Raises as `ask` does."""
        return await try_out(self._client, question, assistant, schemas)

    async def _on_thread(
        self,
        call: Call,
        shape: type[W],
        method: Literal["GET", "POST"],
        path: str,
        body: Any = None,
        hearing: Hearing | None = None,
    ) -> W:
        """Send a request that needs the conversation. Gone is what two calls call gone."""
        try:
            return await self._client.request(call, shape, method, path, body, hearing)
        except ThreadGone as gone:
            rest = timedelta(seconds=max(0.0, call.seconds_left))
            # What is made anew is not undone, and a 404 may be a gateway's: a second call has to say the same.
            check = Call("conversations.retrieve", min(SHORT_CALL, rest), thread_id=call.thread_id)
            await self._client.request(check, Anything, "GET", _path(str(call.thread_id)))
            raise ModelDown(f"{call.name}: the provider has no such conversation, and yet shows it") from gone


def _path(thread_id: str) -> str:
    """Address a conversation. Raises ThreadObsolete for a thread of the Assistants API, shut down on 2026-08-26."""
    if thread_id.startswith("thread_"):
        raise ThreadObsolete("a thread of the Assistants API, which was shut down on 2026-08-26")
    return f"/conversations/{quote(thread_id, safe='')}"


def _item_path(thread_id: str, item_id: str) -> str:
    return f"{_path(thread_id)}/items/{quote(item_id, safe='')}"


def _run_path(response_id: str) -> str:
    return f"/responses/{quote(response_id, safe='')}"


def long_form(said: Said) -> dict[str, Any]:
    """Write a message as the API itself lists it."""
    kind = {"type": "output_text", "annotations": []} if said.role == "assistant" else {"type": "input_text"}
    return {"type": "message", "role": said.role, "content": [{**kind, "text": said.text}]}


def short_form(said: Said) -> dict[str, Any]:
    """Write a message without what some servers miss in an answer's long form, but with its type, as others want it."""
    role = "system" if said.role == "developer" else said.role
    return {"type": "message", "role": role, "content": said.text}


def asked(text: str, attached: Sequence[Attachment]) -> dict[str, Any]:
    """Write a question, with what goes along with it."""
    if not attached:
        return short_form(Said("user", text))
    parts = [{"type": "input_text", "text": text}, *map(_part, attached)]
    return {"type": "message", "role": "user", "content": parts}


def _part(attachment: Attachment) -> dict[str, Any]:
    if attachment.is_image:
        return {"type": "input_image", "image_url": attachment.data_url, "detail": "auto"}
    return {"type": "input_file", "filename": attachment.name, "file_data": attachment.data_url}


def users_form(said: Said) -> dict[str, Any]:
    """Write a message as the user's, who says whose it was; an answer must not look like a question of ours there."""
    text = said.text if said.role == "user" else f"({said.role})\n\n{defused(said.text)}"
    return {"type": "message", "role": "user", "content": text}


def turn(assistant: Assistant, said: Sequence[Mapping[str, Any]], schemas: Schemas) -> dict[str, Any]:
    """Write the body of a turn. Instructions are kept nowhere: every turn brings them."""
    body: dict[str, Any] = {
        "model": assistant.model,
        "instructions": instructions(assistant, schemas),
        "input": said,
    }
    if assistant.temperature is not None:
        body["temperature"] = assistant.temperature
    if assistant.max_output_tokens is not None:
        body["max_output_tokens"] = assistant.max_output_tokens
    if assistant.file_store:
        body["tools"] = [{"type": "file_search", "vector_store_ids": [assistant.file_store]}]
    if assistant.output_schema is not None and schemas != "none":
        body["text"] = {"format": {"type": "json_schema", **named(assistant, schemas)}}
    return body


async def find_model(client: Client, name: str) -> ModelCard | None:
    """What is said of a model; None where this key cannot use it. Raises ModelDown, ProviderPaused."""
    call = Call("models.retrieve", SHORT_CALL, model=name, probe=True)
    try:
        return await client.request(call, ModelCard, "GET", f"/models/{quote(name, safe='')}")
    except BadRequest:
        return None
    except (ProviderAway, ProviderPaused):
        raise
    except ModelDown:  # llama.cpp shows all of its models, and none alone
        listing = Call("models.list", SHORT_CALL, probe=True)
        cards = await client.request(listing, ModelCards, "GET", "/models")
        return next((each for each in cards.data if each.id == name), None)


async def try_out(client: Client, question: str, assistant: Assistant, schemas: Schemas) -> Answer:
    """Ask a question that belongs to no conversation, in one form alone; nothing of it is stored."""
    call = Call("responses.create", assistant.timeout, acts=True, model=assistant.model)
    body = turn(assistant, [short_form(Said("user", question))], schemas) | {"store": False}
    return answer_in(await client.request(call, Response, "POST", "/responses", body), call)


def answer_in(response: Response, call: Call) -> Answer:
    """Read the answer; a response that has none in it yet, or failed for reasons of the server, is no answer."""
    if response.status not in {None, "completed", "incomplete", "failed"}:
        raise ModelUnknown(f"{call.name}: the reply came before the response was complete")
    answer = answer_of(response)
    if response.status == "failed":
        match failures.of_failed_response(answer.detail, call):
            case Filtered():
                return replace(answer, outcome=Outcome.FILTERED)
            case WorkerError() as error:
                raise error
    return answer
