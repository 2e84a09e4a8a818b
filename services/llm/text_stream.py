"""From tokens to text that may be shown: whole characters only, and nothing that may become a stop string."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

_INCOMPLETE = "\ufffd"


class TextStream:
    """`push` tokens, show what it returns, `flush` at the end; the pieces joined are the whole text before the stop."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str] = ()) -> None:
        self.stopped = False
        self._tokenizer = tokenizer
        self._stop = [text for text in stop if text]
        self._ids: list[int] = []
        self._context = 0
        self._read = 0
        self._held = ""

    def push(self, token_id: int) -> str:
        """The text this token completes; empty when it has to wait for more, or after a stop string."""
        self._ids.append(token_id)
        return self._show(self._decoded(final=False), final=False)

    def flush(self) -> str:
        """What was held back and turned out to be no stop string."""
        return self._show(self._decoded(final=True), final=True)

    def _decoded(self, *, final: bool) -> str:
        # Decoded together with the tokens before it: alone, a token can lose its space or half of a character.
        before = self._text(self._ids[self._context : self._read])
        text = self._text(self._ids[self._context :])
        if not final and text.endswith(_INCOMPLETE):
            return ""
        self._context, self._read = self._read, len(self._ids)
        return text[len(before) :]

    def _text(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _show(self, new: str, *, final: bool) -> str:
        if self.stopped:
            return ""
        text = self._held + new
        found = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return text[: min(found)]
        n_held = 0 if final else self._beginning_of_a_stop(text)
        self._held = text[len(text) - n_held :]
        return text[: len(text) - n_held]

    def _beginning_of_a_stop(self, text: str) -> int:
        longest = max((len(stop) for stop in self._stop), default=1) - 1
        for n in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-n:]) for stop in self._stop):
                return n
        return 0
