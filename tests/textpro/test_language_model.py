"""Where the LLM comes from, on a tiny Llama."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from textpro.errors import BundleError
from textpro.language_model import EmbeddingTable, adapted_llm, resolve_llm


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=8, **sizes)).save_pretrained(tmp_path / "llama")
    words = Tokenizer(WordLevel({str(i): i for i in range(8)}, unk_token="0"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="0").save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


def test_a_directory_stands_for_itself(llama: Path, tmp_path: Path) -> None:
    assert resolve_llm(str(llama), tmp_path) == llama
    with pytest.raises(BundleError, match=r"config\.json"):
        resolve_llm(str(tmp_path), tmp_path)


def test_the_embedding_table_gives_the_models_rows(llama: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(llama)
    ids = torch.tensor([3, 0, 3])
    torch.testing.assert_close(EmbeddingTable(llama)(ids), model.get_input_embeddings()(ids).detach())
    assert EmbeddingTable(llama)(ids[:0]).shape == (0, 16)


def test_a_merged_adapter_gives_the_adapted_models_logits(llama: Path, tmp_path: Path) -> None:
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(llama), LoraConfig(r=2, target_modules="all-linear"))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    adapted.save_pretrained(str(tmp_path / "adapter"))
    merged = adapted_llm(llama, tmp_path / "adapter", tmp_path / "cache")
    assert adapted_llm(llama, tmp_path / "adapter", tmp_path / "cache") == merged
    ids = torch.tensor([[1, 2, 3]])
    expected = adapted.eval()(input_ids=ids).logits
    torch.testing.assert_close(AutoModelForCausalLM.from_pretrained(merged)(input_ids=ids).logits, expected)
