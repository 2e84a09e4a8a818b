"""The projector is the paper's function, and its file holds it whole."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from textpro.errors import BundleError
from textpro.projector import Projector


def test_it_is_two_linear_maps_with_a_gelu_between() -> None:
    projector = Projector(6, 10)
    prosody = torch.randn(2, 3, 6)
    first, second = projector.hidden, projector.output
    hidden = prosody @ first.weight.T + first.bias
    expected = (0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))) @ second.weight.T + second.bias
    torch.testing.assert_close(projector(prosody), expected)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    projector = Projector(6, 10)
    projector.save(tmp_path / "projector.safetensors")
    loaded = Projector.load(tmp_path / "projector.safetensors")
    assert (loaded.width, loaded.llm_width) == (6, 10)
    prosody = torch.randn(4, 6)
    torch.testing.assert_close(loaded(prosody), projector(prosody), rtol=0, atol=0)


def test_a_half_precision_file_is_loaded_in_float32(tmp_path: Path) -> None:
    Projector(6, 10).half().save(tmp_path / "projector.safetensors")
    assert Projector.load(tmp_path / "projector.safetensors")(torch.randn(1, 6)).dtype == torch.float32


@pytest.mark.parametrize(
    "weights",
    [{}, {"hidden.weight": torch.zeros(3)}, {"hidden.weight": torch.zeros(4, 3)}],
    ids=["empty", "a vector", "half of it"],
)
def test_another_file_is_refused(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    save_file(weights, tmp_path / "projector.safetensors")
    with pytest.raises(BundleError):
        Projector.load(tmp_path / "projector.safetensors")


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        Projector.load(tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not weights")
    with pytest.raises(BundleError):
        Projector.load(tmp_path / "broken.safetensors")
