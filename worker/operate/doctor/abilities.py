"""What a model can do over its provider's API, asked and not assumed: one small question, and what is told of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, Protocol, get_args, runtime_checkable

from worker.domain.providers import ProviderSpec, Schemas
from worker.domain.questions import DecisionQuestion
from worker.domain.stops import Stops, Work
from worker.domain.threads import Answer, Assistant, Outcome
from worker.errors import AssistantPaused, BadRequest, ProviderPaused, TurnedAway, WorkerError
from worker.modelling import schema
from worker.operate.doctor.checks import Finding, Level
from worker.ports.stops import StopBook

QUESTION: Final = 'Are you there? Answer with {"there": true} and nothing else.'
SCHEMA: Final = {
    "type": "object",
    "properties": {"there": {"type": "boolean"}},
    "required": ["there"],
    "additionalProperties": False,
}
PREDICATE: Final = DecisionQuestion("there", "predicate", "Somebody asks whether anybody is there.")
"""What is asked instead of whoever answers decision questions alone."""
MOST_WRITTEN: Final = 200
"""Tokens that the answer may take: a model that thinks first needs more than the answer has."""
LIMIT: Final = timedelta(seconds=8)
"""How long a model may take: less than a check's patience, with whose end all that it has found is lost."""
_SCHEMAS: Final[tuple[Schemas, ...]] = get_args(Schemas)
"""The best first."""


@runtime_checkable
class Trying(Protocol):
    """What a provider's adapter offers so that a question can be asked which belongs to no thread."""

    async def try_out(self, question: str, assistant: Assistant, schemas: Schemas) -> Answer:
        """Ask in one form. Raises BadRequest if that is not taken, and as `ports.providers.Model`."""
        ...


async def of_model(
    area: str, name: str, spec: ProviderSpec, users: Sequence[Assistant], model: Trying, book: StopBook
) -> Finding:
    """Ask the model, as its assistants do. One call at most runs: what is refused did not."""
    subject = f"call of {name}"
    try:
        if halted := _stopped(await book.read(), spec.name, users):
            return Finding(area, subject, Level.UNKNOWN, f"not asked: {halted}")
        return await _asked(area, subject, name, spec, users, model)
    except (ProviderPaused, AssistantPaused, TurnedAway) as exc:
        advice = f"Let {spec.words.key} pay for calls of this model, and use it."
        return Finding(area, subject, Level.PROBLEM, f"a call is refused: {exc}", advice)
    except WorkerError as exc:
        return Finding(area, subject, Level.UNKNOWN, str(exc))


async def _asked(
    area: str, subject: str, name: str, spec: ProviderSpec, users: Sequence[Assistant], model: Trying
) -> Finding:
    temperature = next((each.temperature for each in users if each.temperature is not None), None)
    asker = Assistant(
        "doctor", "1", name, spec.name, "Answer in JSON.", LIMIT, temperature, MOST_WRITTEN, output_schema=SCHEMA
    )
    if spec.weighs:
        return await _weighed(area, subject, replace(asker, questions=(PREDICATE,)), model)
    for schemas in _SCHEMAS:
        try:
            answer = await model.try_out(QUESTION, asker, schemas)
        except BadRequest as exc:
            refusal = str(exc)
        else:
            return _judged(area, subject, spec, answer, schemas)
    # A turn on a conversation is not asked to store nothing, so that there it may be for this that it is refused.
    level = Level.WARNING if spec.api == "conversations" else Level.PROBLEM
    return Finding(area, subject, level, f"a call is refused: {refusal}", "Every task that asks it would fail so.")


async def _weighed(area: str, subject: str, asker: Assistant, model: Trying) -> Finding:
    """Ask one decision question."""
    try:
        answer = await model.try_out(QUESTION, asker, "none")
    except BadRequest as exc:
        said = f"a decision question is refused: {exc}"
        return Finding(area, subject, Level.PROBLEM, said, "Every task that asks it would fail so.")
    if answer.outcome is not Outcome.OK:
        said = f"one was made ({_tokens(answer)}); the answer is {answer.outcome.value} {answer.detail}".rstrip()
        return Finding(area, subject, Level.WARNING, said, "Look whether the model is one that weighs answers.")
    said = f"one was made and answered with a probability ({_tokens(answer)})"
    return Finding(area, subject, Level.OK, said)


def of_window(area: str, name: str, spec: ProviderSpec, told: int | None) -> list[Finding]:
    """Compare what the server says that a model can read with what the file says; hardly any server says it."""
    if told is None:
        return []
    subject, said = f"window of {name}", f"the server says {told} tokens"
    if spec.context_tokens is None:
        return [Finding(area, subject, Level.OK, f"{said}; context_tokens names none, so it is learnt from a refusal")]
    if told >= spec.context_tokens:
        return [Finding(area, subject, Level.OK, f"{said}, context_tokens {spec.context_tokens}")]
    advice = f"Set context_tokens of the provider {spec.name} to {told} at most."
    return [Finding(area, subject, Level.WARNING, f"{said}, and context_tokens is {spec.context_tokens}", advice)]


def _stopped(stops: Stops, provider: str, users: Sequence[Assistant]) -> str | None:
    """Say who has stopped all that would ask."""
    found = [next((s for s in stops.known if s.concerns(Work("", None, each.name, provider))), None) for each in users]
    return str(found[0]) if all(found) else None


def _judged(area: str, subject: str, spec: ProviderSpec, answer: Answer, taken: Schemas) -> Finding:
    """Say what the answer shows, and what of the file it contradicts."""
    took = _tokens(answer)
    said = f"one was made and answered ({took})"
    if answer.outcome is not Outcome.OK:
        said = f"one was made ({took}); the answer is {answer.outcome.value}, so it shows nothing of schemas"
        return Finding(area, subject, Level.OK, said)
    kept = taken if _keeps(answer.text) else "none"
    if kept == taken == "none" and spec.schema != "none":
        said = f"{said}; a JSON Schema is refused"
    elif kept == "none" != taken:
        said = f"{said}; a JSON Schema is taken and not kept to"
    else:
        said = f"{said}; schema: {kept} is right"
    if _SCHEMAS.index(kept) > _SCHEMAS.index(spec.schema):
        advice = f"Set schema: {kept} for the provider {spec.name} in PROVIDERS_FILE, which says {spec.schema}."
        return Finding(area, subject, Level.WARNING, said, advice)
    return Finding(area, subject, Level.OK, said)


def _tokens(answer: Answer) -> str:
    counts = (answer.input_tokens, answer.output_tokens)
    return "tokens are not told" if None in counts else f"{counts[0]} tokens read, {counts[1]} written"


def _keeps(text: str) -> bool:
    try:
        value = schema.parse(text)
    except ValueError:
        return False
    # By its type: to Python 1 and 0 are equal to true and false.
    return isinstance(value, dict) and list(map(type, value.values())) == [bool] and "there" in value
