"""The gateway's settings: environment variables TEXTPRO_… that no other service claims."""

from typing import ClassVar, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import ServiceSettings
from textpro.audio import MAX_DECODED_BYTES

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


class GatewaySettings(ServiceSettings):
    """Settings of `python -m services.gateway`."""

    model_config = SettingsConfigDict(env_prefix="TEXTPRO_")
    foreign: ClassVar[tuple[str, ...]] = ("TEXTPRO_ENCODER_", "TEXTPRO_LLM_", "TEXTPRO_TEST_")

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` opens it to the network."""

    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""

    encoder_url: str = "127.0.0.1:50051"
    """gRPC target of the encoder; `dns:///name:port` spreads the calls over all its replicas."""

    llm_url: str = Field(default="http://127.0.0.1:8002", pattern=r"^https?://[^\s/]+")
    """Base URL of the LLM service, without `/v1`."""

    model: str = "textpro"
    """Model name sent to the LLM service."""

    redis_url: SecretStr | None = None
    """Where sessions live, such as `redis://host:6379/0`; when not set, in this process's memory."""

    speech: Literal["off", "espeak-ng", "openai"] = "off"
    """What speaks live answers: nothing, espeak-ng in this process, or a server with OpenAI's `/v1/audio/speech`."""

    speech_url: str | None = Field(default=None, pattern=r"^https?://[^\s/]+", validate_default=True)
    """Base URL of that server, without `/v1`."""

    speech_key: SecretStr | None = None
    """Sent to it as a bearer token."""

    speech_model: str = "tts-1"
    """Model name sent to it."""

    speech_voice: str = ""
    """The voice: one of that server's, `alloy` when not set; of espeak-ng such as `gmw/en-US+f3`, `gmw/en-US` then."""

    speech_sentence: int = Field(default=240, ge=40, le=4000)
    """Longest text spoken at once, in characters; a longer sentence is cut at a comma, else between words."""

    speech_timeout_s: float = Field(default=10.0, gt=0, le=300)
    """Longest wait for the speech server's next sound, in seconds."""

    speech_lead_s: float = Field(default=2.0, ge=0.2, le=30)
    """How far ahead of its being played an answer's sound is sent, in seconds."""

    speech_held_s: float = Field(default=10.0, ge=0, le=600)
    """Sound of an answer that is made and waits to be sent, from which on its voice waits, in seconds."""

    instructions: str = Field(default="", max_length=8000)
    """System prompt of sessions that bring none of their own."""

    max_seconds: float = Field(default=60.0, gt=0, le=3600)
    """Longest audio of a turn, in seconds."""

    max_bytes: int = Field(default=25 * 2**20, ge=1024)
    """Largest request body."""

    max_decoded_bytes: int = Field(default=MAX_DECODED_BYTES, ge=2**20)
    """Most bytes of raw samples one upload may decode to."""

    max_recordings: int = Field(default=16, ge=1, le=1024)
    """Recordings in the messages of one chat completion."""

    max_recordings_s: float = Field(default=300.0, gt=0, le=36_000)
    """Longest audio of all recordings of one chat completion together, in seconds."""

    max_transcription_s: float = Field(default=600.0, gt=0, le=36_000)
    """Longest recording to be transcribed, in seconds."""

    decode_threads: int = Field(default=2, ge=1, le=64)
    """Uploads decoded, and recordings searched for speech, side by side."""

    max_turns: int = Field(default=64, ge=1, le=10_000)
    """Turns served at once; one more is answered 429."""

    turn_timeout_s: float = Field(default=120.0, gt=0, le=3600)
    """Longest time one turn may take, in seconds."""

    encode_timeout_s: float = Field(default=30.0, gt=0, le=600)
    """Longest time the encoder may take, in seconds."""

    max_tokens_limit: int = Field(default=4096, ge=1)
    """Longest answer a request may ask for, in tokens."""

    max_tokens: int = Field(default=256, ge=1, validate_default=True)
    """Length of an answer when the request does not say, in tokens."""

    session_ttl_s: float = Field(default=3600.0, gt=0)
    """A session is forgotten when nothing was said in it for so long, in seconds."""

    max_sessions: int = Field(default=10_000, ge=1)
    """Sessions kept at once; while there are so many, new ones are answered 429."""

    max_session_turns: int = Field(default=50, ge=1, le=1000)
    """Turns kept of one session; the oldest are forgotten first."""

    max_live: int = Field(default=60, ge=1, le=10_000)
    """Live conversations at once; one more is answered 429 before the upgrade."""

    live_max_s: float = Field(default=3600.0, gt=0)
    """Longest time one live connection may last, in seconds."""

    live_idle_s: float = Field(default=300.0, gt=0)
    """A live connection over which nothing came for so long is closed, in seconds."""

    resume_s: float = Field(default=30.0, ge=0, le=3600)
    """How long a live conversation waits for a client that was lost, in seconds."""

    partial_ms: float = Field(default=640.0, ge=0)
    """More speech of a live utterance after which its words so far are looked for, in milliseconds; 0: never."""

    max_eager: int = Field(default=16, ge=0)
    """Live answers being made at once from which on none is begun before its utterance has surely ended; 0: never."""

    max_outbox: int = Field(default=1000, ge=10)
    """Messages that may wait for a live client to read them; one more closes the connection."""

    max_message_bytes: int = Field(default=4 * 2**20, ge=2**14)
    """Largest message of a live client; a recording sent as an item is one, as base64."""

    max_items: int = Field(default=200, ge=8, le=10_000)
    """Items kept of a live conversation; the oldest are forgotten first."""

    session_wait_s: float = Field(default=10.0, ge=0, le=600)
    """How long a turn waits for the one before it in the same session, in seconds, before it is answered 429."""

    probe_s: float = Field(default=1.0, gt=0, le=60)
    """Time between two looks at the encoder, the LLM and the store, for /readyz, in seconds."""

    @field_validator("max_tokens")
    @classmethod
    def _is_allowed(cls, max_tokens: int, info: ValidationInfo) -> int:
        limit = info.data.get("max_tokens_limit", max_tokens)
        if max_tokens > limit:
            raise ValueError(f"more than TEXTPRO_MAX_TOKENS_LIMIT, {limit}")
        return max_tokens

    @field_validator("speech_url")
    @classmethod
    def _is_there(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None and info.data.get("speech") == "openai":
            raise ValueError("the server that TEXTPRO_SPEECH=openai means has to be named")
        return url

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(REDIS_SCHEMES):
            raise ValueError(f"it must begin with {', '.join(REDIS_SCHEMES)}")
        return url
