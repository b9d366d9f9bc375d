"""The embeddings of the stand-in: which words a text has, by their beginnings. Nothing is drawn at random."""

import base64
import hashlib
import math
import re
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final

from worker.demo.model.wire import ApiError, Json, invalid, missing, model_not_found

MODELS: Final = frozenset({"text-embedding-3-small", "text-embedding-3-large"})
PARAMETERS: Final = frozenset({"dimensions", "encoding_format", "input", "model", "user"})
"""What embeddings.create takes."""
DIMENSIONS: Final = 128
MOST_TEXTS: Final = 2048
BEGINNING: Final = 4
"""Letters by which words are taken for the same: so `cranes` means what `crane` does."""


def embedded(body: Json) -> Json:
    """Answer a request. Raises ApiError for what OpenAI refuses."""
    for name in body.keys() - PARAMETERS:
        raise ApiError(400, f"Unrecognized request argument supplied: {name}")
    if "model" not in body:
        raise missing("model")
    if body["model"] not in MODELS:
        raise model_not_found(body["model"])
    written = body.get("encoding_format", "float")
    if written not in {"float", "base64"}:
        raise invalid("encoding_format", "expected float or base64.")
    texts = _texts(body)
    data = [
        {"object": "embedding", "index": number, "embedding": _as(numbers(each), written)}
        for number, each in enumerate(texts)
    ]
    tokens = sum(len(each.split()) for each in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}


def _texts(body: Mapping[str, Any]) -> Sequence[str]:
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 0 < len(texts) <= MOST_TEXTS:
        raise invalid("input", f"expected a text, or 1 to {MOST_TEXTS} of them.")
    if not all(isinstance(each, str) and each for each in texts):
        raise invalid("input", "input cannot be an empty string.")
    return texts


def numbers(text: str) -> list[float]:
    """Say what a text means: texts with the same beginnings of words are close."""
    found = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.sha256(word[:BEGINNING].encode()).digest()
        found[int.from_bytes(digest[:4], "big") % DIMENSIONS] += 1
    length = math.sqrt(sum(each * each for each in found)) or 1.0
    return [each / length for each in found]


def _as(found: list[float], written: str) -> list[float] | str:
    return found if written == "float" else base64.b64encode(array("f", found).tobytes()).decode()
