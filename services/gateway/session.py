"""A conversation as it is kept: turns with text and the prosody vector, as bytes that never change once written."""

import json
import secrets
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Prosody:
    """A vector as the encoder gave it: base64 of float16, little endian, row-major, and its shape [rows, width].

    encoder: fingerprint of the bundle that gave it, empty where it is unknown; another one's vectors mean other things.
    """

    data: str
    shape: tuple[int, int]
    encoder: str = ""

    def content_part(self) -> dict[str, Any]:
        """The content part of a user message, the LLM service's extension of OpenAI's."""
        return {"type": "prosody", "data": self.data, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, fields: dict[str, Any] | None) -> Self | None:
        """As it was kept, maybe by a gateway that kept no encoder with it."""
        if fields is None:
            return None
        rows, width = fields["shape"]
        return cls(fields["data"], (rows, width), fields.get("encoder", ""))


@dataclass(frozen=True)
class Turn:
    """What was said, how, and what was answered. number: counts the session's turns from 0, given by the store."""

    turn_id: str
    transcript: str
    reply: str
    prosody: Prosody | None
    created_s: float
    number: int = 0

    def to_json(self) -> str:
        """Without `number`, which the store keeps."""
        fields = asdict(self)
        del fields["number"]
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes, number: int) -> Self:
        fields = json.loads(text)
        return cls(**fields | {"prosody": Prosody.from_json(fields["prosody"])}, number=number)


@dataclass(frozen=True)
class Session:
    """A snapshot. `turns` are the newest, oldest first; `expires_in_s` from now, when nothing more is said."""

    session_id: str
    instructions: str
    turns: list[Turn] = field(default_factory=list)
    expires_in_s: float = 0.0


def new_session_id() -> str:
    """Not to be guessed: who knows the id may read the conversation."""
    return f"s_{secrets.token_urlsafe(18)}"


def new_turn_id() -> str:
    return f"t_{secrets.token_hex(8)}"


def new_item_id() -> str:
    return f"item_{secrets.token_hex(8)}"


def new_response_id() -> str:
    return f"resp_{secrets.token_hex(8)}"
