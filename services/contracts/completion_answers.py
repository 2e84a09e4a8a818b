"""The answers of OpenAI's chat completions, with our one extension: `textpro`, which stock clients ignore."""

import time
import uuid
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.contracts.chat import ProsodyState, Usage
from services.contracts.completions import ToolCall

EXAMPLE_COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-4c1f0a9e2b7d3f58",
    "object": "chat.completion",
    "created": 1767225600,
    "model": "textpro",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "The capital of France is Paris.",
                "refusal": None,
                "tool_calls": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 38, "completion_tokens": 8, "total_tokens": 46},
    "textpro": {
        "transcripts": [{"text": "What is the capital of France?", "no_speech": None}],
        "prosody": "on",
        "timing_ms": {
            "receive": 1.6,
            "decode": 3.1,
            "profile": 0.1,
            "encoder_queue": 3.2,
            "encoder_encode": 24.9,
            "encoder_decode": 31.0,
            "encoder_wire": 1.1,
            "prefill": 96.4,
            "generate": 301.5,
            "other": 0.9,
            "first_token": 162.3,
            "total": 463.8,
        },
    },
}


class TranscriptBody(BaseModel):
    """What was heard in a recording."""

    text: str = Field(description="Empty when nothing was said.")
    no_speech: str | None = Field(
        description="Why no words were found: silence, no_voice, no_speech, unsure or repetition."
    )


class Extension(BaseModel):
    """What TextPro tells beside OpenAI's answer."""

    transcripts: list[TranscriptBody] = Field(description="Of the request's recordings, in their order.")
    prosody: ProsodyState = Field(
        description="`on`: the LLM heard the tone; `off`: not asked for, or nothing was spoken; `unavailable`: this "
        "installation can't, or no words were found."
    )
    timing_ms: dict[str, float] = Field(description="Milliseconds of each stage; they add up to `total`.")


class AnswerMessage(BaseModel):
    """The answer, or the functions that the LLM wants called."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    tool_calls: list[ToolCall] | None = None


class Choice(BaseModel):
    index: Literal[0] = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: str = Field(description="`stop`, `length` or `tool_calls`.")


class ChatCompletion(BaseModel):
    """OpenAI's `chat.completion`."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_COMPLETION]})

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="Unix time, in seconds.")
    model: str
    choices: list[Choice]
    usage: Usage
    textpro: Extension


class CompletionWriter:
    """One answer's bodies: the whole, or the chunks of a stream."""

    def __init__(self, model: str) -> None:
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(
        self, text: str, calls: list[ToolCall], finish_reason: str, usage: Usage, extension: Extension
    ) -> dict[str, Any]:
        message = AnswerMessage(content=None if calls and not text else text, tool_calls=calls or None)
        choice = Choice(message=message, finish_reason=finish_reason)
        return ChatCompletion(**self._head, choices=[choice], usage=usage, textpro=extension).model_dump()

    def first(self, transcripts: list[TranscriptBody]) -> dict[str, Any]:
        """Says who speaks, and what was heard."""
        heard = {"transcripts": [transcript.model_dump() for transcript in transcripts]}
        return self._chunk({"role": "assistant", "content": ""}) | {"textpro": heard}

    def delta(self, text: str, calls: tuple[dict[str, Any], ...]) -> dict[str, Any]:
        return self._chunk(({"content": text} if text else {}) | ({"tool_calls": list(calls)} if calls else {}))

    def last(self, finish_reason: str, extension: Extension) -> dict[str, Any]:
        return self._chunk({}, finish_reason) | {"textpro": extension.model_dump()}

    def usage(self, usage: Usage) -> dict[str, Any]:
        """The chunk after the last one, for `stream_options.include_usage`."""
        return {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": usage.model_dump()}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}
