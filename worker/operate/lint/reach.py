"""What leads to what in a graph. Pure."""

from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


def reached(ways: Mapping[Node, Collection[Node]], bits: Mapping[Node, int]) -> dict[Node, int]:
    """Return for each node the bits of all that its ways lead to, at whatever distance: its own only if in a circle.

    Sets of numbers in one integer: to join two takes one step for thousands of nodes, where sets take one for each.
    """
    found: dict[Node, int] = {}
    for group in circles(ways):
        first = group[0]
        is_circle = len(group) > 1 or first in ways.get(first, ())
        together = 0
        for node in group:
            together |= bits[node] if is_circle else 0
            for other in ways.get(node, ()):
                together |= bits[other] | found.get(other, 0)
        found |= dict.fromkeys(group, together)
    return found


def circles(ways: Mapping[Node, Collection[Node]]) -> Iterator[list[Node]]:
    """Yield the nodes that lead to each other together, behind all that they lead to; one in no circle is alone.

    Gabow's algorithm, without recursion: how long a model is, is for its author to say.
    """
    number: dict[Node, int] = {}
    done = set[Node]()
    waiting: list[Node] = []
    roots: list[Node] = []
    for start in ways:
        if start in number:
            continue
        path = [(start, iter(ways[start]))]
        number[start] = len(number)
        waiting.append(start)
        roots.append(start)
        while path:
            node, others = path[-1]
            for other in others:
                if other not in number:
                    number[other] = len(number)
                    waiting.append(other)
                    roots.append(other)
                    path.append((other, iter(ways.get(other, ()))))
                    break
                while other not in done and number[roots[-1]] > number[other]:
                    roots.pop()
            else:
                path.pop()
                if roots[-1] == node:
                    roots.pop()
                    group = _taken(waiting, node)
                    done.update(group)
                    yield group


def _taken(waiting: list[Node], last: Node) -> list[Node]:
    """Take from the end of a list, down to this node."""
    group = [waiting.pop()]
    while group[-1] != last:
        group.append(waiting.pop())
    return group
