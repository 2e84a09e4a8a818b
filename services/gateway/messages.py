"""A live client's JSON messages: read strictly, and what is wrong with one said by its field."""

import json
from typing import Any, NoReturn

from pydantic import ValidationError

from services.contracts.errors import BadRequest

SHOWN = 200  # characters of what a client sent, in a message about it


def json_object(message: str | bytes) -> dict[str, Any]:
    """A JSON object with a `type`. Raises BadRequest: `invalid_json`, `invalid_event`."""
    try:
        text = message if isinstance(message, str) else message.decode()
        given = json.loads(text, parse_constant=_no_number)
        if "\\u" in text:  # half a surrogate pair is JSON, but no text that could be sent on
            json.dumps(given, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"this is not JSON: {message[:SHOWN]!r}", code="invalid_json") from error
    if not isinstance(given, dict) or not isinstance(given.get("type"), str):
        raise BadRequest("a message is a JSON object with a `type`", param="type", code="invalid_event")
    return given


def invalid(error: ValidationError, given: dict[str, Any], prefix: str = "") -> BadRequest:
    """What is wrong first. given: what was validated; prefix: where in the message it stood."""
    first = error.errors()[0]
    place: list[str] = [prefix] if prefix else []
    within: Any = given
    for part in first["loc"]:
        if isinstance(within, dict) and (part in within or part is first["loc"][-1]):
            place.append(str(part))
            within = within.get(part)
        elif isinstance(within, list) and isinstance(part, int) and part < len(within):
            place.append(str(part))
            within = within[part]
        # Any other part is the name that the model gives to one of several kinds, and no field.
    param = ".".join(place) or "type"
    return BadRequest(f"{param}: {first['msg'].lower()}", param=param, code="invalid_value")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
