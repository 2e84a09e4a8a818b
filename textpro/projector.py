"""From WhisperPro's prosody space into the LLM's embedding space (paper 3.2, eq. 7).

Letters: W Whisper width, D LLM width.
"""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from textpro.errors import BundleError


class Projector(nn.Module):
    """`g(p) = W_2 GELU(W_1 p + b_1) + b_2`, W -> D -> D."""

    def __init__(self, width: int, llm_width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, llm_width)
        self.output = nn.Linear(llm_width, llm_width)

    @property
    def width(self) -> int:
        """W, what goes in."""
        return self.hidden.in_features

    @property
    def llm_width(self) -> int:
        """D, what comes out."""
        return self.output.out_features

    def forward(self, prosody: Tensor) -> Tensor:
        """prosody: (..., W), of any float type -> (..., D) in the projector's own."""
        return self.output(F.gelu(self.hidden(prosody.to(self.hidden.weight.dtype))))

    def save(self, path: Path) -> None:
        """Writes `projector.safetensors`; the sizes are the tensors' own."""
        save_file({name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}, path)

    @classmethod
    def load(cls, path: Path) -> "Projector":
        """The projector in float32 on the CPU. Raises BundleError when the file is missing, broken or no projector."""
        try:
            weights = load_file(path)
        except (OSError, SafetensorError) as error:
            raise BundleError(f"{path} can't be read as a projector: {error}") from error
        first = weights.get("hidden.weight")
        if first is None or first.ndim != 2:
            raise BundleError(f"{path} is no projector: it has no matrix 'hidden.weight' of shape (D, W)")
        projector = cls(width=first.shape[1], llm_width=first.shape[0])
        try:
            projector.load_state_dict(weights)
        except RuntimeError as error:
            raise BundleError(f"{path} is no projector: {error}") from error
        return projector.float().eval()
