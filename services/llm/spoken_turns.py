"""Spoken user turns in a chat completion request: prosody parts go out, projected soft tokens come in their place."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from transformers import AutoConfig, AutoTokenizer

from services.contracts.errors import BadRequest
from services.llm.settings import MODEL_NAME, LlmSettings
from services.llm.soft_tokens import MAX_VECTORS, read_prosody, read_rows, write_rows
from textpro.bundle import Bundle
from textpro.errors import BundleError
from textpro.language_model import EmbeddingTable, bundle_llm, max_positions, readable
from textpro.projector import Projector
from textpro.prompt import ChatTemplate, PromptError, embed, spoken

ProsodyState = Literal["on", "off", "unavailable"]


@dataclass(frozen=True)
class SpokenTurns:
    """What a bundle and its LLM need for projecting prosody; without a projector, prosody parts are dropped."""

    bundle: Bundle
    template: ChatTemplate
    embedding: EmbeddingTable
    projector: Projector | None
    max_positions: int
    allow_prompt_embeds: bool = False

    @classmethod
    def load(cls, settings: LlmSettings, bundle: Bundle, model: Path) -> Self:
        """Reads projector and tokenizer. Raises BundleError when a file is broken, or the projector does not fit."""
        embedding = EmbeddingTable(model)
        projector = Projector.load(bundle.projector_path) if bundle.projector_path is not None else None
        if projector is not None and projector.llm_width != embedding.width:
            raise BundleError(
                f"the projector of {bundle.path} gives {projector.llm_width} values; {model} has embeddings of "
                f"{embedding.width}: name the LLM the bundle was trained with"
            )
        with readable(model):
            template = ChatTemplate(AutoTokenizer.from_pretrained(model))
            limit = settings.context or max_positions(AutoConfig.from_pretrained(model))
        if limit is None:
            raise BundleError(f"{model} does not state its longest prompt: set TEXTPRO_LLM_CONTEXT")
        return cls(bundle, template, embedding, projector, limit, settings.allow_prompt_embeds)

    @classmethod
    def from_settings(cls, settings: LlmSettings) -> Self:
        """The same from a service's settings alone, as inside vLLM. Raises BundleError."""
        bundle = Bundle.load(settings.bundle)
        return cls.load(settings, bundle, bundle_llm(bundle, settings.cache, name=settings.model))

    def describe(self) -> dict[str, Any]:
        """What /v1/config says beside the settings: which prosody is wanted, and in what shape."""
        config = self.bundle.config
        return {
            "model_name": MODEL_NAME,
            "fingerprint": self.bundle.fingerprint,
            "prosody": "unavailable" if self.projector is None else "on",
            "layout": config.layout,
            # The interleaved layout makes its groups from one vector a token; the global one needs only their mean.
            "wants": "tokens" if config.layout == "interleaved" else "pooled",
            "width": None if self.projector is None else self.projector.width,
            "max_vectors": MAX_VECTORS,
        }

    def project(self, request: dict[str, Any]) -> tuple[dict[str, Any], ProsodyState]:
        """The request as the engine takes it, and whether prosody is in it; the given one stays. Raises BadRequest.

        Only what concerns prosody is checked; the rest is the engine's to judge.
        """
        if "prompt_embeds" in request:
            self._check_rows(request, "prompt_embeds")
        messages = request.get("messages")
        if not isinstance(messages, list):
            return request, "off"
        found = False
        changed = []
        for i, message in enumerate(messages):
            content = message.get("content") if isinstance(message, dict) else None
            if isinstance(content, list):
                new = self._content(content, f"messages[{i}]", is_user=message.get("role") == "user")
                found |= new is not content
                message = {**message, "content": new}
            changed.append(message)
        state: ProsodyState = "off" if not found else "unavailable" if self.projector is None else "on"
        return {**request, "messages": changed}, state

    def _content(self, content: list[Any], place: str, *, is_user: bool) -> list[Any]:
        for j, part in enumerate(content):
            if isinstance(part, dict) and (part.get("type") == "prompt_embeds" or "prompt_embeds" in part):
                self._check_rows(part, f"{place}.content[{j}]")
        places = [j for j, part in enumerate(content) if isinstance(part, dict) and part.get("type") == "prosody"]
        if not places:
            return content
        if not is_user:
            message = f"{place}: only user messages are spoken; this one has a prosody part"
            raise BadRequest(message, param=place, code="invalid_prosody")
        if places != [0]:
            where = f"{place}.content[{places[-1]}]"
            message = f"{where}: a message has one prosody part, and it comes first"
            raise BadRequest(message, param=where, code="invalid_prosody")
        return self._spoken(content[0], content[1:], f"{place}.content[0]")

    def _spoken(self, part: dict[str, Any], rest: list[Any], place: str) -> list[Any]:
        vectors = read_prosody(part, self.projector.width if self.projector else None, place)
        if self.projector is None:
            return rest or [{"type": "text", "text": ""}]
        config = self.bundle.config
        # The transcript is the text right behind the vectors; more parts may follow it.
        follows = rest[0].get("text") if rest and isinstance(rest[0], dict) and rest[0].get("type") == "text" else None
        transcript = follows if isinstance(follows, str) else None
        try:
            made = spoken(
                vectors,
                transcript or "",
                layout=config.layout,
                ratio=config.interleave_ratio,
                tokenize=self.template.tokenize,
            )
        except PromptError as error:
            raise BadRequest(str(error), param=place) from error
        with torch.inference_mode():
            rows = [embed(block, self.embedding, self.projector) for block in made if not isinstance(block, str)]
        soft = [write_rows(row) for row in rows]
        if config.layout == "interleaved" and transcript is not None:
            return [*soft, *rest[1:]]
        return [*soft, *rest]

    def _check_rows(self, part: dict[str, Any], place: str) -> None:
        if not self.allow_prompt_embeds:
            raise BadRequest(
                f"{place}: prompt_embeds are not accepted from clients; send a prosody part",
                param=place,
                code="prompt_embeds_refused",
            )
        if part.get("type") != "prompt_embeds":
            raise BadRequest(f'{place}: expected {{"type": "prompt_embeds", "data": …}} in a message', param=place)
        read_rows(part, self.embedding.width, self.max_positions, place)
