"""Providers that weigh: decision questions are answered with probabilities. Nothing is kept, and nothing has an id."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, StrictBool, StrictStr

from worker.domain.documents import Attachment
from worker.domain.providers import Schemas
from worker.domain.questions import DecisionQuestion, Option, Value, written
from worker.domain.threads import Answer, Assistant, Outcome, Said
from worker.errors import BadRequest
from worker.ports.providers import Watcher
from worker.providers.client import Client, answered
from worker.providers.failures import Call
from worker.providers.openai import find_model
from worker.providers.wire import Maybe, ModelCard, Plain, Usage, Wire

Share = Annotated[float, Field(ge=0, le=1.001, allow_inf_nan=False)]
"""A probability. Some servers round so that it is a little more than 1."""
Answers = Mapping[str, Mapping[str, Any]]

_KINDS: Final = {"predicate": "noul", "choice": "choice", "score": "score"}
"""What System One calls them."""


class _Weighing(ABC):
    """Implements `ports.providers.Model` for decision questions."""

    call: ClassVar[str]
    path: ClassVar[str]

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ask(
        self,
        said: Sequence[Said],  # noqa: ARG002 - of the port: these questions follow from nothing
        question: str,
        assistant: Assistant,
        *,
        cache_key: str = "",  # noqa: ARG002 - of the port
        watcher: Watcher | None = None,
        attached: Sequence[Attachment] = (),  # noqa: ARG002 - of the port: no provider of these takes any
    ) -> Answer:
        """Have the assistant's questions about this one answered, all by one call."""
        if not assistant.questions:
            raise BadRequest(
                f"the provider {self._client.spec.name} answers decision questions alone: set the property "
                "data.questions, or let the assistant ask another provider"
            )
        if watcher is not None:
            watcher.began()
        return await answered(self._answer(question, assistant))

    async def ping(self) -> None:
        """Return if the provider accepts our key and answers decision questions."""
        await self._client.takes(self.call, self.path)

    async def find_model(self, name: str) -> ModelCard | None:
        """What is said of a model; None where this key cannot use it. Raises ModelDown, ProviderPaused."""
        return await find_model(self._client, name)

    async def try_out(self, question: str, assistant: Assistant, schemas: Schemas) -> Answer:  # noqa: ARG002 - of others
        """Ask once, for nobody. Raises as `ask` does."""
        return await self._answer(question, assistant)

    async def _answer(self, question: str, assistant: Assistant) -> Answer:
        call = Call(self.call, assistant.timeout, acts=True, model=assistant.model)
        reply, answers = await self._put(call, question, assistant)
        answer = (reply.usage or Usage()).on(Answer("", model=reply.model, weighed=True))
        if answers is None:
            return replace(answer, outcome=Outcome.INVALID, detail="the answers are not to what was asked")
        refused = all(each["value"] is None for each in answers.values())
        return replace(answer, text=written(answers), outcome=Outcome.REFUSED if refused else Outcome.OK)

    @abstractmethod
    async def _put(self, call: Call, question: str, assistant: Assistant) -> "tuple[_Reply, Answers | None]":
        """Send all questions; what came, and the answers in it: None where they are to other questions."""


class _Reply(Plain):
    """What both say beside the answers."""

    model: Maybe[str] = None
    usage: Maybe[Usage] = None


class _Weight(Wire):
    """How probable one option is: a choice's by its value, a level by its label."""

    probability: Share
    # Strict, as pydantic would read the text "yes" as true, and nobody could tell which option was meant.
    value: StrictStr | StrictBool | int | None = None
    label: Maybe[str] = None


class _Verdict(Wire):
    """An answer, of whichever type."""

    type: str
    probability: Share | None = None
    choice: StrictStr | StrictBool | None = None
    score: Annotated[float, Field(allow_inf_nan=False)] | None = None
    confidence: Maybe[Share] = None
    probabilities: list[_Weight] = Field(default_factory=list)

    def on(self, question: DecisionQuestion) -> Mapping[str, Any] | None:
        """Say what it is to this question; None if it is to another one."""
        if self.type == "refusal":
            return question.refused()
        if self.type != question.kind:
            return None
        if self.type == "predicate":
            return None if self.probability is None else question.likely(min(self.probability, 1.0))
        is_choice = self.type == "choice"
        found = {_same(each.value if is_choice else each.label): each.probability for each in self.probabilities}
        value = self.choice if is_choice else self.score
        return _weighed(question, value, self.confidence, [found.get(_same(each.value)) for each in question.options])


class _Decision(_Reply):
    """Answers in the order of the questions."""

    answers: list[_Verdict]


class DecisionsModel(_Weighing):
    """OpenAI's decisions. The assistant's instructions are a developer's message before what is to be judged."""

    call = "decisions.create"
    path = "/decisions"

    async def _put(self, call: Call, question: str, assistant: Assistant) -> tuple[_Reply, Answers | None]:
        spoken = [("developer", assistant.told), ("user", question)]
        body = {
            "model": assistant.model,
            "input": [{"type": "message", "role": role, "content": text} for role, text in spoken if text],
            "questions": list(map(_question, assistant.questions)),
        }
        reply = await self._client.request(call, _Decision, "POST", self.path, body)
        if len(reply.answers) != len(assistant.questions):
            return reply, None
        pairs = zip(assistant.questions, reply.answers, strict=True)
        return reply, _all({question.name: verdict.on(question) for question, verdict in pairs})


def _question(question: DecisionQuestion) -> dict[str, Any]:
    told: dict[str, Any] = {"type": question.kind, "name": question.name, "instructions": question.instructions}
    match question.kind:
        case "choice":
            told["choices"] = [_described("value", each) for each in question.options]
        case "score":
            told["levels"] = [_described("label", each) for each in question.options]
    return told


def _described(key: str, option: Option) -> dict[str, Any]:
    return {key: option.value} | ({"description": option.description} if option.description else {})


class _One(Wire):
    """System One's answer to one question, of whichever type."""

    type: Maybe[str] = None
    noul: Share | None = None
    choice: StrictStr | None = None
    score: Annotated[float, Field(allow_inf_nan=False)] | None = None
    confidence: Maybe[Share] = None
    probabilities: dict[str, Share] = Field(default_factory=dict)

    def on(self, question: DecisionQuestion) -> Mapping[str, Any] | None:
        """Say what it is to this question; None if it is to another one."""
        if question.kind == "predicate":
            return None if self.noul is None else question.likely(min(self.noul, 1.0))
        if question.kind == "score":
            found = [self.probabilities.get(str(level)) for level, _ in enumerate(question.options)]
            return _weighed(question, self.score, self.confidence, found)
        found = [self.probabilities.get(each.label) for each in question.options]
        chosen = next((each.value for each in question.options if each.label == self.choice), None)
        return _weighed(question, chosen, self.confidence, found)


class _Systemone(_Reply):
    """Answers by the names of their questions. One that the model could not answer is missing."""

    answers: dict[str, _One]


class SystemOneModel(_Weighing):
    """System One, which several servers have. It takes no messages: instructions stand before what is to be judged."""

    call = "systemone.create"
    path = "/systemone"

    async def _put(self, call: Call, question: str, assistant: Assistant) -> tuple[_Reply, Answers | None]:
        body = {
            "model": assistant.model,
            "state": "\n\n".join(filter(None, [assistant.told, question])),
            "questions": {each.name: _criteria(each) for each in assistant.questions},
        }
        reply = await self._client.request(call, _Systemone, "POST", self.path, body)
        if reply.answers.keys() - {each.name for each in assistant.questions}:
            return reply, None
        found = ((each, reply.answers.get(each.name)) for each in assistant.questions)
        return reply, _all({each.name: answer.on(each) if answer else each.refused() for each, answer in found})


def _criteria(question: DecisionQuestion) -> dict[str, Any]:
    told: dict[str, Any] = {"type": _KINDS[question.kind], "instructions": question.instructions}
    match question.kind:
        case "choice":
            told["criteria"] = {each.label: each.description or None for each in question.options}
        case "score":
            parts = ([each.label, each.description] for each in question.options)
            told["criteria"] = [": ".join(filter(None, each)) for each in parts]
    return told


def _weighed(
    question: DecisionQuestion, value: Value | None, confidence: float | None, found: Sequence[float | None]
) -> Mapping[str, Any] | None:
    """Write an answer; None where its value or one of its probabilities is of no option of this question."""
    known = [min(each, 1.0) for each in found if each is not None]
    if value is None or len(known) < len(found):
        return None
    if question.kind == "choice" and _same(value) not in {_same(each.value) for each in question.options}:
        return None
    if question.kind == "score" and not 0 <= float(value) <= len(found) - 1:
        return None
    return question.decided(value, None if confidence is None else min(confidence, 1.0), known)


def _same(value: object) -> tuple[type, object]:
    """Tell a text from a truth value of the same words, and a number from both."""
    # To Python 1, 1.0 and True are equal.
    return type(value), value


def _all(answers: Mapping[str, Mapping[str, Any] | None]) -> Answers | None:
    known = {name: each for name, each in answers.items() if each is not None}
    return known if len(known) == len(answers) else None
