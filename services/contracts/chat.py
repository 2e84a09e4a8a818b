"""The bodies of the gateway's own HTTP interface: what a turn answers, what a session shows."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ProsodyState = Literal["on", "off", "unavailable"]

EXAMPLE_ANSWER: dict[str, Any] = {
    "session_id": "s_1Jb0sY2mVtKp7QxWcE9uAfGd",
    "turn_id": "t_4c1f0a9e2b7d",
    "transcript": "What is the capital of France?",
    "reply": "The capital of France is Paris.",
    "prosody": "on",
    "no_speech": None,
    "finish_reason": "stop",
    "usage": {"prompt_tokens": 38, "completion_tokens": 8, "total_tokens": 46},
    "timing_ms": {
        "receive": 1.2,
        "decode": 3.1,
        "session": 0.4,
        "encoder_queue": 0.2,
        "encoder_encode": 24.9,
        "encoder_decode": 31.0,
        "encoder_wire": 1.1,
        "prefill": 96.4,
        "generate": 301.5,
        "store": 0.5,
        "other": 0.9,
        "first_token": 157.8,
        "total": 461.2,
    },
}


class Usage(BaseModel):
    """The LLM's tokens of this turn; all zero when nothing was said."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class ChatAnswer(BaseModel):
    """One finished turn: the body of `POST /v1/chat`, and the data of the stream's `done` event."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_ANSWER]})

    session_id: str = Field(description="Send it with the next turn to go on with this conversation.")
    turn_id: str
    transcript: str
    reply: str = Field(description="Empty when nothing was said.")
    prosody: ProsodyState = Field(
        description="`on`: the LLM heard the tone; `off`: not asked for; `unavailable`: this installation can't."
    )
    no_speech: str | None = Field(
        description="Why no words were found: silence, no_voice, no_speech, unsure or repetition."
    )
    finish_reason: str | None = Field(description="The LLM's: `stop` or `length`; null when nothing was said.")
    usage: Usage
    timing_ms: dict[str, float] = Field(
        description="Milliseconds of each stage; they add up to `total`. `first_token` counts from the request's start."
    )


class TurnBody(BaseModel):
    """A past turn, without its vector: a voice can be recognised by it."""

    turn_id: str
    transcript: str
    reply: str
    has_prosody: bool
    created_s: float = Field(description="Unix time.")


class SessionBody(BaseModel):
    """A conversation as far as it is kept."""

    session_id: str
    instructions: str
    turns: list[TurnBody]
    expires_in_s: float


class DeletedBody(BaseModel):
    """The session is gone, its vectors too."""

    session_id: str
    deleted: Literal[True] = True


class ErrorDetail(BaseModel):
    """What was wrong, for a person (`message`) and for a program (`type`, `code`, `param`)."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """OpenAI's shape of an error."""

    error: ErrorDetail
