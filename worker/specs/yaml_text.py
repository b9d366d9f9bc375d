"""YAML that people write: read with the lines of its mistakes, and with a bound on what it may stand for."""

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from worker.errors import Permanent

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

# An incident's text holds 666 characters.
_LISTED = 12
_QUOTED = 80
MOST_ALIASES = 20
DEEPEST = 100
"""Lists and maps within each other: the time that they take grows with the square."""


_QUOTING = re.compile(r"""\A((?:[^'"]|(['"])(?:.|<[^'"]*>)\2)*+)['"].*""", re.DOTALL)
"""Where YAML's reader quotes the file, which may be a secret. It also quotes single signs, and names of tokens, <…>."""


class Wrong(Exception):
    """What is wrong with one file, as (line, text)."""

    def __init__(self, mistakes: list[tuple[int, str]]) -> None:
        super().__init__(mistakes)
        self.mistakes = mistakes


def read_text(path: Path, setting: str, read: Callable[[str], T]) -> T:
    """Read a file that a setting names, or raise one Permanent that names every mistake with its line."""
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as exc:
        raise Permanent(f"{setting}={path}: cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise Permanent(f"{setting}={path}: is not UTF-8 text; save it as UTF-8") from exc
    try:
        return read(text)
    except Wrong as exc:
        lines = (f"{path}:{line}: {said}" for line, said in sorted(exc.mistakes))
        raise Permanent("\n".join(lines)) from None


def quoted(text: str) -> str:
    """Make somebody's text safe and short enough for a message."""
    return repr(text if len(text) <= _QUOTED else text[:_QUOTED] + "…")


def offer(wrong: str, known: Sequence[str]) -> str:
    """Name what is nearest to a wrong word, and what there is."""
    close = difflib.get_close_matches(wrong, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"{hint} Known: {', '.join(known[:_LISTED])}{more}"


@dataclass(slots=True)
class Mapped:
    """A mapping that begins on the line `start`: what each key says, its node, and the keys that are said twice.

    Of one that `hides` no mistake repeats anything but the names that a shape has: all else may be a secret.
    """

    start: int = 1
    hides: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, yaml.Node] = field(default_factory=dict)
    mistakes: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def of(cls, node: yaml.MappingNode, loader: yaml.SafeLoader, *, hides: bool = False) -> Self:
        """Read a node."""
        found = cls(node.start_mark.line + 1, hides)
        for name, value in node.value:
            key = name.value if isinstance(name, yaml.ScalarNode) else "?"
            if key in found.nodes:
                text = f"{found.told(key)}: line {found.line(key)} says it already; keep one"
                found.mistakes.append((name.start_mark.line + 1, text))
                continue
            found.values[key], found.nodes[key] = _value(loader, value), value
        return found

    def told(self, key: str, known: Sequence[str] = ()) -> str:
        """Name a key in the text of a mistake."""
        return "…" if self.hides and key and key not in known else key

    def line(self, key: str, *path: str) -> int:
        """The line on which a key's value begins, or what a path in it leads to; without such a key the mapping's."""
        node, _ = _inside(self.nodes.get(key), path)
        return node.start_mark.line + 1 if node else self.start

    def part(self, key: str) -> "Mapped":
        """Read a mapping within this one. Raises Wrong."""
        inner = self.nodes[key]
        if not isinstance(inner, yaml.MappingNode):
            raise Wrong([(self.line(key), f"{key}: must have lines of its own below it")])
        return Mapped.of(inner, _Loader("", key), hides=self.hides)

    def inner(self, key: str) -> dict[str, "Mapped"]:
        """Read a mapping of mappings, by their names. Raises Wrong."""
        outer = self.nodes.get(key)
        if not isinstance(outer, yaml.MappingNode):
            raise Wrong([(self.line(key), f"{key}: must be names, each with lines of its own below it")])
        loader = _Loader("", key)
        named = Mapped.of(outer, loader, hides=self.hides)
        self.mistakes += named.mistakes
        found = {}
        for name, node in named.nodes.items():
            if not isinstance(node, yaml.MappingNode):
                text = f"{self.told(name)}: must have lines of its own below it"
                self.mistakes.append((node.start_mark.line + 1, text))
                continue
            found[name] = Mapped.of(node, loader, hides=self.hides)
        return found

    def fields(self, shape: type[M], context: object = None) -> M:
        """Read the values as a shape has them. Raises Wrong, with the mistakes that are known here and all others."""
        try:
            return shape.model_validate(self.values, context=context)
        except ValidationError as exc:
            raise Wrong([*self.mistakes, *self._flaws(shape, exc)]) from None

    def _flaws(self, shape: type[BaseModel], error: ValidationError) -> Iterator[tuple[int, str]]:
        """Say what is wrong with the values, each with its line."""
        known = [each.alias or name for name, each in shape.model_fields.items()]
        for detail in error.errors(include_url=False):
            key, *more = map(str, detail["loc"] or ("",))
            node, last = _inside(self.nodes.get(key), more)
            value = "…" if self.hides else node.value if isinstance(node, yaml.ScalarNode) else ""
            name = self.told(last)
            said = _requirement(last or key, name or self.told(key, known), detail, node, value, known)
            yield self.line(key, *more), ": ".join(each for each in (self.told(key, known), name, said) if each)


def _inside(node: yaml.Node | None, path: Sequence[str]) -> tuple[yaml.Node | None, str]:
    """Follow a path into what a key says; returns also the last name on it, "" if there is none."""
    last = ""
    for part in path:
        if isinstance(node, yaml.MappingNode):
            node = next((value for name, value in node.value if getattr(name, "value", None) == part), node)
            last = part
        elif isinstance(node, yaml.SequenceNode):
            node = node.value[int(part)]
    return node, last


def mapped(text: str, what: str = "the file", example: str = "name: analyst", *, hides: bool = False) -> Mapped:
    """Read a text that is one mapping; `what` it is, and an example line, are for people. Raises Wrong."""
    try:
        loader = _Loader(text, what)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise Wrong([(2, f"{what} must be lines such as {example}")])
        found = Mapped.of(root, loader, hides=hides)
        found.start = 1
    except yaml.YAMLError as exc:
        raise Wrong([_mistake(exc, text)]) from exc
    return found


class _Loader(yaml.SafeLoader):
    """Reads YAML. A few aliases save typing; many within each other stand for more than any machine holds."""

    def __init__(self, text: str, what: str) -> None:
        super().__init__(text)
        self._what = what
        self._aliases = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > MOST_ALIASES:
                line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]  # the stubs leave it out
                raise Wrong(
                    [(line, f"has more than {MOST_ALIASES} aliases, such as *name; write out what they stand for")]
                )
        self._depth += 1
        if self._depth > DEEPEST:
            raise Wrong([(1, f"{self._what} is nested too deep")])
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _value(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    """Read what a key says. Raises Wrong where it is said to be what it is not."""
    try:
        return loader.construct_object(node, deep=True)
    except yaml.YAMLError as exc:
        raise Wrong([_mistake(exc, "")]) from exc
    except (ValueError, LookupError, AttributeError, ArithmeticError):
        # PyYAML reads without a look: 2001-99-99, 1:1:…:1.0, !!bool maybe, !!timestamp x, !!int "".
        loader.recursive_objects.clear()  # what it was at, it would take for a part of itself the next time
        return node  # of no type that anybody takes


def _mistake(exc: yaml.YAMLError, text: str) -> tuple[int, str]:
    if isinstance(exc, yaml.MarkedYAMLError) and exc.problem_mark:
        line, problem = exc.problem_mark.line + 1, _QUOTING.sub(r"\1…", exc.problem or "")
    elif isinstance(exc, yaml.reader.ReaderError):
        line, problem = text.count("\n", 0, exc.position) + 1, f"character {exc.character!r}: {exc.reason}"
    else:
        line, problem = 1, str(exc)
    return line, f"is no YAML: {problem}; put texts that hold : or # in quotes"


def _requirement(
    key: str, name: str, detail: ErrorDetails, node: yaml.Node | None, value: str, known: Sequence[str]
) -> str:
    match detail["type"]:
        case "missing":
            return f"is missing; add a line {key}: …"
        case "extra_forbidden":
            return f"is no part of a spec{offer(key, known)}"
        case "string_type" if isinstance(node, yaml.ScalarNode) and node.value:
            return f'must be text; put it in quotes: {name}: "{value}"'
        case "string_pattern_mismatch":
            return "must be letters, digits, '.', '_' or '-', beginning with a letter or digit"
        case _:
            return re.sub("^(Input|String) should", "must", detail["msg"])
