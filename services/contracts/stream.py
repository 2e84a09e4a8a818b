"""What clients of `WS /v1/stream` may ask for and send, beside their sound."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, field_validator

from services.contracts.realtime import MAX_TEXT

RATES = (8_000, 16_000, 24_000, 48_000)
SYNONYMS = {"sample_rate": "rate"}  # what others call an option


class StreamOptions(BaseModel):
    """How a plain client speaks and wants to be heard; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    coding: Annotated[Literal["pcm", "pcmu", "pcma"], Field(description="PCM16, or G.711's µ-law or A-law.")] = "pcm"
    rate: Annotated[int | None, Field(description="Samples a second: 16,000, of G.711 8,000.")] = None
    prosody: Annotated[Literal["on", "off"], Field(description="Whether the LLM hears the tone.")] = "on"
    instructions: Annotated[str | None, Field(max_length=8000, description="System prompt.")] = None
    detection: Annotated[Literal["adaptive", "fixed", "none"], Field(description="What ends an utterance.")] = (
        "adaptive"
    )
    pause_ms: Annotated[
        int | None, Field(ge=100, le=10_000, description="The silence that ends it, where that is fixed.")
    ] = None
    interrupt: Annotated[Literal["on", "off"], Field(description="Whether speech over an answer ends it.")] = "on"
    eager: Annotated[
        Literal["on", "off"], Field(description="Whether an answer begins before the utterance has surely ended.")
    ] = "on"
    speech: Annotated[Literal["on", "off"], Field(description="Whether answers come as sound, too.")] = "off"
    speech_rate: Annotated[int | None, Field(description="Samples a second of that sound: `rate`.")] = None
    max_tokens: Annotated[int | None, Field(ge=1, description="Longest answer, in tokens.")] = None
    temperature: Annotated[
        float | None, Field(ge=0, le=2, allow_inf_nan=False, description="0 always takes the likeliest token.")
    ] = None

    @field_validator("rate", "speech_rate")
    @classmethod
    def _is_known(cls, rate: int | None) -> int | None:
        if rate is not None and rate not in RATES:
            raise ValueError(f"expected one of {', '.join(map(str, RATES))}")
        return rate


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Start(_Message):
    """The first message, if it is sent: options, which go before those of the query."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal["start"]

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Commit(_Message):
    """The utterance ends here."""

    type: Literal["commit"]


class Clear(_Message):
    """What was not committed is taken back."""

    type: Literal["clear"]


class Cancel(_Message):
    """No more of the answer that is being given."""

    type: Literal["cancel"]


class Typed(_Message):
    """Words that were typed; they are answered, and end an answer that is being given."""

    type: Literal["text"]
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT)]


class Stop(_Message):
    """No more sound comes: what was said is still answered, then the connection ends."""

    type: Literal["stop"]


ClientMessage = Annotated[Start | Commit | Clear | Cancel | Typed | Stop, Field(discriminator="type")]
CLIENT_MESSAGE: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)
