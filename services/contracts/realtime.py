"""What clients send over `WS /v1/realtime`: the events of OpenAI's Realtime API (GA), and our few extensions.

Fields that change nothing here (tracing, noise reduction, …) are taken and ignored; what would change the answer and
is not supported (images, MCP tools, answers outside the conversation) is refused.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

MAX_TEXT = 32_000  # characters of an instruction, a message or a tool's result
MAX_TOOLS = 128
MAX_ITEMS = 64  # of one response's own input
MAX_MS = 2**31 - 1
ID = Annotated[str, Field(min_length=1, max_length=64)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


# ---------------------------------------------------------------------------------------------------------- a session
class Pcm(_Wire):
    """PCM16, little endian, mono. 16 kHz is our extension."""

    type: Literal["audio/pcm"] = "audio/pcm"
    rate: Literal[24_000, 16_000] = 24_000


class Pcmu(_Wire):
    """G.711 µ-law, 8 kHz."""

    type: Literal["audio/pcmu"]


class Pcma(_Wire):
    """G.711 A-law, 8 kHz."""

    type: Literal["audio/pcma"]


AudioFormat = Annotated[Pcm | Pcmu | Pcma, Field(discriminator="type")]


class ServerVad(_Wire):
    """An utterance ends after so much silence, whatever was said."""

    type: Literal["server_vad"]
    threshold: float = Field(default=0.5, ge=0, le=1)
    prefix_padding_ms: int = Field(default=300, ge=0, le=5000)
    silence_duration_ms: int = Field(default=500, ge=0, le=10_000)
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(_Wire):
    """An utterance ends after as much silence as its words suggest."""

    type: Literal["semantic_vad"] = "semantic_vad"
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


TurnDetection = Annotated[ServerVad | SemanticVad, Field(discriminator="type")]


class AudioInput(_Wire):
    """turn_detection: null leaves it to the client to commit. transcription: transcripts always come; this is kept to
    be shown."""

    format: AudioFormat = Pcm()
    transcription: dict[str, Any] | None = None
    turn_detection: TurnDetection | None = SemanticVad()


class AudioOutput(_Wire):
    format: AudioFormat = Pcm()
    voice: Text | None = None
    speed: float = Field(default=1.0, ge=0.25, le=1.5)

    @field_validator("voice", mode="before")
    @classmethod
    def _named(cls, voice: Any) -> Any:
        return voice.get("id") if isinstance(voice, dict) else voice


class Audio(_Wire):
    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class FunctionTool(_Wire):
    """A function that the client runs; handed to the LLM as it is."""

    type: Literal["function"]
    name: str = Field(pattern=r"^[\w.-]{1,64}$")
    description: Text = ""
    parameters: dict[str, Any] = Field(default_factory=dict)


class FunctionChoice(_Wire):
    type: Literal["function"]
    name: str = Field(pattern=r"^[\w.-]{1,64}$")


ToolChoice = Literal["auto", "none", "required"] | FunctionChoice
Modalities = Annotated[list[Literal["text", "audio"]], Field(min_length=1, max_length=2)]
MaxTokens = Annotated[int, Field(ge=1)] | Literal["inf"]


class Session(_Wire):
    """The configuration of a session. Ours: prosody, `off` gives the LLM the words alone; eager, `off` makes no answer
    before an utterance has surely ended."""

    type: Literal["realtime"] = "realtime"
    model: Text = ""
    instructions: Text = ""
    output_modalities: Modalities = Field(default_factory=lambda: ["text"])
    max_output_tokens: MaxTokens = "inf"
    temperature: float | None = Field(default=None, ge=0, le=2)
    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] = Field(default_factory=list)
    tool_choice: ToolChoice = "auto"
    audio: Audio = Audio()
    prosody: Literal["on", "off"] = "on"
    eager: Literal["on", "off"] = "on"

    def updated(self, change: dict[str, Any]) -> "Session":
        """With the fields that `change` names; those inside `audio` one by one. Raises ValidationError."""
        return Session.model_validate(_merged(self.model_dump(), change))


def _merged(old: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in change.items():
        before = old.get(name)
        # What has another type (a format, a kind of detection) is another thing, and not the old one changed.
        same = isinstance(value, dict) and isinstance(before, dict) and value.get("type") in (None, before.get("type"))
        merged[name] = _merged(before, value) if same else value  # pyright: ignore[reportArgumentType]
    return merged


# ----------------------------------------------------------------------------------------------------------- its items
class InputText(_Wire):
    type: Literal["input_text"]
    text: Text


class InputAudio(_Wire):
    """A recording in the session's input format; it goes through the encoder like an utterance."""

    type: Literal["input_audio"]
    audio: str


class OutputText(_Wire):
    type: Literal["output_text", "text"] = "output_text"
    text: Text


class OutputAudio(_Wire):
    """What an assistant said, as words; sound is not kept."""

    type: Literal["output_audio", "audio"]
    transcript: Text = ""


class SystemMessage(_Wire):
    type: Literal["message"]
    role: Literal["system"]
    content: Annotated[list[InputText], Field(min_length=1, max_length=16)]
    id: ID | None = None


class UserMessage(_Wire):
    type: Literal["message"]
    role: Literal["user"]
    content: Annotated[
        list[Annotated[InputText | InputAudio, Field(discriminator="type")]], Field(min_length=1, max_length=16)
    ]
    id: ID | None = None


class AssistantMessage(_Wire):
    type: Literal["message"]
    role: Literal["assistant"]
    content: Annotated[list[OutputText | OutputAudio], Field(min_length=1, max_length=16)]
    id: ID | None = None


Message = Annotated[SystemMessage | UserMessage | AssistantMessage, Field(discriminator="role")]


class FunctionCall(_Wire):
    type: Literal["function_call"]
    name: str = Field(pattern=r"^[\w.-]{1,64}$")
    arguments: Text
    call_id: ID | None = None
    id: ID | None = None


class FunctionCallOutput(_Wire):
    type: Literal["function_call_output"]
    call_id: ID
    output: Text
    id: ID | None = None


Item = Annotated[Message | FunctionCall | FunctionCallOutput, Field(discriminator="type")]


# -------------------------------------------------------------------------------------------------------- what is sent
class _ClientEvent(_Wire):
    event_id: Annotated[str, Field(max_length=512)] | None = None


class SessionUpdate(_ClientEvent):
    type: Literal["session.update"]
    session: dict[str, Any]


class AudioAppend(_ClientEvent):
    """audio: base64."""

    type: Literal["input_audio_buffer.append"]
    audio: str


class AudioCommit(_ClientEvent):
    type: Literal["input_audio_buffer.commit"]


class AudioClear(_ClientEvent):
    type: Literal["input_audio_buffer.clear"]


class OutputClear(_ClientEvent):
    type: Literal["output_audio_buffer.clear"]


class ItemCreate(_ClientEvent):
    """previous_item_id: `root` for the beginning; without it the item goes to the end."""

    type: Literal["conversation.item.create"]
    item: Item
    previous_item_id: ID | None = None


class ItemDelete(_ClientEvent):
    type: Literal["conversation.item.delete"]
    item_id: ID


class ItemRetrieve(_ClientEvent):
    type: Literal["conversation.item.retrieve"]
    item_id: ID


class ItemTruncate(_ClientEvent):
    type: Literal["conversation.item.truncate"]
    item_id: ID
    content_index: int = Field(default=0, ge=0)
    audio_end_ms: int = Field(ge=0, le=MAX_MS)


class ResponseWishes(_Wire):
    """What is different in one response. prosody_from: ours; the item whose tone is heard instead of the last one's."""

    instructions: Text | None = None
    output_modalities: Modalities | None = None
    max_output_tokens: MaxTokens | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    metadata: Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)] | None = None
    conversation: Literal["auto", "none"] = "auto"
    input: Annotated[list[Item], Field(max_length=MAX_ITEMS)] | None = None
    prosody: Literal["on", "off"] | None = None
    prosody_from: ID | None = None


class ResponseCreate(_ClientEvent):
    type: Literal["response.create"]
    response: ResponseWishes = ResponseWishes()

    @field_validator("response", mode="before")
    @classmethod
    def _given(cls, response: Any) -> Any:
        return {} if response is None else response


class ResponseCancel(_ClientEvent):
    type: Literal["response.cancel"]
    response_id: ID | None = None


ClientEvent = Annotated[
    SessionUpdate
    | AudioAppend
    | AudioCommit
    | AudioClear
    | OutputClear
    | ItemCreate
    | ItemDelete
    | ItemRetrieve
    | ItemTruncate
    | ResponseCreate
    | ResponseCancel,
    Field(discriminator="type"),
]
CLIENT_EVENT: TypeAdapter[ClientEvent] = TypeAdapter(ClientEvent)
