"""Where a stage begins and ends: the LLM and the bundle it is trained for, and the bundle that comes of it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from textpro.bundle import CONFIG_FILE, Bundle
from textpro.config import BundleConfig, Layout
from textpro.errors import TrainingError
from textpro.projector import Projector
from textpro.slm import ATTENTION_ON_CPU, TextProSLM


def load_student(
    model: Path, *, layout: Layout, ratio: int, dtype: torch.dtype | None, recompute: bool = False
) -> TextProSLM:
    """An LLM's directory as a TextProSLM without projector, on the CPU.

    dtype: of its weights; as stored when None. recompute: keep no activations inside layers for the backward pass.
    """
    llm = AutoModelForCausalLM.from_pretrained(model, dtype="auto" if dtype is None else dtype)
    if not torch.cuda.is_available():
        llm.set_attn_implementation(ATTENTION_ON_CPU)
    if recompute:
        llm.gradient_checkpointing_enable({"use_reentrant": False})
    return TextProSLM(llm, AutoTokenizer.from_pretrained(model), None, layout=layout, ratio=ratio)


def check_place(source: Bundle, path: Path) -> None:
    """Raises TrainingError when the new bundle would replace the one it is made from."""
    if path.resolve() == source.path.resolve():
        raise TrainingError(
            f"{path} is where the result goes, and it is the bundle to start from; choose another --out"
        )


def save_student(
    source: Bundle,
    path: Path,
    config: BundleConfig,
    projector: Projector,
    save_llm: Callable[[Path], None] | None = None,
) -> Bundle:
    """Writes a bundle with the source's encoder, in place of what lies in `path`.

    save_llm: adds `adapter/` or `llm/` to the directory it is given; without it the LLM is the untouched one.
    """
    check_place(source, path)
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(source.encoder_path, path / "encoder", ignore=shutil.ignore_patterns(CONFIG_FILE))
    if (card := source.path / "MODEL_CARD.md").is_file():
        shutil.copy(card, path)
    projector.save(path / "projector.safetensors")
    if save_llm is not None:
        save_llm(path)
    config.save(path / CONFIG_FILE)
    return Bundle.load(path)
