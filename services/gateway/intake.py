"""From a request to a question: a form with a file `audio`, or the recording as the body and fields in the query."""

from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from services.contracts.errors import BadRequest, Cancelled
from services.gateway.chat import Question
from services.gateway.event_stream import EVENT_STREAM
from services.gateway.llm_client import Sampling
from services.gateway.settings import GatewaySettings

AUDIO = "audio"
MAX_FIELDS = 16
MAX_FIELD_BYTES = 64 * 1024


class ChatFields(BaseModel):
    """What may stand beside the audio; unknown names are refused."""

    model_config = ConfigDict(extra="forbid")

    session_id: Annotated[str | None, Field(max_length=128, description="Goes on with this session.")] = None
    stream: Annotated[bool, Field(description="Answer as server-sent events.")] = False
    prosody: Annotated[Literal["on", "off"], Field(description="Whether the LLM hears the tone.")] = "on"
    prosody_from: Annotated[
        str | None, Field(max_length=128, description="Answer in the tone of this turn of the session.")
    ] = None
    instructions: Annotated[
        str | None, Field(max_length=8000, description="System prompt, from this turn of the session on.")
    ] = None
    max_tokens: Annotated[int | None, Field(ge=1, description="Longest answer, in tokens.")] = None
    temperature: Annotated[float | None, Field(ge=0, le=2, description="0 always takes the likeliest token.")] = None
    seed: Annotated[int | None, Field(ge=0, le=2**31 - 1, description="Makes drawing repeatable.")] = None


async def read_question(request: Request, settings: GatewaySettings) -> tuple[Question, bool]:
    """The question, and whether its answer shall be streamed. Raises BadRequest that names the field."""
    audio, given = await _audio_and_fields(request)
    fields = _validated(given)
    max_tokens = fields.max_tokens or settings.max_tokens
    if max_tokens > settings.max_tokens_limit:
        limit = f"at most {settings.max_tokens_limit} (TEXTPRO_MAX_TOKENS_LIMIT)"
        raise BadRequest(f"max_tokens is {max_tokens}; {limit}", param="max_tokens")
    question = Question(
        audio=audio,
        sampling=Sampling(max_tokens, fields.temperature, fields.seed),
        session_id=fields.session_id,
        prosody=fields.prosody,
        prosody_from=fields.prosody_from,
        instructions=fields.instructions,
    )
    return question, fields.stream or EVENT_STREAM in request.headers.get("accept", "")


async def _audio_and_fields(request: Request) -> tuple[bytes, dict[str, Any]]:
    given: dict[str, Any] = dict(request.query_params)
    try:
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            return await request.body(), given
        form = await _form(request)
    except ClientDisconnect as error:
        raise Cancelled("the caller hung up while it sent its audio") from error
    audio: UploadFile | None = None
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) != (name == AUDIO):
            kind = "a file" if isinstance(value, UploadFile) else "text"
            raise BadRequest(f"{name!r} came as {kind}; the recording goes into the file {AUDIO!r}", param=name)
        if isinstance(value, UploadFile):
            audio = value
        else:
            given[name] = value
    if audio is None:
        _validated(given)  # a field that is misspelt explains best why there is none
        raise BadRequest(f"the form has no file named {AUDIO!r}", param=AUDIO)
    return await audio.read(), given


async def _form(request: Request) -> FormData:
    charset = parse_options_header(request.headers["content-type"])[1].get(b"charset", b"utf-8")
    if charset.lower() not in (b"utf-8", b"utf8"):  # any codec of Python's would be taken, also one that is no encoding
        raise BadRequest(f"the form's charset is {charset.decode('latin-1')[:40]!r}; send UTF-8", param="charset")
    parser = MultiPartParser(
        request.headers, request.stream(), max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
    )
    parser.spool_max_size = 0  # no bound but the body's: audio is never written to a disk, not even for a moment
    try:
        return await parser.parse()
    except MultiPartException as error:
        message = f"the form can't be read: {error.message}; expected one file, {AUDIO!r}, and short fields"
        raise BadRequest(message) from error


def _validated(given: dict[str, Any]) -> ChatFields:
    try:
        return ChatFields.model_validate({name: value for name, value in given.items() if value != ""})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = ", ".join([AUDIO, *ChatFields.model_fields])
            raise BadRequest(f"{name!r} is not a field of this request; known: {known}", param=name) from error
        raise BadRequest(f"{name} is {str(given[name])[:80]!r}: {first['msg'].lower()}", param=name) from error
