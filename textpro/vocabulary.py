"""A Whisper's tokens: the prompts a transcript begins with, which tokens are text, and what they spell."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from textpro.bundle import Bundle
from textpro.errors import AudioError, BundleError

ENGLISH = "en"


@dataclass(frozen=True)
class Vocabulary:
    """languages: ISO code -> token, empty for an English-only model. From `end` on all are special."""

    tokenizer: Tokenizer
    start: int
    end: int
    no_timestamps: int
    transcribe: int | None
    languages: dict[str, int]

    @classmethod
    def of(cls, bundle: Bundle) -> "Vocabulary":
        """Reads tokenizer.json and generation_config.json; raises BundleError when a special token is missing."""
        tokenizer = Tokenizer.from_file(str(bundle.encoder_path / "tokenizer.json"))
        settings_path = bundle.encoder_path / "generation_config.json"
        settings = json.loads(settings_path.read_text()) if settings_path.is_file() else {}

        def special(name: str) -> int:
            if (token := tokenizer.token_to_id(name)) is None:
                raise BundleError(f"{bundle.encoder_path / 'tokenizer.json'} has no {name}")
            return token

        many = settings.get("is_multilingual", False)
        return cls(
            tokenizer=tokenizer,
            start=special("<|startoftranscript|>"),
            end=special("<|endoftext|>"),
            no_timestamps=special("<|notimestamps|>"),
            transcribe=tokenizer.token_to_id("<|transcribe|>"),
            languages={name.strip("<|>"): id for name, id in settings.get("lang_to_id", {}).items()} if many else {},
        )

    @property
    def multilingual(self) -> bool:
        return bool(self.languages)

    def check(self, language: str) -> None:
        """Raises AudioError for a language that a multilingual model does not know."""
        if self.multilingual and language not in self.languages:
            known = ", ".join(sorted(self.languages)[:8])
            raise AudioError(f"language {language!r} is not known; expected an ISO 639-1 code such as {known}")

    def prompt(self, language: str) -> list[int]:
        """What the decoder is given before the first text token: transcribe, without timestamps."""
        if not self.multilingual or self.transcribe is None:
            return [self.start, self.no_timestamps]
        return [self.start, self.languages[language], self.transcribe, self.no_timestamps]

    def is_text(self, token: int) -> bool:
        return token < self.end

    def text(self, tokens: Sequence[int]) -> str:
        """What text tokens spell, without space around it."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True).strip()

    def piece(self, token: int) -> str:
        """One token as it stands in a text; a token that holds a part of a character gives U+FFFD."""
        return self.tokenizer.decode([token])
