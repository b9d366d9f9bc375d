"""Pictures and files in what a client says, as OpenAI's client types have them. Nobody here looks at them."""

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from worker.demo.model import wire
from worker.demo.model.wire import Json, invalid, missing

TOKENS: Final = 1000
"""What a picture or a file costs here, whatever is in it."""

_DATA: Final = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,([A-Za-z0-9+/=]+)")
_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_SOURCES: Final = {"input_image": ("image_url", "file_id"), "input_file": ("file_data", "file_id", "file_url")}


def items(value: object, param: str, *, limit: int | None = None) -> list[Json]:
    """Items that a client says. Raises ApiError also for pictures and files that OpenAI refuses."""
    read = wire.items(value, param, limit=limit)
    for number, item in enumerate(read):
        if item.get("type") == "message":
            places = (f"{param}[{number}].content[{position}]" for position, _ in enumerate(item["content"]))
            item["content"] = list(map(_checked, item["content"], places))
    return read


def _checked(part: Json, param: str) -> Json:
    """A part as it is kept."""
    kind = part["type"]
    if kind not in _SOURCES:
        return part
    if not any(part.get(name) for name in _SOURCES[kind]):
        raise missing(f"{param}.{_SOURCES[kind][0]}")
    if kind == "input_image":
        _check_image(part.get("image_url"), f"{param}.image_url")
        return {"detail": "auto", "file_id": None, "image_url": None, **part}
    _check_data(part.get("file_data"), f"{param}.file_data")
    return part


def of_chat(part: Json, role: str) -> Json:
    """A part of a chat's message in the words of a response's input."""
    match part:
        case {"type": "image_url", "image_url": {"url": url}}:
            return {"type": "input_image", "image_url": url}
        case {"type": "file", "file": dict(file)}:
            return {"type": "input_file", **file}
    return {"type": "output_text" if role == "assistant" else "input_text", "text": part.get("text", "")}


def tokens(item: Mapping[str, Any]) -> int:
    """What the pictures and files of an item cost."""
    return sum(TOKENS for part in item.get("content") or () if part.get("type") in _SOURCES)


def listed(item: Json, include: str) -> Json:
    """An item as a list shows it: with its pictures' addresses only where the client asks for them."""
    if "message.input_image.image_url" in include or not tokens(item):
        return item
    shown = [part | {"image_url": None} if part["type"] == "input_image" else part for part in item["content"]]
    return item | {"content": shown}


def _check_image(url: object, param: str) -> None:
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return
    if url is not None and _check_data(url, param) not in _IMAGES:
        raise invalid(param, "expected a base64-encoded data URL with an image MIME type.")


def _check_data(url: object, param: str) -> str:
    """Returns the type of what is in a data URL, none for none at all."""
    if url is None:
        return ""
    said = _DATA.fullmatch(url) if isinstance(url, str) else None
    try:
        content = base64.b64decode(said[2], validate=True) if said else b""
    except ValueError:
        content = b""
    if said is None or not content:
        raise invalid(param, "expected a base64-encoded data URL.")
    return said[1]
