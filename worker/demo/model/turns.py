"""How a response comes about: it locks its conversation, takes its time, and lands input and output at once."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

from worker.demo.model import answers, files, parts
from worker.demo.model.answering import Answerer, landing, named
from worker.demo.model.store import Store, Turn
from worker.demo.model.weights import Weight
from worker.demo.model.wire import (
    TOKEN_CHARACTERS,
    ApiError,
    Json,
    message,
    message_of,
    new_id,
    now,
    reasons,
    text_of,
    text_part,
    tokens,
    usage,
)

LANDING: Final = frozenset({"completed", "incomplete"})
Answering = Callable[[Sequence[Json]], Awaitable[Json]]
"""Answers a turn behind these items, in place of the script."""
CACHED_FROM, CACHED_AT_ONCE = 1024, 128
"""The shortest beginning that is cached, in tokens, and in which portions."""
REASONING_TOKENS = 64
"""What a model takes that thinks before it answers."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a turn ends."""

    output: list[Json]
    status: str = "completed"
    reason: str | None = None
    error: Json | None = None


def _parts(text: str, options: Mapping[str, Any]) -> list[str]:
    """Cuts a text into pieces that give the text again when joined."""
    count = int(options.get("count", 3))
    size = -(-len(text) // count) or 1
    return [text[start : start + size] for start in range(0, len(text), size)]


def _incomplete(reason: str) -> Callable[[str, Mapping[str, Any]], Result]:
    def outcome(text: str, _options: Mapping[str, Any]) -> Result:
        return Result([message("assistant", [text[: len(text) // 2]], status="incomplete")], "incomplete", reason)

    return outcome


def _refused(_text: str, options: Mapping[str, Any]) -> Result:
    refusal = options.get("text", "I'm sorry, but I can't help with that.")
    return Result([message_of("assistant", [{"type": "refusal", "refusal": refusal}])])


def _failed(_text: str, options: Mapping[str, Any]) -> Result:
    code = options.get("code", "server_error")
    return Result([], "failed", error={"code": code, "message": "The model failed to generate a response."})


def _phased(text: str, options: Mapping[str, Any]) -> Result:
    """Says something on the way to the answer, as newer models do."""
    said = options.get("text", "Let me look at that first.")
    phases = {"commentary": said, "final_answer": text}
    return Result([message("assistant", [text]) | {"phase": phase} for phase, text in phases.items()])


OUTCOMES: Final[Mapping[str, Callable[[str, Mapping[str, Any]], Result]]] = {
    "completed": lambda text, _: Result([message("assistant", [text])]),
    "phased": _phased,
    "refused": _refused,
    "filtered": _incomplete("content_filter"),
    "incomplete": _incomplete("max_output_tokens"),
    "failed": _failed,
    "empty": lambda _text, _: Result([]),
    "blank": lambda _text, _: Result([message("assistant", [""])]),
    "reasoning_only": lambda _text, _: Result([_reasoning()]),
    "parts": lambda text, options: Result(
        [message_of("assistant", [text_part(part) for part in _parts(text, options)])]
    ),
    "messages": lambda text, options: Result([message("assistant", [part]) for part in _parts(text, options)]),
}


def _reasoning() -> Json:
    return {"id": new_id("rs"), "type": "reasoning", "summary": []}


@dataclass(slots=True)
class Script:
    """What is answered, and how fast: literal answers first, then the scripted ones; or who answers instead."""

    latency: timedelta = timedelta(0)
    answerer: Answerer | None = None
    literal: list[tuple[re.Pattern[str], str]] = field(default_factory=list)
    weights: dict[str, Weight] = field(default_factory=dict)
    """By the names of decision questions."""

    def text(self, question: str, history: Sequence[Json], wanted: Mapping[str, Any]) -> str:
        """The answer, in the form that was wanted."""
        for pattern, text in self.literal:
            if pattern.search(question):
                return text
        earlier = [answers.Message(item["role"], text_of(item)) for item in history if item.get("type") == "message"]
        return answers.formed(answers.answer(question, earlier), question, wanted)


class PromptCache:
    """Prompts that were read lately, by their beginnings: what begins alike is read from here, as OpenAI does it."""

    def __init__(self) -> None:
        self._beginnings = set[bytes]()

    def read(self, model: str, texts: Sequence[str]) -> int:
        """Read a prompt, text by text, and say how many of its tokens had been read before."""
        digest, count, cached = sha256(model.encode()), 0, 0
        for text in texts:
            digest.update(b"%d:" % len(text) + text.encode(errors="replace"))
            count += tokens(text)
            beginning = digest.digest()
            if beginning in self._beginnings:
                cached = count
            self._beginnings.add(beginning)
        return cached - cached % CACHED_AT_ONCE if cached >= CACHED_FROM else 0


class Turns:
    """The turns that run. Nothing of one is to be seen on its conversation before it lands."""

    def __init__(self, store: Store) -> None:
        self.script = Script()
        self.locked: dict[str, str] = {}
        self._store = store
        self._cache = PromptCache()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._gates: dict[str, asyncio.Event] = {}

    def start(self, turn: Turn, effect: Mapping[str, Any], answering: Answering | None = None) -> asyncio.Task[None]:
        """Locks the conversation and lets the turn run, whoever waits for it. ApiError 400 while another one runs."""
        conversation = turn.conversation_id
        if conversation in self.locked:
            text = "Another process is currently operating on this conversation. Please retry in a few seconds."
            raise ApiError(400, text, param="conversation", code="conversation_locked")
        if conversation:
            self.locked[conversation] = turn.id
        task = asyncio.create_task(self._run(turn, effect, answering), name=f"turn {turn.id}")
        self._tasks[turn.id] = task
        task.add_done_callback(lambda _: self._ended(turn))  # also runs for a task that is cancelled before its start
        return task

    def _ended(self, turn: Turn) -> None:
        self._tasks.pop(turn.id, None)
        if turn.conversation_id:
            self.locked.pop(turn.conversation_id, None)

    async def _run(self, turn: Turn, effect: Mapping[str, Any], answering: Answering | None) -> None:
        if effect.get("queued"):
            await asyncio.Event().wait()
        turn.response["status"] = "in_progress"
        seconds = self.script.latency.total_seconds() + effect.get("during", 0)
        if seconds:
            await asyncio.sleep(seconds)
        if "hold" in effect:
            await self._gate(effect["hold"]).wait()
        if answering is None:
            self._finish(turn, effect)
        else:
            await self._have_answered(turn, answering)

    async def _have_answered(self, turn: Turn, answering: Answering) -> None:
        """Take the answer from somebody else. Raises ApiError; a turn in the background fails in its place."""
        try:
            reply = named(await answering(self._store.history(turn)))
        except ApiError as exc:
            if not turn.response["background"]:
                raise
            turn.response |= {"status": "failed", "error": exc.error}
            self._store.keep(turn)
            return
        turn.response |= {"status": reply.get("status") or "completed", "output": landing(reply)}
        made = {name: turn.response[name] for name in ("id", "object", "created_at", "conversation")}
        turn.reply = {**reply, **made}
        (self._store.land if turn.response["status"] in LANDING else self._store.keep)(turn)

    def _finish(self, turn: Turn, effect: Mapping[str, Any]) -> None:
        """Everything from the answer to the landing happens in one step of the event loop."""
        history = self._store.history(turn)
        result = self._result(turn, [*history, *turn.input[:-1]], effect)
        thought = reasons(turn.response["model"]) and result.output
        output = [_reasoning(), *result.output] if thought else result.output
        prompt = [turn.response["instructions"] or "", *map(text_of, [*history, *turn.input])]
        turn.response |= {
            "status": result.status,
            "completed_at": now() if result.status == "completed" else None,
            "output": output,
            "error": result.error,
            "incomplete_details": {"reason": result.reason} if result.reason else None,
            "usage": usage(
                tokens(*prompt) + sum(map(parts.tokens, [*history, *turn.input])),
                tokens(*map(text_of, output)),
                cached=self._cache.read(turn.response["model"], prompt),
                reasoning=REASONING_TOKENS if thought else 0,
            ),
        }
        (self._store.land if result.status in LANDING else self._store.keep)(turn)

    def _result(self, turn: Turn, history: Sequence[Json], effect: Mapping[str, Any]) -> Result:
        question = next((text_of(item) for item in reversed(turn.input) if item.get("role") == "user"), "")
        text = effect.get("answer")
        if text is None:
            text = self.script.text(question, history, turn.response["text"]["format"])
        wanted = effect.get("outcome", "completed")
        options = {"name": wanted} if isinstance(wanted, str) else wanted
        limit = turn.response["max_output_tokens"]
        if limit and tokens(text) > limit and options["name"] == "completed":
            cut = message("assistant", [text[: limit * TOKEN_CHARACTERS]], status="incomplete")
            return Result([cut], "incomplete", "max_output_tokens")
        result = OUTCOMES[options["name"]](text, options)
        return self._by_files(turn, question, result) if turn.response["tools"] else result

    def _by_files(self, turn: Turn, question: str, result: Result) -> Result:
        """Say that files were searched, and which of them the answer goes by."""
        named = [each for tool in turn.response["tools"] for each in tool["vector_store_ids"]]
        stores = self._store.files.stores
        found = files.hits([stores[each] for each in named if each in stores], question)
        for item in result.output:
            for part in item.get("content") or ():
                if part["type"] == "output_text":
                    part["annotations"] = [files.citation(each, len(part["text"])) for each in found]
        return replace(result, output=[files.search_call(question), *result.output])

    async def cancel(self, turn: Turn) -> None:
        """Stops a running turn; nothing of it lands. One that has ended stays as it is."""
        task = self._tasks.get(turn.id)
        if task:
            task.cancel()
            await asyncio.wait([task])
            if task.cancelled():
                turn.response["status"] = "cancelled"
                self._store.keep(turn)

    def resume(self) -> None:
        """Goes on with the background turns that the last server left running."""
        for turn in list(self._store.turns.values()):
            if turn.response["status"] in {"queued", "in_progress"}:
                self.start(turn, {})

    def release(self, gate: str) -> None:
        """Lets the turns go that wait at this gate, and those that come to it later."""
        self._gate(gate).set()

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())

    async def stop(self) -> None:
        """Ends what runs, as the death of a server would: nothing lands."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._gates.clear()
