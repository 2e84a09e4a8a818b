"""From the body of a chat completion to what is wanted, or to an error that names the field."""

import asyncio
import base64
import binascii
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from services.contracts.completions import PASSED_ON, CompletionRequest, InputAudio, UserMessage
from services.contracts.errors import BadRequest
from services.contracts.models import check_model
from services.gateway.fields import longest_answer
from services.gateway.forms import read_body
from services.gateway.llm_client import Sampling
from services.gateway.settings import GatewaySettings

SHOWN = 80  # characters of a refused value


async def read_completion(request: Request, settings: GatewaySettings) -> CompletionRequest:
    """Raises BadRequest that names the field, NotFound for another model."""
    body = await read_body(request)
    wanted = await asyncio.to_thread(_validated, body)  # it may hold megabytes of base64
    check_model(wanted.model, settings.model)
    n_recordings = sum(1 for _ in recordings(wanted))
    if n_recordings > settings.max_recordings:
        limit = f"at most {settings.max_recordings} are accepted (TEXTPRO_MAX_RECORDINGS)"
        raise BadRequest(f"the messages have {n_recordings} recordings; {limit}", param="messages")
    return wanted


def recordings(wanted: CompletionRequest) -> list[tuple[str, InputAudio]]:
    """With their places, such as `messages[0].content[1]`."""
    return [
        (f"messages[{i}].content[{j}]", audio)
        for i, message in enumerate(wanted.messages)
        if isinstance(message, UserMessage)
        for j, audio in message.recordings
    ]


def recording(audio: InputAudio, place: str) -> bytes:
    """The file. Raises BadRequest for what is not base64."""
    try:
        return base64.b64decode(audio.data, validate=True)
    except (binascii.Error, ValueError) as error:
        where = f"{place}.input_audio.data"
        raise BadRequest(f"{where} is not base64: {str(error).lower()}", param=where) from error


def sampling(wanted: CompletionRequest, settings: GatewaySettings) -> Sampling:
    """How the answer is drawn. Raises BadRequest for an answer longer than allowed."""
    name, asked = wanted.longest or ("max_tokens", None)
    return Sampling(
        max_tokens=longest_answer(asked, settings, name),
        temperature=wanted.temperature,
        seed=wanted.seed,
        tools=tuple(tool.model_dump() for tool in wanted.tools or ()),
        tool_choice=wanted.tool_choice,
        others={field: value for field in PASSED_ON if (value := getattr(wanted, field)) is not None},
    )


def _validated(body: bytes) -> CompletionRequest:
    try:
        given = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}", code="invalid_json") from error
    try:
        return CompletionRequest.model_validate(given)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False)[0], given) from error


def _refusal(error: ErrorDetails, given: Any) -> BadRequest:
    place = _place(error["loc"], given) or None
    shown = place or "the body"
    match error["type"]:
        case "extra_forbidden":
            message = f"{shown} is not a field of this request"
        case "missing":
            message = f"{shown} is missing"
        case "union_tag_invalid":
            found = error.get("ctx", {})
            named, key = repr(found.get("tag"))[:SHOWN], str(found.get("discriminator")).strip("'")
            message = f"{shown} has the {key} {named}; expected {found.get('expected_tags')}"
        case _:
            value = error["input"]
            value = repr(value)[:SHOWN] if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
            message = f"{shown} is {value}: {error['msg'].lower()}"
    return BadRequest(message, param=place)


def _place(loc: tuple[int | str, ...], given: Any) -> str:
    """Pydantic's place without the names of its unions, which are no keys of what was given."""
    place, current = "", given
    for i, key in enumerate(loc):
        if isinstance(key, int) and isinstance(current, list):
            place, current = f"{place}[{key}]", current[key] if key < len(current) else None
        elif isinstance(current, dict) and (key in current or i == len(loc) - 1):
            place, current = f"{place}.{key}" if place else str(key), current.get(key)
    return place
