"""What Zep's own SDK makes of a server: run by its environment's Python, calls in, answers out, as JSON.

A call is the path of a method of the client and its arguments by name. Its answer has the fields that the SDK knows,
and names those that it does not; or the class of the error that it raised, and the error's message.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from zep_cloud.client import Zep
from zep_cloud.core.api_error import ApiError


def _shown(value: Any) -> Any:
    """A value of the SDK's as JSON: of what it pages through, everything."""
    if hasattr(value, "model_dump"):
        # The one field that SDKs before 4 rename, and do not name again by its alias.
        return json.loads(value.model_dump_json(by_alias=True, exclude_none=True).replace('"uuid_":', '"uuid":'))
    if isinstance(value, str | int | float | None):
        return value
    return [_shown(each) for each in value]


def _unknown(value: Any) -> Iterator[str]:
    """Name the fields that the SDK does not know, at any depth."""
    if hasattr(value, "model_fields_set"):
        yield from value.model_extra or {}
        for name in type(value).model_fields:
            yield from _unknown(getattr(value, name))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _unknown(each)


def _called(client: Zep, path: str, arguments: dict[str, Any]) -> dict[str, Any]:
    method: Any = client
    for name in path.split("."):
        method = getattr(method, name)
    try:
        # Once each: by itself the SDK repeats 408, 409, 429 and all from 500 on.
        found = method(**arguments, request_options={"max_retries": 0})
        if hasattr(found, "__iter__") and not hasattr(found, "model_fields_set"):
            found = list(found)
    except ApiError as exc:
        said = exc.body.error if getattr(exc.body, "error", None) is not None else exc.body
        words = said.get("message") if isinstance(said, dict) else getattr(said, "message", None)
        return {"error": type(exc).__name__, "status": exc.status_code, "message": words}
    return {"answer": _shown(found), "unknown": sorted(set(_unknown(found)))}


def main() -> None:
    """Perform the calls of each line of stdin one after the other, and write a line of what came of them."""
    for line in sys.stdin:
        wanted = json.loads(line)
        client = Zep(api_key=wanted["key"], base_url=wanted["url"])
        done = [_called(client, path, arguments) for path, arguments in wanted["calls"]]
        sys.stdout.write(f"{json.dumps(done)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
