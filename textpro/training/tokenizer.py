"""A byte-level BPE of one's own with Whisper's special tokens, for a WhisperPro trained from scratch."""

import itertools
import json
from collections.abc import Iterable

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from textpro.audio import WINDOW_SECONDS
from textpro.errors import TrainingError

START, END, NO_SPEECH, NO_TIMESTAMPS = "<|startoftranscript|>", "<|endoftext|>", "<|nospeech|>", "<|notimestamps|>"
# The order is Whisper's: everything from <|endoftext|> on is special, timestamps come last.
_SPECIAL = [
    END,
    START,
    "<|en|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    NO_SPEECH,
    NO_TIMESTAMPS,
]
TIMESTAMP_SECONDS = 0.02


def timestamps() -> list[str]:
    """Whisper's time tokens, one each 20 ms of the window."""
    return [f"<|{i * TIMESTAMP_SECONDS:.2f}|>" for i in range(round(WINDOW_SECONDS / TIMESTAMP_SECONDS) + 1)]


def train_tokenizer(texts: Iterable[str], vocabulary: int = 2048) -> PreTrainedTokenizerFast:
    """Learns `vocabulary` byte-level BPE tokens from texts and appends Whisper's special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    # Whisper's texts begin with a space, so that a first word and a later one are the same token.
    tokenizer.train_from_iterator((" " + text for text in texts), trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in _SPECIAL + timestamps()])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, unk_token=END, pad_token=END
    )


class Speller:
    """The tokens of a text as the tokenizer gives them, or spelled in smaller pieces."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Raises TrainingError for a tokenizer that is not backed by the tokenizers library."""
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise TrainingError(
                f"{type(tokenizer).__name__} is not a fast tokenizer; the checkpoint needs a tokenizer.json"
            )
        self._backend = Tokenizer.from_str(backend.to_str())
        self._backend.model.dropout = None
        self._ids = self._backend.get_vocab()
        merges = json.loads(self._backend.to_str())["model"].get("merges", [])
        self._ranks = {(left, right): rank for rank, (left, right) in enumerate(merges)}

    def whole(self, text: str) -> list[int]:
        """The tokens that decoding aims at."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def spelled(self, text: str, rng: np.random.Generator, dropout: float = 0.1) -> list[int]:
        """With merges skipped at random (BPE dropout, Provilkov et al. 2020), so that the model learns to spell.

        The library's own dropout has a generator that nobody can seed: a run that goes on would see other tokens.
        """
        pieces = self._backend.pre_tokenizer.pre_tokenize_str(text)
        return [self._ids[symbol] for piece, _ in pieces for symbol in self._merged(list(piece), rng, dropout)]

    def _merged(self, symbols: list[str], rng: np.random.Generator, dropout: float) -> list[str]:
        while True:
            kept = rng.random(len(symbols) - 1) >= dropout
            ranks = [self._ranks.get(pair) for pair in itertools.pairwise(symbols)]
            possible = [(rank, i) for i, rank in enumerate(ranks) if rank is not None and kept[i]]
            if not possible:
                return symbols
            _, i = min(possible)
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
