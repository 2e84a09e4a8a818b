"""From a request to a question: a form with a file `audio`, or the recording as the body and fields in the query."""

from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from services.contracts.errors import BadRequest
from services.gateway.chat import Question
from services.gateway.event_stream import EVENT_STREAM
from services.gateway.fields import longest_answer, validated
from services.gateway.forms import is_form, read_body, read_form
from services.gateway.llm_client import Sampling
from services.gateway.settings import GatewaySettings

AUDIO = "audio"


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
    fields = validated(ChatFields, given, besides=[AUDIO])
    question = Question(
        audio=audio,
        sampling=Sampling(longest_answer(fields.max_tokens, settings), fields.temperature, fields.seed),
        session_id=fields.session_id,
        prosody=fields.prosody,
        prosody_from=fields.prosody_from,
        instructions=fields.instructions,
    )
    return question, fields.stream or EVENT_STREAM in request.headers.get("accept", "")


async def _audio_and_fields(request: Request) -> tuple[bytes, dict[str, Any]]:
    given: dict[str, Any] = dict(request.query_params)
    if not is_form(request):
        return await read_body(request), given
    form = await read_form(request, AUDIO)
    given |= dict(form.fields)
    if form.file is None:
        validated(ChatFields, given, besides=[AUDIO])  # a field that is misspelt explains best why there is none
        raise BadRequest(f"the form has no file named {AUDIO!r}", param=AUDIO)
    return form.file, given
