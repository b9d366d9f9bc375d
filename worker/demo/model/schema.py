"""A JSON document that fits a schema, for answers in a structured form."""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

_EMPTY = {"boolean": True, "null": None}


def instance(schema: Mapping[str, Any], text: str) -> str:
    """JSON text that fits the schema: every property filled, strings with the beginning of `text`.

    Knows what structured outputs accept: types, enum, const, anyOf, $ref and the usual bounds; no patterns or formats.
    """
    return json.dumps(_value(schema, schema, " ".join(text.split())), ensure_ascii=False)


def fits(text: str, schema: Mapping[str, Any]) -> bool:
    """Whether the text is a JSON object or list that fits the schema."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict | list) and Draft202012Validator(schema).is_valid(value)


def _value(schema: Mapping[str, Any], root: Mapping[str, Any], text: str) -> Any:
    for word in ("const", "enum", "anyOf", "$ref"):
        if word in schema:
            return _chosen(word, schema[word], root, text)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind if isinstance(kind, str) else kind[0]:
        case "object":
            return {name: _value(part, root, text) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [_value(schema.get("items", {}), root, text) for _ in range(max(1, schema.get("minItems", 1)))]
        case "integer" | "number":
            return _number(schema)
        case "string":
            return text[: schema.get("maxLength", 200)].ljust(schema.get("minLength", 0), ".")
        case other:
            return _EMPTY.get(other)


def _chosen(word: str, value: Any, root: Mapping[str, Any], text: str) -> Any:
    match word:
        case "const":
            return value
        case "enum":
            return value[0]
        case "anyOf":
            return _value(value[0], root, text)
    target: Any = root
    for name in value.removeprefix("#").strip("/").split("/"):
        target = target[name] if name else target
    return _value(target, root, text)


def _number(schema: Mapping[str, Any]) -> Any:
    lowest = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    return min(lowest, schema.get("maximum", lowest))
