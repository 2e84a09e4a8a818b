"""What an operator can say about the LLM service; both engines, and the middleware inside vLLM, read it."""

import shlex
from typing import ClassVar, Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import ServiceSettings

MODEL_NAME = "textpro"


class LlmSettings(ServiceSettings):
    """`TEXTPRO_LLM_…`."""

    model_config = SettingsConfigDict(env_prefix="TEXTPRO_LLM_")
    foreign: ClassVar[tuple[str, ...]] = ("TEXTPRO_LLM_URL",)

    bundle: str = "embedded"
    """The trained bundle: `embedded`, a directory, or a name on the Hugging Face hub."""

    model: str | None = None
    """The LLM, when it is not the bundle's own: `embedded`, a directory, or a name on the hub."""

    engine: Literal["auto", "vllm", "transformers"] = "auto"
    """What runs the LLM; `auto` takes vLLM where it is installed and there is a CUDA device."""

    host: str = "127.0.0.1"
    """Address to listen on."""

    port: int = Field(8002, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the LLM's weights; `auto` is float32 on a CPU and the checkpoint's own on a GPU."""

    context: int | None = Field(None, ge=64)
    """Longest prompt plus answer, in tokens; the model's own limit when not set."""

    max_tokens: int = Field(1024, ge=1)
    """Longest answer, in tokens; a request that asks for more, or does not say, gets this."""

    max_body_bytes: int = Field(8 * 1024 * 1024, ge=1024)
    """Largest request body."""

    allow_prompt_embeds: bool = False
    """Let clients send `prompt_embeds` parts themselves and reach vLLM's other routes; only for clients you trust."""

    concurrency: int = Field(4, ge=1)
    """transformers engine: answers that are generated side by side, a token each in turn."""

    queue: int = Field(64, ge=0)
    """transformers engine: requests that may wait for their turn; one more is answered 429."""

    threads: int = Field(0, ge=0)
    """transformers engine: CPU threads of a forward pass; 0 leaves it to PyTorch."""

    vllm_args: str = ""
    """More arguments for vLLM's server, as on its command line."""

    @field_validator("vllm_args")
    @classmethod
    def _closed_quotes(cls, value: str) -> str:
        shlex.split(value)
        return value
