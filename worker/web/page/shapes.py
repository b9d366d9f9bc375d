"""Texts as trees of a few harmless elements. Texts of a model are text: there is no element that runs or loads.

A link says where it leads, and leads nowhere but to another page of the web, by http or https, when somebody follows
it.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from markdown_it import MarkdownIt
from markdown_it.token import Token

from worker.modelling.schema import alone

LONGEST_MARKDOWN = 30_000
LONGEST_DATA = 200_000
DEEPEST_DATA = 8
COLUMNS = 12
"""Lists of objects with more fields than this become one small table each."""
DEEPEST_MARKDOWN = 20
"""Quotes and lists within each other. The parser leaves out what stands deeper."""
MOST_CELLS = 20_000
LANGUAGE = re.compile(r"[\w+#.-]{0,30}")
"""What may stand behind a fence without being shown."""


@dataclass(frozen=True, slots=True)
class Node:
    """An element: its name, and texts and elements in it.

    `start` is the first number of a list, `href` where a link leads. `right`: a number, or a cell that is said to stand
    on the right.
    """

    tag: str
    children: "Sequence[Node | str]"
    start: int | None = None
    href: str | None = None
    right: bool = False


Tree: TypeAlias = Sequence[Node | str]

TAGS = frozenset(
    "p h4 h5 h6 ul ol li blockquote pre code em strong s br hr table thead tbody tr th td a".split()  # noqa: SIM905 - easier to read
)
"""All elements that there are. The page makes no others, whatever it is told."""

LONGEST_ADDRESS = 2048
LONGEST_NUMBER = 60
NOTHING = "—"
_ADDRESS: Final = re.compile(r"https?://[^\s/?#@\\]+(?:[/?#][^\s\\]*)?", re.ASCII | re.IGNORECASE)
"""An address of the web that shows whose it is: nobody's name stands before the host."""
_NUMBER: Final = re.compile(r"[-+\u2212]?\d[\d.,\u2019\u202f\u00a0 ]*(?: ?(?:%|[A-Z]{3}|[$\u20ac\u00a3]))?")


def address(text: str) -> str | None:
    """Return where a link may lead; None for what is no address of the web."""
    return text if len(text) <= LONGEST_ADDRESS and text.isprintable() and _ADDRESS.fullmatch(text) else None


# Without the rule for images, and for links that lead elsewhere than to the web, their Markdown stays what it is: text
# that says where they would lead. So do links by reference, whose address stands elsewhere in the text.
_MARKDOWN = (
    MarkdownIt("commonmark", {"html": False, "maxNesting": DEEPEST_MARKDOWN})
    .enable(["table", "strikethrough"])
    .disable(["image", "html_inline", "html_block", "reference"])
)
_MARKDOWN.validateLink = lambda url: address(url) is not None  # type: ignore[method-assign] # the parser's own way


_BETWEEN_CELLS: Final = re.compile(r"(?<!\\)\|")


def answer(text: str) -> Tree:
    """Show an answer: JSON as tables, anything else as Markdown, and what is too long or too odd as it is."""
    shown = _data(text)
    if shown is None and len(text) <= LONGEST_MARKDOWN:
        shown = _markdown(text)
    return plain(text) if shown is None else shown


def size(tree: Tree) -> int:
    """Count the elements and texts of a tree."""
    count, waiting = 0, [tree]
    while waiting:
        children = waiting.pop()
        count += len(children)
        waiting += [each.children for each in children if isinstance(each, Node)]
    return count


def plain(text: str) -> Tree:
    """Show a text as it is, with its lines."""
    return [Node("pre", [text])]


def _markdown(text: str) -> Tree | None:
    """Show Markdown; None if some of it would be left out, or if tables would be filled up with too many cells."""
    lines = text.splitlines()
    if max((line.count("|") for line in lines), default=0) * len(lines) > MOST_CELLS:
        return None
    root: list[Node | str] = []
    tokens = _MARKDOWN.parse(text)
    if any(token.level >= DEEPEST_MARKDOWN - 1 or not LANGUAGE.fullmatch(token.info.strip()) for token in tokens):
        return None
    if _has_cells_without_column(tokens, re.split(r"\r\n?|\n", text)):
        return None
    # A message stands under a heading of the third level, and below that no level may be left out.
    levels = sorted({token.tag for token in tokens if token.type == "heading_open"})
    _fill(root, tokens, {tag: f"h{min(4 + place, 6)}" for place, tag in enumerate(levels)})
    return root


def _has_cells_without_column(tokens: Iterable[Token], lines: Sequence[str]) -> bool:
    """Whether a row of a table has more cells than its head, which Markdown leaves out."""
    columns = 0
    for token in tokens:
        if token.type == "table_open":
            columns = 0
        elif token.type == "th_open":
            columns += 1
        elif token.type == "tr_open" and columns and token.map:
            row = lines[token.map[0]].strip().strip("|")
            if len(_BETWEEN_CELLS.findall(row)) >= columns:
                return True
    return False


def _fill(into: list[Node | str], tokens: Iterable[Token], headings: Mapping[str, str]) -> None:
    open_: list[list[Node | str]] = [into]
    for token in tokens:
        if token.nesting < 0:
            open_.pop()
            if token.type == "table_close":
                open_[-1][-1] = _aligned(open_[-1][-1])
        elif token.type == "inline":
            _fill(open_[-1], token.children or (), headings)
        elif token.nesting > 0:
            children: list[Node | str] = []
            # In tight lists paragraphs are hidden: their text stands in the item.
            if token.hidden:
                children = open_[-1]
            else:
                open_[-1].append(_element(token, headings.get(token.tag, token.tag), children))
            open_.append(children)
        else:
            open_[-1].append(_leaf(token))


def _element(token: Token, tag: str, children: list[Node | str]) -> Node:
    href = address(str(token.attrGet("href"))) if token.tag == "a" else None
    if title := token.attrGet("title"):
        children.append(f"{title}: ")
    return Node(_tag(tag), children, _start(token), href, right=token.attrGet("style") == "text-align:right")


def _aligned(table: Node | str) -> Node | str:
    """Put columns of numbers to the right."""
    if isinstance(table, str):
        return table
    parts = [part for part in table.children if isinstance(part, Node)]
    rows = [_cells(row) for part in parts if part.tag == "tbody" for row in part.children]
    width = max((len(row) for row in rows), default=0)
    right = {place for place in range(width) if _are_numbers(row[place] for row in rows if place < len(row))}
    return replace(table, children=[_moved(part, right) for part in parts]) if right else table


def _moved(part: Node, right: Collection[int]) -> Node:
    rows = [
        Node("tr", [replace(cell, right=cell.right or place in right) for place, cell in enumerate(_cells(row))])
        for row in part.children
    ]
    return replace(part, children=rows)


def _cells(row: Node | str) -> list[Node]:
    return [] if isinstance(row, str) else [cell for cell in row.children if isinstance(cell, Node)]


def _are_numbers(cells: Iterable[Node]) -> bool:
    """Whether there is a number in some of these cells, and nothing in the others."""
    said = [cell.children for cell in cells if cell.children not in ([], [NOTHING])]
    return bool(said) and all(len(each) == 1 and isinstance(each[0], str) and _is_number(each[0]) for each in said)


def _is_number(text: str) -> bool:
    return len(text) <= LONGEST_NUMBER and _NUMBER.fullmatch(text) is not None


def _leaf(token: Token) -> Node | str:
    match token.type:
        case "softbreak":
            return "\n"
        case "hardbreak" | "hr":
            return Node(token.tag, [])
        case "code_inline":
            return Node("code", [token.content])
        case "code_block" | "fence":
            return Node("pre", [Node("code", [token.content])])
    return token.content


def _tag(tag: str) -> str:
    return tag if tag in TAGS else "p"


def _start(token: Token) -> int | None:
    start = token.attrGet("start")
    return int(start) if isinstance(start, int | str) and token.tag == "ol" else None


class _Exact(str):
    """A number as it was written: 1.10 and 2^64 stay what they are."""

    __slots__ = ()


def _data(text: str) -> Tree | None:
    """Show JSON objects and lists; None if the text is neither, or too large for tables, or nested too deep."""
    if len(text) > 2 * LONGEST_DATA:
        return None
    raw = alone(text).strip()
    if raw[:1] not in ("{", "[") or len(raw) > LONGEST_DATA:
        return None
    try:
        value = json.loads(raw, parse_int=_Exact, parse_float=_Exact, parse_constant=_Exact, object_pairs_hook=_Pairs)
        return [_value(value, 0)]
    except (ValueError, RecursionError):
        return None


class _Pairs(tuple[tuple[str, Any], ...]):
    """An object with its fields as they came, also those that came twice."""

    __slots__ = ()


def _value(value: Any, depth: int) -> Node | str:
    if isinstance(value, _Pairs):
        return _text(value) if depth > DEEPEST_DATA else _object(value, depth)
    if isinstance(value, list):
        return _text(value) if depth > DEEPEST_DATA else _list(value, depth)
    match value:
        case None:
            return NOTHING
        case bool():
            return "yes" if value else "no"
    text = _sound(str(value))
    return Node("a", [text], href=text) if address(text) else text


def _sound(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can name and nobody can send."""
    return text.encode(errors="replace").decode()


def _object(pairs: _Pairs, depth: int) -> Node:
    rows = [Node("tr", [Node("th", [_sound(name)]), Node("td", [_value(value, depth + 1)])]) for name, value in pairs]
    return Node("table", [Node("tbody", rows)])


def _list(values: list[Any], depth: int) -> Node | str:
    names = _columns(values)
    if not names:
        return Node("ul", [Node("li", [_value(value, depth + 1)]) for value in values])
    head = Node("thead", [Node("tr", [Node("th", [_sound(name)]) for name in names])])
    rows = [
        Node("tr", [Node("td", [_value(row[name], depth + 1)] if name in row else []) for name in names])
        for row in map(dict, values)
    ]
    return _aligned(Node("table", [head, Node("tbody", rows)]))


def _columns(values: list[Any]) -> list[str]:
    """Find the fields of objects that make one table; nothing if these are no such objects."""
    if not values or not all(isinstance(value, _Pairs) and value for value in values):
        return []
    if any(len({name for name, _ in value}) < len(value) for value in values):
        return []
    names = list(dict.fromkeys(name for value in values for name, _ in value))
    return names if len(names) <= COLUMNS else []


def _text(value: Any) -> str:
    """Write what lies too deep as JSON again."""
    return _sound(json.dumps(_plain(value), ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {name: _plain(each) for name, each in value}
    return [_plain(each) for each in value] if isinstance(value, list) else value
