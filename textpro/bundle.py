"""A checkpoint on disk: resolve a name to a path, load, describe, save. No pickles: JSON and safetensors only.

A bundle is a directory with `textpro.json`, `encoder/` (a Hugging Face Whisper), and, once an LLM was trained with it,
`projector.safetensors` and `adapter/` or `llm/`. A plain Hugging Face Whisper, a directory or a hub name, is one too.
"""

import copy
import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpro.cache import fetched, made_once
from textpro.config import BundleConfig
from textpro.errors import BundleError

if TYPE_CHECKING:  # reading a bundle's description must not cost the import of torch
    from transformers import PreTrainedTokenizerBase, WhisperForConditionalGeneration

    from textpro.reconstructor import MelReconstructor
    from textpro.whisperpro import WhisperPro

EMBEDDED = Path(__file__).parent / "bundles" / "embedded"
CONFIG_FILE = "textpro.json"
_HUB_FILES = ["*.json", "*.safetensors", "merges.txt", "MODEL_CARD.md"]
_HUB_IGNORED = ["*fp32*", "*flax*", "*onnx*"]
_NEEDED = ["config.json", "tokenizer.json"]
# What CTranslate2 can store; other compute types (default, auto) are chosen when a model is loaded.
_STORED_TYPES = {"float32", "float16", "bfloat16", "int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16"}


def resolve(name: str) -> Path:
    """The directory a bundle's name stands for: `embedded`, a directory, else a name on the Hugging Face hub, fetched.

    Raises BundleError when there is no such directory and the hub has no such model, or can't be reached.
    """
    path = EMBEDDED if name == "embedded" else Path(name).expanduser()
    if path.is_dir():
        return path
    if name == "embedded":
        raise BundleError(f"the embedded bundle is missing: {EMBEDDED} does not exist")
    return fetched(name, kind="bundle", files=_HUB_FILES, ignored=_HUB_IGNORED)


@dataclass(frozen=True)
class Bundle:
    """A checkpoint directory and what its `textpro.json` says."""

    path: Path
    config: BundleConfig

    @classmethod
    def load(cls, name: str | Path) -> "Bundle":
        """Opens a bundle by name or path; weights are not read.

        A plain Whisper gets the tap in its decoder's middle (paper 3.1) and keeps the 30 s window.
        Raises BundleError when something is missing, unreadable or of another format version.
        """
        path = resolve(str(name))
        if (path / CONFIG_FILE).is_file():
            bundle = cls(path, BundleConfig.load(path / CONFIG_FILE))
        elif (path / "config.json").is_file():
            bundle = cls(
                path,
                BundleConfig(name=str(name), tap=f"decoder.{max(1, _whisper_config(path)['decoder_layers'] // 2)}"),
            )
        else:
            raise BundleError(f"{path} is no bundle: it has neither {CONFIG_FILE} nor a Whisper's config.json")
        bundle._check()
        return bundle

    def tapped(self, tap: str) -> "Bundle":
        """The same weights with another tap. Raises BundleError for one that its Whisper does not have."""
        other = Bundle(self.path, dataclasses.replace(self.config, tap=tap))
        other._check()
        return other

    def _check(self) -> None:
        whisper = _whisper_config(self.encoder_path)
        if missing := [name for name in _NEEDED if not (self.encoder_path / name).is_file()]:
            raise BundleError(f"{self.encoder_path} lacks {', '.join(missing)}")
        if not self.encoder_weights:
            raise BundleError(f"{self.encoder_path} has no .safetensors weights; pickled ones are not read")
        side = self.config.tap_side
        if self.config.prosody_layer > (n_layers := whisper[f"{side}_layers"]):
            raise BundleError(f"tap {self.config.tap!r} of {self.path}: the {side} has {n_layers} layers")

    @property
    def encoder_path(self) -> Path:
        """The Hugging Face Whisper directory."""
        return self.path / "encoder" if (self.path / CONFIG_FILE).is_file() else self.path

    @property
    def encoder_weights(self) -> list[Path]:
        """The Whisper's safetensors files: one, or the shards its index names. Raises BundleError when it is broken."""
        if (single := self.encoder_path / "model.safetensors").is_file():
            return [single]
        index = self.encoder_path / "model.safetensors.index.json"
        if not index.is_file():
            return []
        try:
            return [index.with_name(name) for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise BundleError(f"{index} does not name the weights' files ({type(error).__name__}: {error})") from error

    @property
    def projector_path(self) -> Path | None:
        return _if_there(self.path / "projector.safetensors")

    @property
    def adapter_path(self) -> Path | None:
        return _if_there(self.path / "adapter")

    @property
    def llm_path(self) -> Path | None:
        return _if_there(self.path / "llm")

    @property
    def llm(self) -> str:
        """The LLM it was trained with: its own `llm/`, else the one that textpro.json names, else `embedded`."""
        return str(self.llm_path or self.config.llm or "embedded")

    @property
    def reconstructor_path(self) -> Path | None:
        return _if_there(self.path / "reconstructor.safetensors")

    @property
    def has_projector(self) -> bool:
        """Whether an LLM was taught this bundle's prosody; if not, it serves as a cascade."""
        return self.projector_path is not None

    @cached_property
    def fingerprint(self) -> str:
        """12 hex digits of a SHA-256 over all settings and weights that are served."""
        served = [
            p
            for p in self.path.rglob("*")
            if p.suffix in (".json", ".safetensors") and p.name != "reconstructor.safetensors"
        ]
        return _digest(self.path, served)

    @cached_property
    def encoder_fingerprint(self) -> str:
        """What tells one prosody from another: 12 hex digits of the encoder's files, and the tap."""
        return f"{self._encoder_digest}@{self.config.tap}"

    @cached_property
    def _encoder_digest(self) -> str:
        return _digest(self.encoder_path, [*self.encoder_weights, *self.encoder_path.glob("*.json")])

    def describe(self) -> dict[str, Any]:
        """What `textpro bundle describe` shows, JSON."""
        whisper = _whisper_config(self.encoder_path)
        parts = {"projector": self.projector_path, "adapter": self.adapter_path, "llm": self.llm_path}
        return {
            "name": self.config.name,
            "path": str(self.path),
            "fingerprint": self.fingerprint,
            "tap": self.config.tap,
            "width": whisper["d_model"],
            "layers": [whisper["encoder_layers"], whisper["decoder_layers"]],
            "n_mels": whisper["num_mel_bins"],
            "variable_length": self.config.variable_length,
            "layout": self.config.layout,
            "llm": self.config.llm,
            "has": [name for name, path in parts.items() if path is not None],
            "made_from": self.config.made_from,
        }

    def ct2_path(self, compute_type: str, *, cache: Path) -> Path:
        """The encoder's CTranslate2 twin, made under `cache` on first use and shared by processes from then on.

        Raises BundleError when the conversion fails.
        """
        stored = compute_type if compute_type in _STORED_TYPES else "float16"
        return made_once(
            cache / "ctranslate2" / f"{self._encoder_digest}-{stored}",
            lambda aside: _convert(self.encoder_path, aside, stored),
        )


def save(
    path: Path,
    whisper: "WhisperForConditionalGeneration",
    tokenizer: "PreTrainedTokenizerBase",
    config: BundleConfig,
    *,
    reconstructor: "MelReconstructor | None" = None,
    model_card: str | None = None,
) -> Bundle:
    """Writes a bundle: float16 weights, a Whisper directory as transformers, CTranslate2 and faster-whisper read it.

    Files of other parts (projector, adapter) that lie in `path` already stay. The model is not changed.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import WhisperFeatureExtractor

    encoder = path / "encoder"
    encoder.mkdir(parents=True, exist_ok=True)
    half = copy.deepcopy(whisper).half()
    half.save_pretrained(str(encoder))
    tokenizer.save_pretrained(str(encoder))
    WhisperFeatureExtractor(feature_size=whisper.config.num_mel_bins).save_pretrained(str(encoder))
    if reconstructor is not None:
        weights = {
            name: value.detach().to("cpu", torch.float16).contiguous()
            for name, value in reconstructor.state_dict().items()
        }
        save_file(weights, path / "reconstructor.safetensors")
    if model_card is not None:
        (path / "MODEL_CARD.md").write_text(model_card)
    config.save(path / CONFIG_FILE)
    return Bundle.load(path)


def load_training(bundle: Bundle, *, with_reconstructor: bool = True) -> "tuple[WhisperPro, PreTrainedTokenizerBase]":
    """The bundle as a float32 WhisperPro with its tokenizer, to go on training.

    The reconstructor starts fresh where the bundle has none. Raises BundleError when stored weights don't fit.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, WhisperForConditionalGeneration

    from textpro.whisperpro import WhisperPro

    whisper = WhisperForConditionalGeneration.from_pretrained(str(bundle.encoder_path), dtype=torch.float32)
    model = WhisperPro(whisper, bundle.config, with_reconstructor=with_reconstructor)
    if model.reconstructor is not None and bundle.reconstructor_path is not None:
        try:
            model.reconstructor.load_state_dict(load_file(bundle.reconstructor_path))
        except RuntimeError as error:
            raise BundleError(f"{bundle.reconstructor_path} does not fit textpro.json: {error}") from error
    return model, AutoTokenizer.from_pretrained(str(bundle.encoder_path))


def _whisper_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads((path / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise BundleError(f"{path / 'config.json'} can't be read: {error}") from error
    if config.get("model_type") != "whisper":
        raise BundleError(f"{path} holds a {config.get('model_type')!r} model; expected a Whisper")
    return config


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None


def _digest(root: Path, files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as file:
            total.update(str(path.relative_to(root)).encode() + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:12]


def _convert(source: Path, target: Path, stored_type: str) -> None:
    from ctranslate2.converters import TransformersConverter

    extra = [name for name in ("tokenizer.json", "preprocessor_config.json") if (source / name).is_file()]
    try:
        TransformersConverter(str(source), copy_files=extra).convert(str(target), quantization=stored_type, force=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise BundleError(f"{source} can't be converted for CTranslate2: {error}") from error
