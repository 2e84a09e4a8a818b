"""A live client's JSON messages: read strictly, and what is wrong with one said by its field."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from services.contracts.errors import BadRequest

SHOWN = 200  # characters of what a client sent, in a message about it


def json_object(message: str | bytes) -> dict[str, Any]:
    """A JSON object with a `type`. Raises BadRequest: `invalid_json`, `invalid_event`."""
    try:
        given = from_json(message, allow_inf_nan=False)
    except ValueError as error:
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
