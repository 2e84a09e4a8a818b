"""Where the LLM comes from, on a tiny Llama."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    PreTrainedTokenizerFast,
)

from textpro.bundle import Bundle
from textpro.config import BundleConfig
from textpro.errors import BundleError
from textpro.language_model import (
    EMBEDDED_NAME,
    EmbeddingTable,
    adapted_llm,
    bundle_llm,
    identity,
    max_positions,
    resolve_llm,
)


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


def test_llms_in_folders_of_one_name_and_successive_ones_in_one_folder_are_told_apart(
    llama: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(llama, tmp_path / "other" / "llama")
    names = {identity(str(llama)), identity(str(other))}
    weights = load_file(llama / "model.safetensors")
    save_file({name: 2 * value for name, value in weights.items()}, llama / "model.safetensors", {"format": "pt"})
    assert len(names | {identity(str(llama))}) == 3
    assert identity(str(llama)) == identity(str(llama))


def test_the_embedded_llm_and_one_of_the_hub_are_known_by_their_names() -> None:
    assert identity("embedded") == EMBEDDED_NAME == "smollm2-135m-instruct"
    assert identity("Qwen/Qwen2.5-3B-Instruct") == "Qwen/Qwen2.5-3B-Instruct"


def test_the_embedding_table_gives_the_models_rows(llama: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(llama)
    ids = torch.tensor([3, 0, 3])
    torch.testing.assert_close(EmbeddingTable(llama)(ids), model.get_input_embeddings()(ids).detach())
    assert EmbeddingTable(llama)(ids[:0]).shape == (0, 16)


def cut_short(llm: Path) -> None:
    weights = llm / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def indexed(content: str) -> Callable[[Path], object]:
    return lambda llm: (llm / "model.safetensors.index.json").write_text(content)


@pytest.mark.parametrize(
    "break_it",
    [
        cut_short,
        indexed("{"),
        indexed("[]"),
        indexed('{"weight_map": []}'),
        indexed('{"weight_map": {"model.embed_tokens.weight": "gone.safetensors"}}'),
        indexed('{"weight_map": {"other.embed_tokens.weight": "model.safetensors"}}'),
    ],
)
def test_weights_that_are_broken_are_refused_with_their_place(break_it: Callable[[Path], object], llama: Path) -> None:
    break_it(llama)
    with pytest.raises(BundleError, match=f"{llama} can't be read as an LLM"):
        EmbeddingTable(llama)


def test_the_longest_sequence_of_a_multimodal_llm_is_that_of_its_text() -> None:
    assert max_positions(LlamaConfig(max_position_embeddings=77)) == 77
    assert max_positions(LlavaConfig(text_config=LlamaConfig(max_position_embeddings=78))) == 78
    assert max_positions(BloomConfig()) is None


@pytest.fixture
def adapted(llama: Path) -> PeftModel:
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(llama), LoraConfig(r=2, target_modules="all-linear"))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    return adapted.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([[1, 2, 3]])).logits


def test_a_merged_adapter_gives_the_adapted_models_logits(llama: Path, adapted: PeftModel, tmp_path: Path) -> None:
    adapted.save_pretrained(str(tmp_path / "adapter"))
    merged = adapted_llm(llama, tmp_path / "adapter", tmp_path / "cache")
    assert adapted_llm(llama, tmp_path / "adapter", tmp_path / "cache") == merged
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(merged)), logits(adapted))


def test_another_llm_in_the_same_place_is_merged_anew(llama: Path, adapted: PeftModel, tmp_path: Path) -> None:
    adapted.save_pretrained(str(tmp_path / "adapter"))
    before = adapted_llm(llama, tmp_path / "adapter", tmp_path / "cache")
    weights = load_file(llama / "model.safetensors")
    save_file({name: 2 * value for name, value in weights.items()}, llama / "model.safetensors", {"format": "pt"})
    assert adapted_llm(llama, tmp_path / "adapter", tmp_path / "cache") != before


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_a_base_whose_small_files_changed_is_merged_anew(
    llama: Path, adapted: PeftModel, tmp_path: Path, file: str
) -> None:
    adapted.save_pretrained(str(tmp_path / "adapter"))
    before = adapted_llm(llama, tmp_path / "adapter", tmp_path / "cache")
    with (llama / file).open("a") as added:
        added.write("\n")
    assert adapted_llm(llama, tmp_path / "adapter", tmp_path / "cache") != before


def test_an_adapter_of_another_width_is_refused_with_what_to_do(
    llama: Path, adapted: PeftModel, tmp_path: Path
) -> None:
    adapted.save_pretrained(str(tmp_path / "adapter"))
    wider = LlamaConfig.from_pretrained(llama, hidden_size=32)
    LlamaForCausalLM(wider).save_pretrained(tmp_path / "wider")
    with pytest.raises(BundleError, match=r"wider: name the LLM the bundle was trained with.*size mismatch"):
        adapted_llm(tmp_path / "wider", tmp_path / "adapter", tmp_path / "cache")


def test_an_adapter_for_a_base_that_is_broken_is_refused_with_the_base(
    llama: Path, adapted: PeftModel, tmp_path: Path
) -> None:
    adapted.save_pretrained(str(tmp_path / "adapter"))
    cut_short(llama)
    with pytest.raises(BundleError, match=f"{llama} can't be read as an LLM"):
        adapted_llm(llama, tmp_path / "adapter", tmp_path / "cache")


@pytest.mark.parametrize("lost", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_incomplete_adapter_is_refused(llama: Path, adapted: PeftModel, tmp_path: Path, lost: str) -> None:
    adapted.save_pretrained(str(tmp_path / "adapter"))
    (tmp_path / "adapter" / lost).unlink()
    with pytest.raises(BundleError, match="restore the adapter"):
        adapted_llm(llama, tmp_path / "adapter", tmp_path / "cache")


def test_another_llm_than_the_one_trained_with_is_served_with_a_warning(
    hollow_bundle: Path, llama: Path, adapted: PeftModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    adapted.save_pretrained(str(hollow_bundle / "adapter"))
    BundleConfig("hollow", "decoder.1", llm=str(llama)).save(hollow_bundle / "textpro.json")
    other = llama.rename(tmp_path / "other")
    bundle_llm(Bundle.load(hollow_bundle), tmp_path / "cache", name=str(other))
    (warning,) = caplog.messages
    assert repr(str(llama)) in warning
    assert repr(str(other)) in warning
    BundleConfig("hollow", "decoder.1", llm=str(other)).save(hollow_bundle / "textpro.json")
    bundle_llm(Bundle.load(hollow_bundle), tmp_path / "cache", name=str(other))
    assert caplog.messages == [warning]


def test_a_bundles_own_llm_is_served_unless_another_is_named_and_of_that_it_warns(
    hollow_bundle: Path, llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = shutil.copytree(llama, hollow_bundle / "llm")
    BundleConfig("hollow", "decoder.1", llm=str(llama)).save(hollow_bundle / "textpro.json")
    bundle = Bundle.load(hollow_bundle)
    assert bundle_llm(bundle, tmp_path / "cache") == bundle_llm(bundle, tmp_path / "cache", name="") == own
    assert bundle_llm(bundle, tmp_path / "cache", name=str(own)) == own
    assert caplog.messages == []
    assert bundle_llm(bundle, tmp_path / "cache", name=str(llama)) == llama
    (warning,) = caplog.messages
    assert f"trained with the LLM {str(own)!r} and is served with {str(llama)!r}" in warning


MERGES = """
import sys
from pathlib import Path
from textpro.bundle import Bundle
from textpro.language_model import bundle_llm
made = bundle_llm(Bundle.load(sys.argv[1]), Path(sys.argv[2]))
print(made, made.stat().st_ino)
"""


def test_two_services_that_start_at_once_share_one_merged_llm(
    hollow_bundle: Path, llama: Path, adapted: PeftModel, tmp_path: Path
) -> None:
    adapted.save_pretrained(str(hollow_bundle / "adapter"))
    BundleConfig("hollow", "decoder.1", llm=str(llama)).save(hollow_bundle / "textpro.json")
    command = [sys.executable, "-c", MERGES, str(hollow_bundle), str(tmp_path / "cache")]
    services = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    one, other = (service.communicate(timeout=300)[0] for service in services)
    assert [service.returncode for service in services] == [0, 0]
    assert one == other
    (merged,) = (path for path in (tmp_path / "cache" / "adapted").iterdir() if path.is_dir())
    assert one.startswith(f"{merged} ")
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(merged)), logits(adapted))
