"""What models have answered, in a file beside the test, and how a question is told from others."""

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

import yaml

from worker.demo.model.answering import Asking
from worker.demo.model.answers import without_ref
from worker.demo.model.wire import Json, question_of

FORMAT: Final = 1
HEAD: Final = (
    "# What models have answered in a test. Delete it, or pytest --assistants-record-mode=all, to record it anew.\n"
)
WIDTH: Final = 110
COMPARED: Final = 20_000
"""Characters of a question by which the nearest one is found: to compare takes the square of them."""
IN_WORDS: Final = "\n\nYour answer has to fit this JSON Schema:\n\n"
"""Stands before the schema in the instructions of who is held to none, or is asked again so by a provider's refusal."""

_KEPT: Final[Mapping[str, frozenset[str]]] = {
    "responses": frozenset({"status", "model", "output", "output_text", "error", "incomplete_details", "usage"}),
    "chat": frozenset({"model", "choices", "usage"}),
    "decisions": frozenset({"model", "answers", "usage"}),
    "systemone": frozenset({"model", "answers", "usage"}),
}
"""Of a reply, by API. Others, which the worker does not read, may say whose account it is."""
_LEFT_OUT: Final = frozenset({"id", "logprobs", "encrypted_content"})
"""Within what a model has put out: new each time, or nothing that anybody reads."""

_ID: Final = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_HASH: Final = re.compile(r"\b[0-9a-f]{64}\b")
_REF: Final = re.compile(r"\(quoted ref [0-9a-f]{12}\)")
_TIME: Final = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?(?!\d)")
_REMEMBERED: Final = "### Remembered from before"
_BLANKS: Final = re.compile(r"[ \t]+$", re.MULTILINE)
_FACT: Final = re.compile(r"^[^\n]{1,40}, \d{4}-\d\d-\d\d:$", re.MULTILINE)


class Unreadable(Exception):
    """A cassette that is none."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What tells a question from others, and is the same in every run.

    `instructions`, `schema` and `after`, which is what was said before on the conversation, are digests; empty for
    none. `assistant` is empty for one whose instructions stand in no spec of the folder.
    """

    api: str
    assistant: str
    model: str
    instructions: str
    schema: str
    after: str
    question: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question, and the reply to it as the provider's API writes it, without ids. `status` is 200 or a refusal's."""

    asked: Asked
    reply: Json
    status: int = HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads requests. `names` are the assistants' by their instructions; `varying` what else changes between runs."""

    names: Mapping[str, str] = field(default_factory=dict)
    varying: Sequence[re.Pattern[str]] = ()

    def read(self, asking: Asking) -> Asked:
        """Say what is asked."""
        body = asking.body
        instructions, schema, said, question = self._parts(asking)
        instructions, _, in_words = instructions.partition(IN_WORDS)
        if in_words and schema is None:
            schema = _json(in_words)
        before = [f"{role}: {self.plain(text)}" for role, text in said]
        return Asked(
            asking.api,
            self._name(instructions),
            str(body.get("model")),
            _digest(self.plain(instructions)),
            "" if schema is None else _digest(json.dumps(schema, sort_keys=True)),
            _digest("\n\n".join(before)) if before else "",
            self.plain(question),
        )

    def _parts(self, asking: Asking) -> tuple[str, Any, list[tuple[str, str]], str]:
        """Take a request apart: instructions, schema, what was said before, and the question."""
        body = asking.body
        match asking.api:
            case "responses":
                said = list(map(_said, [*asking.earlier, *_items(body.get("input"))]))
                form = (body.get("text") or {}).get("format") or {}
                return str(body.get("instructions") or ""), form.get("schema"), said[:-1], question_of(body)
            case "chat":
                messages = list(map(_said, _items(body.get("messages"))))
                system = "\n\n".join(text for role, text in messages if role == "system")
                form = (body.get("response_format") or {}).get("json_schema") or {}
                said = [each for each in messages if each[0] != "system"]
                return system, form.get("schema"), said[:-1], question_of(body)
            case "decisions":
                told = list(map(_said, _items(body.get("input"))))
                system = "\n\n".join(text for role, text in told if role == "developer")
                return system, None, [], _with_questions(question_of(body), body)
            case "systemone":
                state = str(body.get("state"))
                system = max((each for each in self.names if state.startswith(each)), key=len, default="")
                return system, None, [], _with_questions(state.removeprefix(system).strip(), body)

    def _name(self, instructions: str) -> str:
        # What is left out of a long history is noted behind them.
        known = [each for each in self.names if instructions.startswith(each)]
        return self.names[max(known, key=len)] if known else ""

    def plain(self, text: str) -> str:
        """Return a text without what changes between runs."""
        text = _REF.sub("(quoted ref)", without_ref(text))
        if _REMEMBERED in text:
            text = _FACT.sub("<fact>:", text)
        for pattern, what in ((_ID, "<id>"), (_HASH, "<hash>"), (_TIME, "<time>")):
            text = pattern.sub(what, text)
        for pattern in self.varying:
            text = pattern.sub("<varying>", text)
        # YAML shows no text line by line in which a blank ends one, as it does in what is shown indented.
        return _BLANKS.sub("", text)


class Cassette:
    """Exchanges, each of which answers one question."""

    def __init__(self, path: Path, exchanges: Sequence[Exchange] = ()) -> None:
        self.path = path
        self.exchanges: list[Exchange | None] = list(exchanges)
        """In the order in which they were asked; None keeps the place of one that is not answered yet."""
        self._played: set[int] = set()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a cassette; an empty one if there is no file. Raises Unreadable."""
        try:
            said = yaml.safe_load(path.read_text("utf-8"))
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError, yaml.YAMLError) as exc:
            raise Unreadable(f"the cassette {path} cannot be read: {exc}") from exc
        try:
            if said["format"] != FORMAT:
                raise Unreadable(f"the cassette {path} has the format {said['format']!r}, and {FORMAT} is known here")
            return cls(path, [_read(each) for each in said["exchanges"]])
        except (TypeError, KeyError, ValueError) as exc:
            raise Unreadable(f"the cassette {path} is none: {exc!r}; record it anew") from exc

    def save(self) -> None:
        """Write the file, or nothing where nothing has been recorded."""
        written = [_written(each) for each in self.exchanges if each is not None]
        if not written:
            return
        text = yaml.dump(
            {"format": FORMAT, "exchanges": written}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".part")
        scratch.write_text(HEAD + text, "utf-8")
        scratch.replace(self.path)

    def play(self, asked: Asked) -> Exchange | None:
        """Find the reply to a question; of several the first that was not played yet. None: there is none."""
        for number, each in enumerate(self.exchanges):
            if each is not None and each.asked == asked and number not in self._played:
                self._played.add(number)
                return each
        return None

    def keep_place(self) -> int:
        """Keep a place for what is being asked, and name it."""
        self.exchanges.append(None)
        return len(self.exchanges) - 1

    def record(self, place: int, exchange: Exchange) -> None:
        """Put an exchange in its place."""
        self.exchanges[place] = exchange
        self._played.add(place)

    def explain(self, asked: Asked) -> str:
        """Say how a question differs from the nearest that is recorded."""
        recorded = [each.asked for each in self.exchanges if each is not None]
        if asked in recorded:
            return f"It is recorded {recorded.count(asked)} times, and was asked once more."
        if not recorded:
            return "Nothing is recorded there."
        nearest = max(recorded, key=lambda each: _nearness(each, asked))
        told = [_WORDS[each] for each in _WORDS if getattr(nearest, each) != getattr(asked, each)]
        told += [
            f"{name}: {getattr(nearest, name)!r}, and now {getattr(asked, name)!r}"
            for name in _differing(nearest, asked)
        ]
        text = "The nearest that is recorded has " + ("; ".join(told) or "another text") + "."
        if nearest.question == asked.question:
            return text
        lines = (nearest.question.splitlines(), asked.question.splitlines())
        return "\n".join([text, "", *difflib.unified_diff(*lines, "recorded", "asked", lineterm="")])


def pruned(api: str, reply: Mapping[str, Any]) -> Json:
    """Keep of a reply what the worker reads."""
    kept = {name: value for name, value in reply.items() if name in _KEPT[api]}
    return {name: _without_ids(value) if name in {"output", "choices"} else value for name, value in kept.items()}


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_ids(each) for name, each in value.items() if name not in _LEFT_OUT}
    return [_without_ids(each) for each in value] if isinstance(value, list) else value


_WORDS: Final = {
    "instructions": "other instructions",
    "schema": "another schema",
    "after": "other messages before it on the conversation",
}


def _differing(nearest: Asked, asked: Asked) -> list[str]:
    return [name for name in ("api", "assistant", "model") if getattr(nearest, name) != getattr(asked, name)]


def _nearness(recorded: Asked, asked: Asked) -> tuple[float, int]:
    pair = (recorded.question[:COMPARED], asked.question[:COMPARED])
    same = sum(getattr(recorded, each.name) == getattr(asked, each.name) for each in fields(Asked))
    return difflib.SequenceMatcher(None, *pair, autojunk=False).ratio() if pair[0] != pair[1] else 1.0, same


def _items(said: Any) -> list[Any]:
    if isinstance(said, str):
        return [{"role": "user", "content": said}]
    # What a model has thought on the way is no message.
    return [each for each in said or () if isinstance(each, dict) and each.get("role")]


def _said(item: Mapping[str, Any]) -> tuple[str, str]:
    content = item.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = (part.get("text") or part.get("refusal") or "" for part in parts if isinstance(part, dict))
    return str(item.get("role")), "".join(map(str, texts))


def _with_questions(text: str, body: Json) -> str:
    return f"{without_ref(text)}\n\n{json.dumps(body.get('questions'), ensure_ascii=False, indent=1)}"


def _json(text: str) -> Any:
    # Notes on the history may follow it.
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except ValueError:
        return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16] if text else ""


def _written(exchange: Exchange) -> Json:
    said = {name: value for name, value in asdict(exchange.asked).items() if value}
    more = {} if exchange.status == HTTPStatus.OK else {"status": int(exchange.status)}
    return {**said, **more, "reply": exchange.reply}


def _read(said: Mapping[str, Any]) -> Exchange:
    asked = Asked(**{each.name: str(said.get(each.name, "")) for each in fields(Asked)})
    return Exchange(asked, dict(said["reply"]), int(said.get("status", HTTPStatus.OK)))


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, which is what people compare."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - of yaml
        """Write everything where it stands."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    odd = _LINE_ENDS.search(text)
    style = '"' if odd else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_LINE_ENDS: Final = re.compile("[\r\x85\u2028\u2029]")
"""YAML reads each of them as another one, unless it is quoted."""
_Dumper.add_representer(str, _text)
