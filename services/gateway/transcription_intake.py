"""From the form of a transcription to what is wanted, or to an error that names the field."""

from typing import Any

from fastapi import Request
from pydantic import ValidationError

from services.contracts.errors import BadRequest
from services.contracts.models import check_model
from services.contracts.transcriptions import TIMED, TranscriptionFields, TranscriptionForm
from services.gateway.forms import is_form, read_form
from services.gateway.settings import GatewaySettings

FILE = "file"
SHOWN = 80  # characters of a refused value
KNOWN = ", ".join(field.alias or name for name, field in TranscriptionForm.model_fields.items())


async def read_transcription(request: Request, settings: GatewaySettings) -> tuple[bytes, TranscriptionFields]:
    """The file, and what is wanted of it. Raises BadRequest that names the field, NotFound for another model."""
    if not is_form(request):
        raise BadRequest(f"the body is not multipart/form-data; expected a form with the file {FILE!r}", param=FILE)
    form = await read_form(request, FILE)
    given: dict[str, Any] = {}
    for name, value in form.fields:
        if name.endswith("[]"):
            given[name] = [*given.get(name, []), value]
        elif value != "":
            given[name] = value
    fields = _validated(given)
    if form.file is None:
        raise BadRequest(f"the form has no file named {FILE!r}", param=FILE)
    check_model(fields.model, settings.model)
    if fields.stream and fields.response_format in TIMED:
        message = f"a stream has no times; response_format is {fields.response_format!r}, expected json or text"
        raise BadRequest(message, param="stream")
    if fields.as_vllm and not fields.stream:
        name = "stream_include_usage" if fields.stream_include_usage else "stream_continuous_usage_stats"
        raise BadRequest(f"{name} needs stream=true", param=name)
    if fields.timestamp_granularities and fields.response_format != "verbose_json":
        name = "timestamp_granularities[]"
        raise BadRequest(f"{name} needs response_format=verbose_json", param=name)
    return form.file, fields


def _validated(given: dict[str, Any]) -> TranscriptionFields:
    try:
        return TranscriptionFields.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise BadRequest(f"{name!r} is not supported by this gateway; known: {KNOWN}", param=name) from error
        raise BadRequest(f"{name} is {str(first['input'])[:SHOWN]!r}: {first['msg'].lower()}", param=name) from error
