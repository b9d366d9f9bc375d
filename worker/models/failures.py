"""What a provider's failures mean: one table, read from the top; the first row that fits counts.

Nothing of a provider's message goes into a text of ours, because it may quote the question or the key: only status,
code, type, param and request id do.
"""

import json
import math
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import openai
from pydantic import ValidationError

from worker.errors import (
    AssistantPaused,
    BadRequest,
    ModelDown,
    ModelUnknown,
    ProviderAway,
    ProviderPaused,
    ThreadGone,
    ThreadLocked,
    Transient,
    WorkerError,
)

LONGEST_RETRY_AFTER = timedelta(hours=1)
_NO_SUCH_MODEL: Final = "no model {model!r} for this key: correct `model` in the assistant's spec"


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked of the provider, as far as the meaning of a failure depends on it.

    `acts`: the call may have done its work although no reply came. `limit` is its time from first to last byte.
    """

    name: str
    limit: timedelta
    acts: bool = False
    thread_id: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the provider said: the status and its error object's code words, empty where it has none.

    `names_thread`: the message speaks of this call's conversation by its id, and not merely of an address with it.
    `of_a_turn`: the call was to ask a model.
    """

    status: int
    code: str = ""
    kind: str = ""
    param: str = ""
    names_thread: bool = False
    of_a_turn: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. A condition that is None fits everything; the others must all fit."""

    error: type[WorkerError]
    meaning: str
    statuses: Container[int] | None = None
    codes: Container[str] | None = None
    kinds: Container[str] | None = None
    param: str | None = None
    names_thread: bool = False
    of_a_turn: bool = False

    def fits(self, refusal: Refusal) -> bool:
        """Whether this line speaks of such a refusal."""
        return (
            (self.statuses is None or refusal.status in self.statuses)
            and (self.codes is None or refusal.code in self.codes)
            and (self.kinds is None or refusal.kind in self.kinds)
            and self.param in {None, refusal.param}
            and (refusal.names_thread or not self.names_thread)
            and (refusal.of_a_turn or not self.of_a_turn)
        )


_QUOTA: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})

TABLE: Final = (
    Row(ThreadLocked, "another call runs on this conversation", codes={"conversation_locked"}),
    Row(ProviderPaused, "the account's quota is used up: raise its limit or pay", codes=_QUOTA),
    Row(ProviderPaused, "the account's quota is used up: raise its limit or pay", kinds=_QUOTA),
    # Also with 403 and 400: a project without the right to a model is told that there is none.
    Row(BadRequest, _NO_SUCH_MODEL, codes={"model_not_found"}),
    Row(BadRequest, _NO_SUCH_MODEL, statuses={404}, param="model"),
    Row(
        BadRequest,
        "conversation and question together are longer than model {model!r} can read: "
        "shorten the inputs or name a model with a larger context in the assistant's spec",
        codes={"context_length_exceeded"},
    ),
    # Two calls must say so before anybody acts on it, see `OpenAIModel`.
    Row(
        ThreadGone,
        "the conversation does not exist any more",
        statuses={404},
        kinds={"invalid_request_error"},
        names_thread=True,
    ),
    # A response that began and then failed, with HTTP 200. Codes that are not here are about the content: an answer.
    Row(
        ModelUnknown,
        "the provider gave up on a response",
        statuses={200},
        codes={"", "server_error", "rate_limit_exceeded", "vector_store_timeout"},
    ),
    Row(ModelDown, "the address leads elsewhere: check OPENAI_BASE_URL", statuses=range(300, 400)),
    Row(ProviderPaused, "the provider does not accept the key: check OPENAI_API_KEY", statuses={401}),
    Row(ProviderPaused, "the provider wants to be paid", statuses={402}),
    Row(AssistantPaused, "the key has no right to ask model {model!r}", statuses={403}, of_a_turn=True),
    Row(ProviderPaused, "the key has no right to this, or not from here", statuses={403}),
    Row(ModelDown, "nothing of this kind at this address: check OPENAI_BASE_URL", statuses={404}),
    Row(ModelUnknown, "the server ran out of time", statuses={408}),
    Row(ModelDown, "too many requests", statuses={429}),
    Row(ModelDown, "the provider cannot take the call now", statuses={409, 425, 503}),
    Row(BadRequest, "the provider does not accept this call", statuses=range(400, 500)),
    Row(ModelUnknown, "the provider failed", statuses=range(500, 600)),
)

CAUGHT: Final = (openai.OpenAIError, aiohttp.ClientError, ValidationError, UnicodeError)
"""What a call can end with besides a reply; aiohttp's are those that the SDK's transport forgets to wrap."""

_NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,  # refused, DNS, TLS, proxy
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)


def translate(exc: Exception, call: Call) -> WorkerError:
    """Say in our terms how a call ended that brought no usable reply."""
    if isinstance(exc, openai.APIStatusError):
        error = _error_object(exc.response.content)
        refusal = _refusal(exc.status_code, error, call)
        row = next((row for row in TABLE if row.fits(refusal)), _ODD)
        headers = exc.response.headers
        return _error(row, call, _details(refusal, headers.get("x-request-id")), retry_after(headers))
    if isinstance(exc, UnicodeError):
        return BadRequest(f"{call.name}: the question holds characters that cannot be sent")
    if isinstance(exc, ValidationError):
        return _error(Row(ModelUnknown, "the reply is not what the API promises"), call)
    if isinstance(exc, TimeoutError):
        return _error(Row(ModelUnknown, f"no whole reply within {call.limit.total_seconds():g} s"), call)
    cause = _innermost(exc)
    if isinstance(cause, _NEVER_SENT):
        return _error(Row(ProviderAway, "no connection"), call, type(cause).__name__)
    return _error(Row(ModelUnknown, "the connection broke"), call, type(cause).__name__)


def of_failed_response(code: str | None, call: Call) -> WorkerError | None:
    """Say what a response of the status `failed` means; None if its content is the reason, which makes it an answer."""
    refusal = Refusal(200, code=_word(code))
    row = next((row for row in TABLE if row.fits(refusal)), None)
    return _error(row, call, _details(refusal, None)) if row else None


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


_ODD: Final = Row(ModelUnknown, "a status that means nothing here")


def _error(row: Row, call: Call, details: str = "", wait: timedelta | None = None) -> WorkerError:
    # A call that only reads has nothing to be unknown about.
    kind = ModelDown if row.error is ModelUnknown and not call.acts else row.error
    text = f"{call.name}: {row.meaning.format(model=call.model)}{details and f' ({details})'}"
    return kind(text, retry_after=wait) if issubclass(kind, Transient) else kind(text)


def _error_object(body: bytes) -> Mapping[str, Any]:
    """Return OpenAI's error object, empty if the body is anything else, such as a gateway's page."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) else {}


def _refusal(status: int, error: Mapping[str, Any], call: Call) -> Refusal:
    # "Invalid URL (GET /v1/conversations/conv_1)" has the id too, but in an address: there the route is missing.
    whole_word = rf"(?<![\w/-]){re.escape(call.thread_id or '')}(?![\w/-])"
    return Refusal(
        status=status,
        code=_word(error.get("code")),
        kind=_word(error.get("type")),
        param=_word(error.get("param")),
        names_thread=bool(call.thread_id and re.search(whole_word, str(error.get("message")))),
        of_a_turn=call.acts and call.model is not None,
    )


def _details(refusal: Refusal, request_id: str | None) -> str:
    told = {
        "status": str(refusal.status),
        "code": refusal.code,
        "type": refusal.kind,
        "param": refusal.param,
        "request": _word(request_id),
    }
    return ", ".join(f"{name} {value}" for name, value in told.items() if value)


def _word(value: object) -> str:
    """Keep a code word; sentences are dropped, because they may be message text."""
    text = "" if value is None else str(value)
    return text if re.fullmatch(r"[\w.\[\]:-]{1,80}", text, re.ASCII) else ""


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


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
