"""What a provider's failures mean: one table, read from the top; the first row that fits counts.

Nothing of a provider's message goes into a text of ours, because it may quote the question or the key: only status,
code, type, param and request id do.
"""

import math
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
import httpx2
import openai

from worker.domain.providers import Words
from worker.errors import (
    AssistantPaused,
    BadRequest,
    ContextFull,
    Filtered,
    KeepsNothing,
    ModelDown,
    ModelUnknown,
    ProviderAway,
    ProviderPaused,
    ThreadBroken,
    ThreadGone,
    ThreadLocked,
    Transient,
    TurnedAway,
    WorkerError,
)
from worker.providers.refusals import Said, Topic, topic_of, word
from worker.runtime.clock import monotonic

LONGEST_RETRY_AFTER = timedelta(hours=1)
"""Whoever asks for a longer wait is asked once more in between."""
_WORDS: Final = Words()
_NO_SUCH_MODEL: Final = "no model {model!r} for this key: correct `model` in the assistant's spec"


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked of the provider, as far as the meaning of a failure depends on it.

    `acts`: the call may have done its work although no reply came. `limit` is its time until the last byte, from
    `began`, all requests that are made for it together. `probe`: it was made to see how the provider is, for no task.
    """

    name: str
    limit: timedelta
    acts: bool = False
    thread_id: str | None = None
    model: str | None = None
    probe: bool = False
    began: float = field(default_factory=monotonic, compare=False)

    @property
    def seconds_left(self) -> float:
        """What is left of its time."""
        return self.began + self.limit.total_seconds() - monotonic()


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the provider said: the status, and what its body makes of it.

    `topic` is what its words mean, see `refusals.Topic`. `own`: the body is an error object of the API; `page`: it is
    not even JSON. `of_a_turn`: the call was to ask a model; `whole`: with all that was said before.
    """

    status: int
    code: str = ""
    kind: str = ""
    param: str = ""
    own: bool = True
    page: bool = False
    topic: Topic = ""
    of_a_turn: bool = False
    whole: bool = False
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. A condition that is None fits everything; the others must all fit."""

    error: type[WorkerError]
    meaning: str
    statuses: Container[int] | None = None
    codes: Container[str] | None = None
    kinds: Container[str] | None = None
    params: Container[str] | None = None
    topic: Topic | None = None
    own: bool | None = None
    page: bool | None = None
    of_a_turn: bool | None = None
    whole: bool | None = None
    probe: bool | None = None

    def fits(self, refusal: Refusal) -> bool:
        """Whether this line speaks of such a refusal."""
        return (
            (self.statuses is None or refusal.status in self.statuses)
            and (self.codes is None or refusal.code in self.codes)
            and (self.kinds is None or refusal.kind in self.kinds)
            and (self.params is None or refusal.param in self.params)
            and self.topic in {None, refusal.topic}
            and self.own in {None, refusal.own}
            and self.page in {None, refusal.page}
            and self.of_a_turn in {None, refusal.of_a_turn}
            and self.whole in {None, refusal.whole}
            and self.probe in {None, refusal.probe}
        )


_PAGE: Final = "a page came, and not the provider's answer"
_ON_THE_WAY: Final = "what stands before the provider (firewall, proxy, gateway)"
_REFUSED: Final = frozenset(range(400, 500)) - {408, 409, 413, 425, 429}
"""Statuses that refuse a request; the others say that it is too large, or that it may come again."""
LENGTHS: Final = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"})
"""What the APIs call the limit of an answer."""
_LARGE: Final = "the provider, or a server before it, takes nothing so large: shorten the inputs"
_NO_MODEL_FOR_KEY: Final = "the key has no right to ask model {model!r}"
_NOT_FOR_KEY: Final = "the key has no right to this, or not from here"
_NO_KEY: Final = "the provider does not accept the key: check {words.key}"
_QUOTA: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})

_TOO_LONG: Final = (
    "conversation and question together are longer than model {model!r} can read: "
    "shorten the inputs or name a model with a larger context in the assistant's spec"
)
_NOT_TAKEN: Final = "model {model!r} does not take this `NAME`: change or remove that line of the assistant's spec"

TABLE: Final = (
    Row(ThreadLocked, "another call runs on this conversation", codes={"conversation_locked"}),
    Row(ProviderPaused, "the account's quota is used up: raise its limit or pay", codes=_QUOTA),
    Row(ProviderPaused, "the account's quota is used up: raise its limit or pay", kinds=_QUOTA),
    Row(BadRequest, _NO_SUCH_MODEL, topic="no_model"),
    Row(ContextFull, _TOO_LONG, topic="full"),
    Row(
        ContextFull,
        "this is more than the account may send in a minute: shorten the inputs or have its limit raised",
        topic="too_large",
    ),
    Row(
        ThreadBroken,
        "the provider cannot go on with what stands on this conversation: `threads renew` replaces it",
        topic="broken",
        of_a_turn=True,
        whole=False,
    ),
    Row(Filtered, "the provider's content filter stopped the question", topic="filtered"),
    Row(
        KeepsNothing,
        "this organisation has nothing kept by its provider (zero data retention), and so no conversations: "
        "name the provider in PROVIDERS_FILE with `api: responses`",
        topic="keeps_nothing",
    ),
    # Two calls must say so before anybody acts on it, see `OpenAIProvider`.
    Row(ThreadGone, "the conversation does not exist any more", topic="gone"),
    # A response that began and then failed, with HTTP 200. Codes that are not here are about the content: an answer.
    Row(
        ModelUnknown,
        "the provider gave up on a response",
        statuses={200},
        codes={"", "server_error", "rate_limit_exceeded", "vector_store_timeout"},
    ),
    Row(ModelDown, "the address leads elsewhere: check {words.address}", statuses=range(300, 400)),
    # A firewall's page for one question says nothing of the key, nor of the next question; a probe's page does.
    Row(ModelDown, f"{_PAGE}: check {{words.address}}, and {_ON_THE_WAY}", _REFUSED, page=True, probe=True),
    Row(TurnedAway, f"{_PAGE}: check {{words.address}}, and {_ON_THE_WAY}", {404, 405}, page=True),
    Row(TurnedAway, f"{_PAGE}: look at what the question holds, and at {_ON_THE_WAY}", _REFUSED, page=True),
    Row(
        TurnedAway,
        f"the refusal is no error of the provider's API: look at what the question holds, and at {_ON_THE_WAY}",
        {401, 402, 403},
        own=False,
        probe=False,
    ),
    Row(AssistantPaused, _NO_MODEL_FOR_KEY, topic="no_right", of_a_turn=True),
    Row(ProviderPaused, _NOT_FOR_KEY, topic="no_right", probe=True),
    Row(TurnedAway, "the key has no right to this: give it the scope that the provider names", topic="no_right"),
    Row(ProviderPaused, _NO_KEY, {401}),
    Row(ProviderPaused, _NO_KEY, kinds={"no_db_connection"}),  # LiteLLM's 400 where it has but one key
    Row(ProviderPaused, "the provider wants to be paid", {402}),
    Row(AssistantPaused, _NO_MODEL_FOR_KEY, {403}, of_a_turn=True),
    Row(ProviderPaused, _NOT_FOR_KEY, {403}, probe=True),
    Row(TurnedAway, "the key has no right to this: is it a key of the project that the conversation is in?", {403}),
    Row(ModelDown, "nothing of this kind at this address: check {words.address}", {404, 405}),
    Row(ModelUnknown, "the server ran out of time", statuses={408}),
    Row(ModelDown, "too many requests", statuses={429}),
    Row(ModelDown, "the provider cannot take the call now", statuses={409, 425, 503}),
    Row(ContextFull, _LARGE, {413}, whole=True),
    Row(BadRequest, _LARGE, {413}),
    Row(BadRequest, _NOT_TAKEN.replace("NAME", "temperature"), {400, 422}, params={"temperature"}),
    Row(BadRequest, _NOT_TAKEN.replace("NAME", "max_output_tokens"), {400, 422}, params=LENGTHS),
    Row(BadRequest, "the provider does not accept this call", range(400, 500)),
    Row(ModelUnknown, "the provider failed", statuses=range(500, 600)),
)

CAUGHT: Final = (openai.OpenAIError, httpx2.HTTPError, aiohttp.ClientError, UnicodeError)
"""What a call can end with besides a reply; aiohttp's are those that the SDK's transport forgets to wrap, httpx2's
those of a stream."""

_NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,  # refused, DNS, TLS, proxy
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)


def translate(exc: Exception, call: Call, words: Words = _WORDS) -> WorkerError:
    """Say in our terms how a call ended that brought no usable reply."""
    if isinstance(exc, openai.APIStatusError):
        said, headers = Said.by(exc.response.content), exc.response.headers
        refusal = _refusal(exc.status_code, said, call)
        row = next((row for row in TABLE if row.fits(refusal)), _ODD)
        wait = retry_after(headers)
        # Not every server says in Retry-After what its other headers or its text tell.
        if wait is None and exc.status_code == TOO_MANY:
            wait = limit_reset(headers, said.message)
        return _error(row, call, refusal, request_id=headers.get("x-request-id"), wait=wait, words=words)
    if isinstance(exc, UnicodeError):
        return BadRequest(f"{call.name}: the question holds characters that cannot be sent")
    if isinstance(exc, TimeoutError):
        return _error(Row(ModelUnknown, f"no whole reply within {call.limit.total_seconds():g} s"), call)
    cause = _innermost(exc)
    # No connection was made, so that nothing can have run; behind that point nobody knows.
    if isinstance(cause, _NEVER_SENT):
        return _error(Row(ProviderAway, f"no connection ({type(cause).__name__})"), call)
    if isinstance(cause, httpx2.DecodingError):  # ours, see `bounds`
        return _error(Row(ModelUnknown, str(cause)), call)
    return _error(Row(ModelUnknown, f"the connection broke ({type(cause).__name__})"), call)


def of_reply(body: bytes, call: Call, words: Words = _WORDS) -> WorkerError:
    """Say what a reply of success means that is not what was asked for: some servers report errors so."""
    refusal = _refusal(200, Said.by(body), call)
    by_words = (row for row in TABLE if row.statuses is None)
    row = next((row for row in by_words if row.fits(refusal)), _UNREADABLE)
    return _error(row, call, None if row is _UNREADABLE else refusal, words=words)


def of_stream(body: bytes | None, call: Call, words: Words = _WORDS, *, began: bool) -> WorkerError:
    """Say what an error in a stream means, or that it had no end. `began`: some of the answer was there, so it ran."""
    if body is None:
        return _error(Row(ModelUnknown, "the reply ended before it was whole"), call)
    refusal = _refusal(200, Said.by(body), call)
    row = next((row for row in TABLE if row.statuses is None and row.fits(refusal)), _GAVE_UP)
    # Whatever the error says, a model has begun to answer: the call ran, and is not to be taken for refused.
    if began and row.error is not Filtered:
        row = _GAVE_UP
    return _error(row, call, refusal, words=words)


def of_failed_response(code: str | None, call: Call) -> WorkerError | None:
    """Say what a response of the status `failed` means; None if its content is the reason, which makes it an answer."""
    refusal = _refusal(200, Said("error object", code=word(code)), call)
    row = next((row for row in TABLE if row.fits(refusal)), None)
    return _error(row, call, refusal) if row else None


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """How long the provider asks us to wait, at most an hour; None if it does not say so in earnest.

    A date counts from the reply's own Date, so that no clock of ours matters.
    """
    seconds = _number(headers.get("retry-after-ms")) / 1000
    if math.isnan(seconds):
        seconds = _number(headers.get("retry-after"))
    if math.isnan(seconds) and (until := _date(headers.get("retry-after"))) is not None:
        seconds = (until - (_date(headers.get("date")) or datetime.now(UTC))).total_seconds()
    if not seconds >= 0:
        return None
    return timedelta(seconds=min(seconds, LONGEST_RETRY_AFTER.total_seconds()))


def limit_reset(headers: Mapping[str, str], message: str) -> timedelta | None:
    """When a limit on requests or tokens lets one through again, where only its headers or the text of a 429 say so.

    A limit that has something left was not the one, so it counts only if neither is used up; then the sooner.
    """
    resets = {kind: _duration(headers.get(f"x-ratelimit-reset-{kind}")) for kind in ("requests", "tokens")}
    known = {kind: reset for kind, reset in resets.items() if reset is not None}
    used_up = [known[kind] for kind in known if headers.get(f"x-ratelimit-remaining-{kind}") == "0"]
    told = _AGAIN.search(message)
    seconds = max(used_up, default=None) or (told and _duration(told[1])) or min(known.values(), default=None)
    return None if seconds is None else timedelta(seconds=min(seconds, LONGEST_RETRY_AFTER.total_seconds()))


TOO_MANY: Final = 429
_AGAIN: Final = re.compile(r"(?:again|retry) (?:in|after) (\d[\d.hms ]*)")
"""OpenAI: "Please try again in 6m0s.", Azure: "Please retry after 26 seconds."."""
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?) ?(ms|s)?)?")
_ODD: Final = Row(ModelUnknown, "a status that means nothing here")
_GAVE_UP: Final = Row(ModelUnknown, "the provider gave up on a reply that it had begun")
_UNREADABLE: Final = Row(ModelUnknown, "the reply is not what the API promises")


def _error(
    row: Row,
    call: Call,
    refusal: Refusal | None = None,
    *,
    request_id: str | None = None,
    wait: timedelta | None = None,
    words: Words = _WORDS,
) -> WorkerError:
    # A call that only reads has nothing to be unknown about.
    kind = ModelDown if row.error is ModelUnknown and not call.acts else row.error
    details = f" ({_details(refusal, request_id)})" if refusal else ""
    text = f"{call.name}: {row.meaning.format(model=call.model, words=words)}{details}"
    if issubclass(kind, Transient):
        return kind(text, retry_after=wait, status=refusal.status if refusal else None)
    if issubclass(kind, BadRequest):
        return kind(text, code=refusal.code if refusal else "", param=refusal.param if refusal else "")
    return kind(text)


def _refusal(status: int, said: Said, call: Call) -> Refusal:
    topic = topic_of(status, said, call.thread_id, call.model)
    return Refusal(
        status=status,
        code=said.code,
        kind=said.kind,
        param="model" if topic == "no_model" else said.param,
        own=said.place == "error object",
        page=said.place == "a page",
        topic=topic,
        of_a_turn=call.acts and call.model is not None,
        whole=call.acts and call.model is not None and call.thread_id is None,
        probe=call.probe,
    )


def _details(refusal: Refusal, request_id: str | None) -> str:
    told = {
        "status": str(refusal.status),
        "code": refusal.code,
        "type": refusal.kind,
        "param": refusal.param,
        "request": word(request_id),
    }
    return ", ".join(f"{name} {value}" for name, value in told.items() if value)


def _innermost(exc: BaseException) -> BaseException:
    """Return the driver's own error: the SDK's transport calls a reset connection a connect timeout."""
    while exc.__cause__ is not None and not isinstance(exc, aiohttp.ClientError):
        exc = exc.__cause__
    return exc


def _number(text: str | None) -> float:
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _duration(text: str | None) -> float | None:
    """Read seconds out of `6m0s`, `1h2m`, `20ms`, `1.5` or `26 seconds`."""
    found = _DURATION.match(text or "")
    if not found or not any(found.groups()[:3]):
        return None
    hours, minutes, rest, unit = found.groups()
    # Floats: what has more digits than they hold is infinite, and no error.
    return 3600 * float(hours or 0) + 60 * float(minutes or 0) + float(rest or 0) / (1000 if unit == "ms" else 1)


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
