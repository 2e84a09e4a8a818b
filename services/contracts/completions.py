"""OpenAI's chat completions as the gateway takes them: what it knows, what it leaves alone, what it refuses.

A field that would change the answer and that nothing here or behind it does is refused, not ignored.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_MESSAGES = 1024
MAX_TOOLS = 128
MAX_STOPS = 16
# Accepted names of what the content tells anyway.
AudioFormat = Literal["wav", "mp3", "flac", "aac", "ogg", "opus", "webm", "mp4", "m4a", "aiff", "au", "caf"]
Penalty = Annotated[float, Field(ge=-2, le=2)]


def _without_point(number: Any) -> Any:
    return int(number) if isinstance(number, float) and number.is_integer() else number


# JSON has one kind of number: 5.0 is 5. Bounds stand before it, else the schema does not have them.
_WHOLE = BeforeValidator(_without_point)
Integer = Annotated[int, _WHOLE]
Positive = Annotated[int, Field(ge=1), _WHOLE]

# Sent on to the LLM service as they are, when given.
PASSED_ON = (
    *("top_p", "stop", "frequency_penalty", "presence_penalty", "logit_bias", "response_format", "reasoning_effort"),
    *("parallel_tool_calls", "top_k", "min_p", "repetition_penalty", "min_tokens", "ignore_eos"),
    "chat_template_kwargs",
)


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


# ------------------------------------------------------------------------------------------------------------ messages
class TextPart(_Wire):
    """Written words."""

    type: Literal["text"]
    text: str


class InputAudio(_Wire):
    """A recording. Its format is told by its content; the name is OpenAI's."""

    data: str = Field(min_length=1, description="The file in base64.", json_schema_extra={"format": "byte"})
    format: AudioFormat = "wav"


class AudioPart(_Wire):
    """Spoken words: the LLM reads their transcript, with the prosody in front of it."""

    type: Literal["input_audio"]
    input_audio: InputAudio


UserPart = Annotated[TextPart | AudioPart, Field(discriminator="type")]


def _as_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


SomeTexts = Annotated[list[TextPart], Field(min_length=1)]
SomeParts = Annotated[list[UserPart], Field(min_length=1)]
Texts = Annotated[SomeTexts, BeforeValidator(_as_parts, json_schema_input_type=str | SomeTexts)]
UserContent = Annotated[SomeParts, BeforeValidator(_as_parts, json_schema_input_type=str | SomeParts)]


class _Message(_Wire):
    name: str | None = None

    def plain(self) -> dict[str, Any]:
        """For the LLM: what was given and is not null, a single text as a string."""
        fields = self.model_dump(exclude_none=True, exclude=_LEFT_OUT)
        match fields.get("content"):
            case [{"text": text}]:
                fields["content"] = text
        return fields


class SystemMessage(_Message):
    """How to answer."""

    role: Literal["system", "developer"]
    content: Texts


class UserMessage(_Message):
    """What a person wrote or said."""

    role: Literal["user"]
    content: UserContent

    @property
    def recordings(self) -> Iterator[tuple[int, InputAudio]]:
        """With their places among the parts."""
        return ((i, part.input_audio) for i, part in enumerate(self.content) if isinstance(part, AudioPart))


class CalledFunction(_Wire):
    name: str
    arguments: str


class ToolCall(_Wire):
    """A function that was called."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


# Of an answer that is sent back as it came: what the LLM does not read again.
_LEFT_OUT = {"refusal", "annotations", "audio", "function_call"}


class AssistantMessage(_Message):
    """An earlier answer. What clients send back empty with it is taken too."""

    role: Literal["assistant"]
    content: Texts | None = None
    tool_calls: list[ToolCall] | None = Field(None, max_length=MAX_TOOLS)
    refusal: None = None
    annotations: list[Any] | None = Field(None, max_length=0)
    audio: None = None
    function_call: None = None


class ToolMessage(_Message):
    """What came of a call."""

    role: Literal["tool"]
    tool_call_id: str
    content: Texts


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


# ------------------------------------------------------------------------------------------------------------- request
def _as_list(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


SomeStops = Annotated[list[str], Field(max_length=MAX_STOPS)]
Stops = Annotated[SomeStops, BeforeValidator(_as_list, json_schema_input_type=str | SomeStops)]


def _no_number(given: Any) -> Any:
    if isinstance(given, int) and not isinstance(given, bool):  # 0 equals False
        raise ValueError("input should be false")
    return given


class StreamOptions(_Wire):
    include_usage: bool = Field(False, description="A last chunk, without choices, has the usage.")
    include_obfuscation: bool | None = Field(None, description="Has no effect.")


class FunctionTool(_Wire):
    """A function the LLM may want called."""

    type: Literal["function"]
    function: dict[str, Any]


class CompletionRequest(_Wire):
    """The body of POST /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    model: str | None = None
    prosody: Literal["on", "off"] = Field("on", description="Ours: whether the LLM hears the tone of the recordings.")
    stream: bool | None = Field(None, description="Answer as server-sent events.")
    stream_options: StreamOptions | None = None
    max_completion_tokens: Positive | None = Field(None, description="Longest answer, in tokens.")
    max_tokens: Positive | None = Field(None, description="The old name of max_completion_tokens.")
    temperature: float | None = Field(None, ge=0, le=2, description="0 always takes the likeliest token.")
    top_p: float | None = Field(None, gt=0, le=1)
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1), _WHOLE] | None = None
    stop: Stops | None = None
    n: Annotated[int, Field(ge=1, le=1), _WHOLE] | None = Field(None, description="One answer a request.")
    tools: list[FunctionTool] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    reasoning_effort: str | None = None
    modalities: list[Literal["text"]] | None = Field(None, description="Answers are text.")
    logprobs: Annotated[Literal[False], BeforeValidator(_no_number)] | None = Field(None, description="None are given.")
    top_logprobs: Annotated[int, Field(ge=0, le=0), _WHOLE] | None = None

    top_k: Integer | None = Field(None, description="vLLM's.")
    min_p: float | None = Field(None, ge=0, le=1, description="vLLM's.")
    repetition_penalty: float | None = Field(None, gt=0, description="vLLM's.")
    min_tokens: Annotated[int, Field(ge=0), _WHOLE] | None = Field(None, description="vLLM's.")
    ignore_eos: bool | None = Field(None, description="vLLM's.")
    chat_template_kwargs: dict[str, Any] | None = Field(None, description="vLLM's.")

    user: str | None = Field(None, description="Has no effect, like the six that follow.")
    safety_identifier: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None

    @property
    def longest(self) -> tuple[str, int] | None:
        """The field that bounds the answer, and its bound in tokens."""
        for name in ("max_completion_tokens", "max_tokens"):
            if (limit := getattr(self, name)) is not None:
                return name, limit
        return None

    @property
    def with_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage
