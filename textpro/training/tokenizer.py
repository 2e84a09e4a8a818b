"""A byte-level BPE of one's own with Whisper's special tokens, for a WhisperPro trained from scratch."""

from collections.abc import Iterable

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


def with_dropout(tokenizer: PreTrainedTokenizerBase, dropout: float) -> Tokenizer:
    """A copy whose BPE merges are skipped at random (BPE dropout), so that the model learns to spell.

    Raises TrainingError for a tokenizer that is not backed by the tokenizers library.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise TrainingError(
            f"{type(tokenizer).__name__} is not a fast tokenizer; the checkpoint needs a tokenizer.json"
        )
    copy = Tokenizer.from_str(backend.to_str())
    copy.model.dropout = dropout or None
    return copy
