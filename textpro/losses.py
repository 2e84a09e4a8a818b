"""The training objectives as pure functions.

Letters: B batch, L positions, A answer positions, V vocabulary, T mel frames.
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


def kd_ce(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy with the answer's tokens, averaged over its positions. logits: (A, V), labels: (A,).

    weights: (A,), for a weighted sum in place of the mean; (K, A) for K such sums.
    """
    return _over_positions(F.cross_entropy(logits.float(), labels, reduction="none"), weights)


def kd_kl(student: Tensor, teacher: Tensor, *, tau: float = 1.0, weights: Tensor | None = None) -> Tensor:
    """`τ² KL(teacher ‖ student)` of the next token at temperature τ, averaged over positions (paper eq. 25-26).

    student, teacher: logits (A, V), each given its own prompt. weights: (A,), for a weighted sum in place of the mean.
    """
    expected, found = (F.log_softmax(logits.float() / tau, dim=-1) for logits in (teacher, student))
    return tau**2 * _over_positions(F.kl_div(found, expected, reduction="none", log_target=True).sum(-1), weights)


def _over_positions(loss: Tensor, weights: Tensor | None) -> Tensor:
    return loss.mean() if weights is None else weights @ loss
