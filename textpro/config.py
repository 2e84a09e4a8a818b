"""The settings a checkpoint stores about itself: frozen, JSON, no defaults that depend on the machine."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from textpro.errors import BundleError

FORMAT_VERSION = 1
Layout = Literal["global", "interleaved"]
Side = Literal["encoder", "decoder"]


@dataclass(frozen=True)
class ReconstructorConfig:
    """Size of the mel reconstructor (paper app. B)."""

    width: int = 128
    n_heads: int = 4
    encoder_layers: int = 2
    decoder_layers: int = 2
    dropout: float = 0.1


@dataclass(frozen=True)
class BundleConfig:
    """`textpro.json` of a bundle.

    tap: where prosody is read. `decoder.L`: the raw output of decoder layer L (from 1; paper 3.1, L = half), a row
    where each text token is its input. `encoder.L`: that of encoder layer L; the utterance's time is split evenly into
    as many spans as there are text tokens, and a row is the mean of one.
    variable_length: whether the encoder was trained on the utterance's own length; if not, the 30 s window is kept.
    layout: how the LLM sees prosody (paper eq. 8 or 9); interleave_ratio: LLM tokens per prosody token in eq. 9.
    made_from: names and hashes of what the bundle was made from.
    """

    name: str
    tap: str
    variable_length: bool = False
    layout: Layout = "global"
    interleave_ratio: int = 5
    llm: str | None = None
    reconstructor: ReconstructorConfig = field(default_factory=ReconstructorConfig)
    made_from: dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def tap_side(self) -> Side:
        """Which of Whisper's two halves the tap is in. Raises BundleError for an unknown tap."""
        return self._parsed_tap[0]

    @property
    def prosody_layer(self) -> int:
        """Layer of the tap, counted from 1. Raises BundleError for an unknown tap."""
        return self._parsed_tap[1]

    @property
    def _parsed_tap(self) -> tuple[Side, int]:
        side, _, layer = self.tap.partition(".")
        if side not in get_args(Side) or not layer.isdigit() or int(layer) < 1:
            raise BundleError(f"unknown tap {self.tap!r}; expected 'decoder.L' or 'encoder.L' with L from 1")
        return cast(Side, side), int(layer)

    def save(self, path: Path) -> None:
        """Writes `textpro.json`."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "BundleConfig":
        """Reads `textpro.json`; raises BundleError for unknown or missing keys or another format version."""
        try:
            raw: Any = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise BundleError(f"{path} can't be read: {error}") from error
        if not isinstance(raw, dict):
            raise BundleError(f"{path} is not a JSON object")
        if raw.get("format_version") != FORMAT_VERSION:
            raise BundleError(
                f"{path} has format version {raw.get('format_version')}; this release reads {FORMAT_VERSION}"
            )
        if unknown := sorted(raw.keys() - {f.name for f in dataclasses.fields(cls)}):
            raise BundleError(f"{path} has unknown keys: {', '.join(unknown)}")
        try:
            raw["reconstructor"] = ReconstructorConfig(**raw.get("reconstructor", {}))
            return cls(**raw)
        except TypeError as error:
            raise BundleError(f"{path} does not describe a bundle: {error}") from error
