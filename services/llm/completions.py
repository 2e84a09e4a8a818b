"""OpenAI's chat completions: the request the transformers engine understands, and the answers it writes."""

import time
import uuid
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from services.contracts.errors import BadRequest, NotFound
from services.llm.settings import MODEL_NAME
from services.llm.soft_tokens import read_rows
from textpro.prompt import Block, ProsodyRows

# Fields that change nothing in an answer. Any other one this engine does not know is refused: ignoring it would lie.
_HARMLESS = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls"}
)


class ChatMessage(BaseModel):
    """`content`: a text, or parts of which the first may be soft tokens."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """The body of POST /v1/chat/completions."""

    model_config = ConfigDict(extra="allow")

    messages: list[ChatMessage] = Field(min_length=1, max_length=1024)
    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: list[str] | None = Field(None, max_length=16)
    n: Literal[1] | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    def check(self) -> None:
        """Raises NotFound for another model's name, BadRequest for a field that would change the answer."""
        if self.model not in (None, MODEL_NAME):
            message = f"the model {self.model!r} does not exist; this service serves {MODEL_NAME!r}"
            raise NotFound(message, param="model", code="model_not_found")
        for name, value in (self.model_extra or {}).items():
            if value and name not in _HARMLESS:
                raise BadRequest(f"{name} is not supported by the transformers engine", param=name, code="unsupported")

    def prompt(self, llm_width: int, max_rows: int) -> list[dict[str, Any]]:
        """The messages for ChatTemplate.sequence. Raises BadRequest for a part this engine does not know."""
        return [
            {
                "role": "system" if message.role == "developer" else message.role,
                "content": _content(message.content, f"messages[{i}]", llm_width, max_rows),
            }
            for i, message in enumerate(self.messages)
        ]


def _content(
    content: str | list[dict[str, Any]] | None, place: str, llm_width: int, max_rows: int
) -> str | list[str | Block]:
    if content is None or isinstance(content, str):
        return content or ""
    parts: list[str | Block] = []
    for j, part in enumerate(content):
        where = f"{place}.content[{j}]"
        if part.get("type") == "text" and isinstance(part.get("text"), str):
            parts.append(part["text"])
        elif part.get("type") == "prompt_embeds":
            parts.append((ProsodyRows(read_rows(part, llm_width, max_rows, where)),))
        else:
            kind = str(part.get("type"))[:40]
            raise BadRequest(
                f"{where}: a part of type {kind!r} is not supported; expected text or prosody", param=where
            )
    return parts


class Reply:
    """The bodies of one answer: chunks of a stream, or the whole."""

    def __init__(self, n_prompt: int) -> None:
        self._n_prompt = n_prompt
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": MODEL_NAME}

    def first(self) -> dict[str, Any]:
        """The chunk that opens a stream: it says who speaks."""
        return self._chunk({"role": "assistant", "content": ""}, None)

    def delta(self, text: str) -> dict[str, Any]:
        return self._chunk({"content": text}, None)

    def last(self, finish_reason: str) -> dict[str, Any]:
        return self._chunk({}, finish_reason)

    def usage(self, n_completion: int) -> dict[str, int]:
        total = self._n_prompt + n_completion
        return {"prompt_tokens": self._n_prompt, "completion_tokens": n_completion, "total_tokens": total}

    def usage_chunk(self, n_completion: int) -> dict[str, Any]:
        """The chunk after the last one, with no choices, for `stream_options.include_usage`."""
        return {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": self.usage(n_completion)}

    def whole(self, text: str, finish_reason: str, n_completion: int) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        return {
            **self._head, "object": "chat.completion", "choices": [choice], "usage": self.usage(n_completion)
        }  # fmt: skip

    def _chunk(self, delta: dict[str, str], finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}
