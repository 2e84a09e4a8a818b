"""Fields that a client may set, in a form, a query or a message: checked, and refused by their name."""

from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from services.contracts.errors import BadRequest
from services.gateway.settings import GatewaySettings

Fields = TypeVar("Fields", bound=BaseModel)
SHOWN = 80  # characters of a value, in a message about it


def validated(kind: type[Fields], given: dict[str, Any], besides: Iterable[str] = ()) -> Fields:
    """The fields of a model that refuses unknown names; an empty one counts as not given. besides: names that are
    known, too. Raises BadRequest that names the field."""
    try:
        return kind.model_validate({name: value for name, value in given.items() if value != ""})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = ", ".join([*besides, *kind.model_fields])
            raise invalid(name, f"{name!r} is not a field of this request; known: {known}") from error
        raise invalid(name, f"{name} is {str(given[name])[:SHOWN]!r}: {first['msg'].lower()}") from error


def longest_answer(asked: int | None, settings: GatewaySettings, name: str = "max_tokens") -> int:
    """In tokens. Raises BadRequest for more than is allowed; name: of the field that asks."""
    if asked is None:
        return settings.max_tokens
    if asked > settings.max_tokens_limit:
        limit = f"at most {settings.max_tokens_limit} (TEXTPRO_MAX_TOKENS_LIMIT)"
        raise invalid(name, f"{name} is {asked}; {limit}")
    return asked


def invalid(name: str, message: str) -> BadRequest:
    """What is wrong with the field of that name."""
    return BadRequest(message, param=name, code="invalid_value")
