"""The specs of ASSISTANTS_DIR: Markdown files with YAML front matter, read and checked as a whole at start."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from worker.domain import foreign
from worker.domain.tasks import thread_variable_name
from worker.domain.threads import Assistant
from worker.errors import Permanent, UnknownAssistant
from worker.modelling import schema

# An incident's text holds 666 characters.
_LISTED = 10
_QUOTED = 80
MOST_ALIASES = 20
DEEPEST = 100
"""Lists and maps of a front matter within each other: the time that they take grows with the square."""

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]


class FrontMatter(BaseModel):
    """What a spec may say between its two `---` lines."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    name: Label
    version: Label
    model: str = Field(min_length=1)
    provider: str = "openai"
    temperature: float | None = Field(None, ge=0, le=2)
    max_output_tokens: int | None = Field(None, ge=1)
    timeout_seconds: float = Field(120, gt=0, le=3600)
    background: bool = False
    output_schema: Any = None  # a JSON Schema, or the name of a file with one


@dataclass(frozen=True, slots=True)
class Specs:
    """Every assistant there is, by name and rising version."""

    assistants: tuple[Assistant, ...]

    def find(self, name: str, version: str | None) -> Assistant:
        """Return the named version, the highest one if None. Raises UnknownAssistant, which lists what there is."""
        versions = {spec.version: spec for spec in self.assistants if spec.name == name}
        if not versions:
            names = sorted({spec.name for spec in self.assistants})
            raise UnknownAssistant(f"no assistant is called {_quoted(name)}{_offer(name, names)}")
        if version is None:
            return list(versions.values())[-1]
        if version not in versions:
            known = _offer(version, list(versions))
            raise UnknownAssistant(f"the assistant {name!r} has no version {_quoted(version)}{known}")
        return versions[version]


def load(directory: Path, providers: Sequence[str] = ("openai",)) -> Specs:
    """Read all specs of a folder, or raise one Permanent that names every mistake of every file, a line each.

    A spec is any `*.md` file that is not hidden, directly in the folder; symbolic links are followed, as a mounted
    Kubernetes ConfigMap needs it.
    """
    try:
        paths = sorted(path for path in directory.iterdir() if _is_spec(path))
    except OSError as exc:
        raise Permanent(f"ASSISTANTS_DIR={directory}: cannot be read: {exc.strerror}") from exc
    if not paths:
        raise Permanent(f"ASSISTANTS_DIR={directory}: holds no spec; put one there, such as analyst.md")
    specs: dict[tuple[str, str], tuple[Assistant, Path]] = {}
    names: dict[str, str] = {}
    mistakes: list[str] = []
    for path in paths:
        try:
            spec, line = _read(path, providers)
        except _Wrong as exc:
            mistakes += [f"{path}:{line}: {text}" for line, text in sorted(exc.mistakes)]
            continue
        _, first = specs.setdefault((spec.name, spec.version), (spec, path))
        if first != path:
            text = f"version: {first.name} holds {spec.name} {spec.version} already; raise one or remove one"
            mistakes.append(f"{path}:{line}: {text}")
        twin = names.setdefault(thread_variable_name(spec.name), spec.name)
        if twin != spec.name:
            text = f"name: its process variable would be that of {twin}; let them differ by more than '.', '-' or '_'"
            mistakes.append(f"{path}:1: {text}")
    if mistakes:
        raise Permanent("\n".join(mistakes))
    found = (spec for spec, _ in specs.values())
    return Specs(tuple(sorted(found, key=lambda spec: (spec.name, _natural(spec.version)))))


def _is_spec(path: Path) -> bool:
    # A dangling link is neither file nor folder; it is taken, so that reading it says so.
    return path.suffix.lower() == ".md" and not path.name.startswith(".") and not path.is_dir()


def _natural(version: str) -> tuple[Any, ...]:
    """Order 1.9 < 1.10 < 1.10.1, and 2.0-draft < 2.0."""
    release, _, draft = version.partition("-")

    def parts(text: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|[A-Za-z]+", text)]

    return parts(release), not draft, parts(draft), version


def _quoted(text: str) -> str:
    """Make somebody's text safe and short enough for a message."""
    return repr(text if len(text) <= _QUOTED else text[:_QUOTED] + "…")


def _offer(wrong: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(wrong, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"{hint} Known: {', '.join(known[:_LISTED])}{more}"


class _Loader(yaml.SafeLoader):
    """Reads front matter. A few aliases save typing; many within each other stand for more than any machine holds."""

    def __init__(self, front: str) -> None:
        super().__init__(front)
        self._aliases = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > MOST_ALIASES:
                line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]  # the stubs leave it out
                raise _Wrong(
                    [(line, f"has more than {MOST_ALIASES} aliases, such as *name; write out what they stand for")]
                )
        self._depth += 1
        if self._depth > DEEPEST:
            raise _Wrong([(1, "the front matter is nested too deep")])
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Wrong(Exception):
    """What is wrong with one file, as (line, text)."""

    def __init__(self, mistakes: list[tuple[int, str]]) -> None:
        super().__init__(mistakes)
        self.mistakes = mistakes


def _read(path: Path, providers: Sequence[str]) -> tuple[Assistant, int]:
    """Return the assistant of one file and the line of its version, or raise _Wrong with all that can be seen."""
    front, instructions = _parts(_text(path))
    values, nodes, mistakes = _values(front)
    lines = {key: node.start_mark.line + 1 for key, node in nodes.items()}
    if not instructions:
        mistakes.append((front.count("\n") + 1, "has no instructions; write them below the front matter"))
    mistakes += [(lines[key], f"{key}: {text}") for key, text in _disagreements(path, values)]
    provider = values.get("provider", FrontMatter.model_fields["provider"].default)
    if isinstance(provider, str) and provider not in providers:
        text = f"provider: {_quoted(provider)} is unknown{_offer(provider, providers)}"
        mistakes.append((lines.get("provider", 1), text))
    try:
        spec = FrontMatter.model_validate(values)
    except ValidationError as exc:
        for detail in exc.errors(include_url=False):
            key = str(detail["loc"][0])
            mistakes.append((lines.get(key, 1), f"{key}: {_requirement(key, detail, nodes.get(key))}"))
    else:
        try:
            output_schema = _output_schema(path, spec.output_schema)
        except ValueError as exc:
            mistakes.append((lines["output_schema"], f"output_schema: {exc}"))
        else:
            if not mistakes:
                return _assistant(spec, instructions, output_schema), lines["version"]
    raise _Wrong(mistakes)


def _output_schema(path: Path, said: Any) -> Mapping[str, Any] | None:
    """Return the JSON Schema that stands in the spec, or in the file that it names. Raises ValueError."""
    if said is None:
        return None
    value: Any = said
    if isinstance(said, str):
        try:
            value = foreign.read((path.parent / said).read_text("utf-8-sig"))
        except OSError as exc:
            raise ValueError(f"{_quoted(said)} beside the spec cannot be read: {exc.strerror}") from exc
        except ValueError as exc:
            raise ValueError(f"{_quoted(said)} is no JSON: {exc}") from exc
    flaw = schema.flaw(value)
    if flaw:
        raise ValueError(f"is no usable JSON Schema: {flaw}")
    return cast("Mapping[str, Any]", value)


def _assistant(spec: FrontMatter, instructions: str, output_schema: Mapping[str, Any] | None) -> Assistant:
    return Assistant(
        name=spec.name,
        version=spec.version,
        model=spec.model,
        provider=spec.provider,
        instructions=instructions,
        timeout=timedelta(seconds=spec.timeout_seconds),
        temperature=spec.temperature,
        max_output_tokens=spec.max_output_tokens,
        background=spec.background,
        output_schema=output_schema,
    )


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise _Wrong([(1, f"cannot be read: {exc.strerror}")]) from exc
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")  # Windows editors write a byte order mark
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise _Wrong([(line, "is not UTF-8 text; save it as UTF-8")]) from exc


def _parts(text: str) -> tuple[str, str]:
    """Return front matter, whose lines count as the file's, and instructions."""
    lines = text.split("\n")
    fences = [index for index, line in enumerate(lines) if line.rstrip() == "---"]
    if not fences or fences[0] != 0:
        raise _Wrong([(1, "has no front matter; begin with a line --- and close it with another")])
    if len(fences) == 1:
        raise _Wrong([(1, "the front matter has no end; close it with a line ---")])
    end = fences[1]
    return "\n".join(["", *lines[1:end], ""]), "\n".join(lines[end + 1 :]).strip()


def _values(front: str) -> tuple[dict[str, Any], dict[str, yaml.Node], list[tuple[int, str]]]:
    """Return what each key says, its node, and the keys that are said twice."""
    values: dict[str, Any] = {}
    nodes: dict[str, yaml.Node] = {}
    mistakes: list[tuple[int, str]] = []
    try:
        loader = _Loader(front)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise _Wrong([(2, "the front matter must be lines such as name: analyst")])
        for name, node in root.value:
            key = name.value if isinstance(name, yaml.ScalarNode) else "?"
            if key in nodes:
                first = nodes[key].start_mark.line + 1
                mistakes.append((name.start_mark.line + 1, f"{key}: line {first} says it already; keep one"))
                continue
            values[key], nodes[key] = _value(loader, node), node
    except yaml.YAMLError as exc:
        raise _Wrong([_yaml_mistake(exc, front)]) from exc
    return values, nodes, mistakes


def _value(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    try:
        return loader.construct_object(node, deep=True)
    except ValueError:
        return node  # looks like a date and is none: of no type that a spec takes


def _yaml_mistake(exc: yaml.YAMLError, front: str) -> tuple[int, str]:
    if isinstance(exc, yaml.MarkedYAMLError) and exc.problem_mark:
        line, problem = exc.problem_mark.line + 1, exc.problem
    elif isinstance(exc, yaml.reader.ReaderError):
        line, problem = front.count("\n", 0, exc.position) + 1, f"character {exc.character!r}: {exc.reason}"
    else:
        line, problem = 1, str(exc)
    return line, f"is no YAML: {problem}; put texts that hold : or # in quotes"


def _disagreements(path: Path, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Compare with the file's name: `<name>.md` or `<name>@<version>.md`."""
    name, at, version = path.stem.partition("@")
    for key, in_file_name in [("name", name), *([("version", version)] if at else [])]:
        said = values.get(key)
        if isinstance(said, str) and said != in_file_name:
            yield key, f"is {_quoted(said)}, but {_quoted(in_file_name)} in the name of the file; make them agree"


def _requirement(key: str, detail: ErrorDetails, node: yaml.Node | None) -> str:
    match detail["type"]:
        case "missing":
            return f"is missing; add a line {key}: …"
        case "extra_forbidden":
            return f"is no part of a spec{_offer(key, list(FrontMatter.model_fields))}"
        case "string_type" if isinstance(node, yaml.ScalarNode) and node.value:
            return f'must be text; put it in quotes: {key}: "{node.value}"'
        case "string_pattern_mismatch":
            return "must be letters, digits, '.', '_' or '-', beginning with a letter or digit"
        case _:
            return re.sub("^(Input|String) should", "must", detail["msg"])
