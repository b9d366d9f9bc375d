"""What Zep finds, as facts that each lead to the exchange that they are from. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Self

from worker.domain.memory import Fact


@dataclass(frozen=True, slots=True)
class Source:
    """Which exchange an episode is a piece of, and when that was said."""

    ref: str
    instance: str
    part: int
    at: datetime

    @classmethod
    def read(cls, metadata: object, at: datetime) -> Self | None:
        """Read what we gave a message to carry; None if it is none of ours."""
        if not isinstance(metadata, Mapping):
            return None
        ref, instance, part = (metadata.get(name) for name in ("ref", "instance", "part"))
        if not (isinstance(ref, str) and ref and isinstance(instance, str)):
            return None
        # Numbers may come back as others, and somebody else may have written what is no number.
        return cls(ref, instance, int(part) if isinstance(part, int | float) and isfinite(part) else 0, at)


@dataclass(frozen=True, slots=True)
class Episode:
    """A message as it stands in the graph; `source` is None where it is none of ours."""

    id: str
    text: str
    source: Source | None


@dataclass(frozen=True, slots=True)
class Edge:
    """A fact that Zep has derived, and the ids of the episodes that it is from."""

    id: str
    text: str
    episodes: tuple[str, ...]


def read_time(value: object) -> datetime | None:
    """Read a time as Zep writes it, None if it is none."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def read_edge(said: Mapping[str, Any], now: datetime) -> Edge | None:
    """Read an edge of either dialect; None if it holds no more, or cannot be read."""
    ended = [read_time(said.get(name)) for name in ("invalid_at", "expired_at")]
    if any(each is not None and each <= now for each in ended):
        return None
    match said:
        case {"uuid": str(name), "fact": str(text)} if text.strip():
            listed = said.get("episodes", said.get("episode_uuids"))
            episodes = listed if isinstance(listed, list) else []
            return Edge(name, text.strip(), tuple(each for each in episodes if isinstance(each, str)))
    return None


def read_episode(said: Mapping[str, Any]) -> Episode | None:
    """Read an episode of either dialect, None if it is none."""
    match said:
        case {"uuid": str(name), "content": str(text)} if text.strip():
            times = (read_time(said.get(each)) for each in ("reference_time", "created_at"))
            at = next((each for each in times if each is not None), datetime.fromtimestamp(0, UTC))
            return Episode(name, text, Source.read(said.get("metadata"), at))
    return None


def facts(edges: Iterable[tuple[Edge, Source]], episodes: Iterable[Episode], most: int) -> list[Fact]:
    """Put together what was found, best first: of each ref one fact, whatever was found, or stands there, twice.

    What Zep has derived of an exchange is told instead of the exchange.
    """
    derived: dict[str, dict[str, tuple[Edge, Source]]] = {}
    for edge, source in edges:
        derived.setdefault(source.ref, {}).setdefault(edge.text, (edge, source))
    said: dict[str, dict[int, tuple[Episode, Source]]] = {}
    for episode in episodes:
        origin = episode.source
        if origin is not None and origin.ref not in derived:
            said.setdefault(origin.ref, {}).setdefault(origin.part, (episode, origin))
    found = [_fact([(edge.id, edge.text, source) for edge, source in each.values()]) for each in derived.values()]
    found += [
        _fact([(one.id, one.text, source) for _, (one, source) in sorted(each.items())]) for each in said.values()
    ]
    return found[:most]


def _fact(parts: list[tuple[str, str, Source]]) -> Fact:
    [(name, _, source), *_] = parts
    return Fact(name, "\n".join(text for _, text, _ in parts), source.at, source.instance, source.ref)
