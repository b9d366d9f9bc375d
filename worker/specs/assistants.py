"""The specs of ASSISTANTS_DIR: Markdown files with YAML front matter, read and checked as a whole at start."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from worker.domain import foreign
from worker.domain.documents import LARGEST, AssistantFile
from worker.domain.memory import MOST_RECALLED, NO_WISH, MemoryWish
from worker.domain.providers import ProviderSpec
from worker.domain.tasks import thread_variable_name
from worker.domain.threads import OPENAI, Assistant
from worker.errors import Permanent, UnknownAssistant
from worker.modelling import schema
from worker.modelling.properties import subject_flaw
from worker.runtime import plain_file
from worker.specs.yaml_text import Mapped, Wrong, mapped, offer, quoted

_ALONE: Final = {OPENAI: ProviderSpec()}

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]


MOST_FILES: Final = 20


class MemoryMatter(BaseModel):
    """What an assistant's tasks want of the memory, where they do not say."""

    model_config = ConfigDict(extra="forbid", strict=True)

    subject: str
    recall: int | None = Field(None, ge=0, le=MOST_RECALLED)
    remember: bool | None = None
    approve: bool | None = None

    @field_validator("subject")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value == "-" or (flaw := subject_flaw(value)):
            raise ValueError(flaw or "takes no -: leave memory out")
        return value


class FrontMatter(BaseModel):
    """What a spec may say between its two `---` lines."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    name: Label
    version: Label
    model: str = Field(min_length=1)
    provider: str = OPENAI
    temperature: float | None = Field(None, ge=0, le=2)
    max_output_tokens: int | None = Field(None, ge=1)
    timeout_seconds: float = Field(120, gt=0, le=3600)
    background: bool = False
    fallback: list[str] = Field(default_factory=list)
    after_fallback: Literal["return", "stay"] = "return"
    output_schema: Any = None  # a JSON Schema, or the name of a file with one
    memory: MemoryMatter | None = None
    files: list[str] = Field(default_factory=list, max_length=MOST_FILES)


@dataclass(frozen=True, slots=True)
class Specs:
    """Every assistant there is, by name and rising version."""

    assistants: tuple[Assistant, ...]

    @property
    def versions(self) -> frozenset[tuple[str, str]]:
        """Name and version of each."""
        return frozenset((each.name, each.version) for each in self.assistants)

    def find(self, name: str, version: str | None) -> Assistant:
        """Return the named version, the highest one if None. Raises UnknownAssistant, which lists what there is."""
        versions = {spec.version: spec for spec in self.assistants if spec.name == name}
        if not versions:
            names = sorted({spec.name for spec in self.assistants})
            raise UnknownAssistant(f"no assistant is called {quoted(name)}{offer(name, names)}")
        if version is None:
            return list(versions.values())[-1]
        if version not in versions:
            known = offer(version, list(versions))
            raise UnknownAssistant(f"the assistant {name!r} has no version {quoted(version)}{known}")
        return versions[version]


class Brought(Protocol):
    """The assistants that came with processes."""

    async def find(self, name: str, definition_id: str, tenant: str | None) -> Assistant:
        """See `ports.providers.Assistants.deployed`."""
        ...


class Current:
    """Implements `ports.providers.Assistants` by the specs that hold now; who has found one keeps it."""

    def __init__(self, specs: Specs, brought: Brought) -> None:
        self.specs = specs
        self._brought = brought

    def find(self, name: str, version: str | None) -> Assistant:
        """See `Specs.find`."""
        return self.specs.find(name, version)

    async def deployed(self, name: str, definition_id: str, tenant: str | None) -> Assistant:
        """See `ports.providers.Assistants.deployed`."""
        return await self._brought.find(name, definition_id, tenant)


def load(directory: Path, providers: Mapping[str, ProviderSpec] | None = _ALONE) -> Specs:
    """Read all specs of a folder, or raise one Permanent that names every mistake of every file, a line each.

    Without `providers` nobody knows who they are, and what a spec says of them is not looked at, nor the files in which
    it looks things up.

    A spec is any `*.md` file that is not hidden and no file of another one, directly in the folder; symbolic links are
    followed, as a mounted Kubernetes ConfigMap needs it.
    """
    try:
        paths = sorted(path for path in directory.iterdir() if _is_spec(path))
    except FileNotFoundError as exc:
        begin = "name yours, or have `assistant-worker init DIR` write one to start from"
        raise Permanent(f"ASSISTANTS_DIR={directory}: there is no such folder; {begin}") from exc
    except OSError as exc:
        raise Permanent(f"ASSISTANTS_DIR={directory}: cannot be read: {exc.strerror}") from exc
    if not paths:
        raise Permanent(f"ASSISTANTS_DIR={directory}: holds no spec; put one there, such as analyst.md")
    # A handbook may be Markdown as well.
    said = {path: _of_spec(path) for path in paths}
    named = {name for each in said.values() for name in each.get("files") or ()}
    specs: dict[tuple[str, str], tuple[Assistant, Path]] = {}
    names: dict[str, str] = {}
    mistakes: list[str] = []
    for path in paths:
        if path.name in named and not said[path]:
            continue
        try:
            spec, line = read(_text(path), path.stem, providers, partial(_beside, path.parent), path.parent)
        except Wrong as exc:
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


def read(
    text: str,
    stem: str,
    providers: Mapping[str, ProviderSpec] | None,
    beside: Callable[[str], str],
    folder: Path | None = None,
) -> tuple[Assistant, int]:
    """Return the assistant of one file and the line of its version, or raise Wrong with all that can be seen.

    `stem` is the file's name without `.md`. `beside` returns the text of a file that the spec names, or raises
    ValueError, which says why there is none. `providers` as for `load`. Without a `folder` it may name no files to look
    things up in.
    """
    front, instructions = _parts(text)
    said = mapped(front, "the front matter")
    values, mistakes = said.values, said.mistakes
    if not instructions:
        mistakes.append((front.count("\n") + 1, "has no instructions; write them below the front matter"))
    mistakes += [(said.line(key), f"{key}: {text}") for key, text in _disagreements(stem, values)]
    mistakes += () if providers is None else _unanswered(said, providers)
    spec = said.fields(FrontMatter)
    try:
        output_schema = _output_schema(beside, spec.output_schema)
    except ValueError as exc:
        mistakes.append((said.line("output_schema"), f"output_schema: {exc}"))
    files: list[AssistantFile] = []
    for number, name in enumerate(spec.files):
        try:
            files.append(_file(folder, name, spec.files[:number], is_needed=providers is not None))
        except ValueError as exc:
            mistakes.append((said.line("files", str(number)), f"files: {quoted(name)} {exc}"))
    if mistakes:
        raise Wrong(mistakes)
    return _assistant(spec, instructions, output_schema, tuple(files)), said.line("version")


def _unanswered(said: Mapped, providers: Mapping[str, ProviderSpec]) -> Iterator[tuple[int, str]]:
    """Say which providers there are not, or not for this, each with its line."""
    provider, fallback = said.values.get("provider", OPENAI), said.values.get("fallback")
    if "provider" not in said.values and OPENAI not in providers:
        known = offer("", list(providers))
        yield said.line("model"), f"provider: is missing, and none is called {OPENAI}; add a line provider: …{known}"
    elif isinstance(provider, str) and provider not in providers:
        yield said.line("provider"), f"provider: {quoted(provider)} is unknown{offer(provider, list(providers))}"
    elif isinstance(provider, str) and said.values.get("background") and providers[provider].api != "conversations":
        text = f"{provider} keeps nothing that could be fetched; take this line out, or name another provider"
        yield said.line("background"), f"background: {text}"
    talks = isinstance(provider, str) and provider in providers and not providers[provider].weighs
    chain = [provider]
    for number, each in enumerate(fallback if isinstance(fallback, list) else ()):
        name, _, model = str(each).partition("/")
        line = said.line("fallback", str(number))
        if name not in providers:
            yield line, f"fallback: {quoted(name)} is unknown{offer(name, list(providers))}"
        elif not model:
            yield line, f"fallback: {quoted(str(each))} names no model; write provider/model"
        elif name in chain:
            text = "is away when this one's turn comes, so that it would never be asked; name another provider"
            yield line, f"fallback: {name} {text}"
        elif talks and providers[name].weighs:
            yield line, f"fallback: {name} answers decision questions alone; name a provider of another api"
        chain.append(name)


def _of_spec(path: Path) -> Mapping[str, Any]:
    """Return what the front matter of a spec says, as far as it has the form of one; nothing of another file."""
    try:
        said = mapped(_parts(_text(path))[0], "the front matter").values
        FrontMatter.model_validate(said)
    except (Wrong, ValidationError):
        return {}
    return said


def schema_file(text: str) -> str | None:
    """Name the file that a spec wants its schema from; None where it wants none, or cannot be read."""
    try:
        said = mapped(_parts(text)[0], "the front matter").values.get("output_schema")
    except Wrong:
        return None
    return said if isinstance(said, str) else None


def _beside(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text("utf-8-sig")
    except OSError as exc:
        raise ValueError(f"{quoted(name)} beside the spec cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ValueError(f"{quoted(name)} is no JSON: {exc}") from exc


def _file(folder: Path | None, name: str, others: Sequence[str], *, is_needed: bool) -> AssistantFile:
    """Find a file that the spec names; one that is not needed need not be there. Raises ValueError."""
    if folder is None:
        raise ValueError("cannot be named here: assistants that come with a process have no files of their own")
    if Path(name).name != name:
        raise ValueError("is no name of a file: put the file beside the spec, and name it without a folder")
    if name in others:
        raise ValueError("is named twice; take one out")
    path = folder / name
    if not is_needed:
        return AssistantFile(name, "", path)
    if path.suffix.lower() == ".md" and _of_spec(path):
        raise ValueError("is the spec of an assistant, and nothing to look things up in")
    try:
        digest = plain_file.sha256(path, LARGEST)
    except OSError as exc:
        raise ValueError(f"beside the spec cannot be read: {exc.strerror}") from exc
    if digest is None:
        raise ValueError(f"has more than {LARGEST:,} bytes: name the parts that are needed as files of their own")
    return AssistantFile(name, digest, path)


def _output_schema(beside: Callable[[str], str], said: Any) -> Mapping[str, Any] | None:
    """Return the JSON Schema that stands in the spec, or in the file that it names. Raises ValueError."""
    if said is None:
        return None
    value: Any = said
    if isinstance(said, str):
        text = beside(said)
        try:
            value = foreign.read(text)
        except ValueError as exc:
            raise ValueError(f"{quoted(said)} is no JSON: {exc}") from exc
    flaw = schema.flaw(value)
    if flaw:
        raise ValueError(f"is no usable JSON Schema: {flaw}")
    return cast("Mapping[str, Any]", value)


def _assistant(
    spec: FrontMatter,
    instructions: str,
    output_schema: Mapping[str, Any] | None,
    files: tuple[AssistantFile, ...],
) -> Assistant:
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
        fallback=tuple((provider, model) for provider, _, model in (each.partition("/") for each in spec.fallback)),
        stays=spec.after_fallback == "stay",
        output_schema=output_schema,
        memory=MemoryWish(**spec.memory.model_dump()) if spec.memory else NO_WISH,
        files=files,
    )


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise Wrong([(1, f"cannot be read: {exc.strerror}")]) from exc
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")  # Windows editors write a byte order mark
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise Wrong([(line, "is not UTF-8 text; save it as UTF-8")]) from exc


def _parts(text: str) -> tuple[str, str]:
    """Return front matter, whose lines count as the file's, and instructions."""
    lines = text.split("\n")
    fences = [index for index, line in enumerate(lines) if line.rstrip() == "---"]
    if not fences or fences[0] != 0:
        raise Wrong([(1, "has no front matter; begin with a line --- and close it with another")])
    if len(fences) == 1:
        raise Wrong([(1, "the front matter has no end; close it with a line ---")])
    end = fences[1]
    return "\n".join(["", *lines[1:end], ""]), "\n".join(lines[end + 1 :]).strip()


def _disagreements(stem: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Compare with the file's name: `<name>.md` or `<name>@<version>.md`."""
    name, at, version = stem.partition("@")
    for key, in_file_name in [("name", name), *([("version", version)] if at else [])]:
        said = values.get(key)
        if isinstance(said, str) and said != in_file_name:
            yield key, f"is {quoted(said)}, but {quoted(in_file_name)} in the name of the file; make them agree"
