"""OpenAI's transcriptions: the fields of the form, and the answers; and a stream in vLLM's words."""

import time
import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.contracts.chat import Usage
from textpro.audio import ACCEPTED

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]
TIMED = frozenset({"srt", "verbose_json", "vtt"})  # these say when something was said

EXAMPLE_TRANSCRIPTION: dict[str, Any] = {
    "text": "What is the capital of France?",
    "usage": {"type": "duration", "seconds": 1.84},
}


class TranscriptionFields(BaseModel):
    """What stands beside the file. Of what has no effect here only what changes nothing is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(None, description="This gateway's model; see GET /v1/models.")
    language: Annotated[
        str | None, Field(pattern="^[a-z]{2,3}$", description="ISO 639-1; a bundle of one language ignores it.")
    ] = None
    response_format: ResponseFormat = "json"
    stream: bool = Field(False, description="Server-sent events, with `json` or `text`.")
    timestamp_granularities: list[Literal["segment"]] = Field(
        [], alias="timestamp_granularities[]", description="Of words there are no times."
    )
    temperature: Annotated[float, Field(ge=0, le=0, description="0: the likeliest words are taken.")] = 0.0
    chunking_strategy: Literal["auto"] | None = Field(
        None, description="Recordings are always cut where voice activity detection finds pauses."
    )
    stream_include_usage: bool = Field(False, description="vLLM's: a stream in its words, and a last chunk of usage.")
    stream_continuous_usage_stats: bool = Field(
        False, description="vLLM's: a stream in its words, with the usage so far in every chunk."
    )
    max_completion_tokens: Annotated[
        int | None, Field(ge=1, description="vLLM's, and without effect: the words are those that were said.")
    ] = None

    @property
    def as_vllm(self) -> bool:
        """Whether the stream is to be in vLLM's words."""
        return self.stream_include_usage or self.stream_continuous_usage_stats


class TranscriptionForm(TranscriptionFields):
    """The whole form, for the documentation."""

    file: Annotated[bytes, Field(description=f"The recording: {ACCEPTED}.", json_schema_extra={"format": "binary"})]


class Duration(BaseModel):
    """What was transcribed."""

    type: Literal["duration"] = "duration"
    seconds: float


class Transcription(BaseModel):
    """`response_format=json`."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_TRANSCRIPTION]})

    text: str = Field(description="Empty when nothing was said.")
    usage: Duration


class Segment(BaseModel):
    """An utterance: what was said between two pauses."""

    id: int
    seek: int = Field(description="Where the heard part begins, in hundredths of a second.")
    start: float = Field(description="When the speech begins, in seconds.")
    end: float
    text: str
    tokens: list[int]
    temperature: float = 0.0
    avg_logprob: float = Field(description="Mean natural-log probability of the tokens.")
    compression_ratio: float = Field(description="How many times shorter zlib makes the text.")
    no_speech_prob: float


class VerboseTranscription(BaseModel):
    """`response_format=verbose_json`."""

    task: Literal["transcribe"] = "transcribe"
    language: str = Field(description="ISO 639-1; empty when nothing was said and none was named.")
    duration: float = Field(description="Of the recording, in seconds.")
    text: str
    segments: list[Segment]
    usage: Duration


class TextDelta(BaseModel):
    """Stream: one more utterance; joined, they are the text."""

    type: Literal["transcript.text.delta"] = "transcript.text.delta"
    delta: str


class TextDone(BaseModel):
    """Stream: the whole; always the last event."""

    type: Literal["transcript.text.done"] = "transcript.text.done"
    text: str
    usage: Duration


class ChunkWriter:
    """A stream as vLLM writes it: chunks like a chat completion's. usage: the tokens of the words so far."""

    def __init__(self, model: str) -> None:
        self._head: dict[str, Any] = {
            "id": f"trsc-{uuid.uuid4().hex}",
            "object": "transcription.chunk",
            "created": int(time.time()),
            "model": model,
        }

    def delta(self, text: str, usage: Usage | None) -> dict[str, Any]:
        return self._chunk([{"delta": {"content": text}, "finish_reason": None}], usage)

    def last(self, usage: Usage | None) -> dict[str, Any]:
        return self._chunk([{"delta": {"content": ""}, "finish_reason": "stop"}], usage)

    def usage(self, usage: Usage) -> dict[str, Any]:
        """The chunk after the last one, for `stream_include_usage`."""
        return self._chunk([], usage)

    def _chunk(self, choices: list[dict[str, Any]], usage: Usage | None) -> dict[str, Any]:
        return {**self._head, "choices": choices} | ({"usage": usage.model_dump()} if usage else {})
