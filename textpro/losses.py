"""The training objectives as pure functions.

Letters: B batch, L positions, V vocabulary, T mel frames.
"""

from torch import Tensor
from torch.nn import functional as F

IGNORE = -100  # label of a position that is not scored


def asr_ce(logits: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean token cross-entropy (paper eq. 4). logits: (B, L, V), labels: (B, L) with IGNORE where nothing is scored."""
    return F.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORE, label_smoothing=smoothing
    )


def mel_mse(predicted: Tensor, target: Tensor, frame_mask: Tensor) -> Tensor:
    """Mean squared error over real frames (paper eq. 5). predicted, target: (B, n_mels, T), frame_mask: (B, T)."""
    error = (predicted.float() - target.float()).square().mean(dim=1)
    return (error * frame_mask).sum() / frame_mask.sum().clamp(min=1)
