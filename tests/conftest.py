"""What every test sees: which marked tests can run here, and an LLM small enough for any of them."""

import json
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "textpro" / "bundles" / "embedded" / "textpro.json"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reasons = {
        "embedded": None if EMBEDDED.exists() else f"the trained models are not in {EMBEDDED.parent}",
        "vllm": None if find_spec("vllm") else "vLLM is not installed; `make test` installs its CPU build",
        "gpu": None if Path("/dev/nvidia0").exists() else "there is no NVIDIA GPU",
    }
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def terminal() -> Iterator[None]:
    """SIGHUP means something, though the tests themselves may run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\\n{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an untrained Llama of 16 values a position that reads and writes single characters."""
    import torch
    from tokenizers import Tokenizer, decoders
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    symbols = ["<|im_start|>", "<|im_end|>", "\n", *map(chr, range(32, 127))]
    characters = Tokenizer(WordLevel({symbol: i for i, symbol in enumerate(symbols)}, unk_token="?"))
    characters.pre_tokenizer = Split("", "isolated")  # pyright: ignore[reportAttributeAccessIssue]
    characters.decoder = decoders.Fuse()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=characters, unk_token="?", eos_token="<|im_end|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = CHAT_TEMPLATE
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(symbols), eos_token_id=1, bos_token_id=0, tie_word_embeddings=True, **sizes)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():  # far from the flat start, so that every position matters
            weight.mul_(8.0) if weight.dim() > 1 else None
    path = tmp_path_factory.mktemp("llm") / "tiny"
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def hollow_bundle(tmp_path: Path) -> Path:
    """A bundle whose encoder nobody reads: for what is made of other bundles' encoders."""
    path = tmp_path / "hollow"
    (path / "encoder").mkdir(parents=True)
    whisper = {"model_type": "whisper", "d_model": 6, "encoder_layers": 2, "decoder_layers": 2, "num_mel_bins": 80}
    (path / "encoder" / "config.json").write_text(json.dumps(whisper))
    (path / "encoder" / "tokenizer.json").write_text("{}")
    (path / "encoder" / "model.safetensors").write_bytes(b"")
    (path / "MODEL_CARD.md").write_text("# Ours\n")
    config = {"name": "hollow", "tap": "decoder.1", "format_version": 1}
    (path / "textpro.json").write_text(json.dumps(config))
    return path
