import torch
from torch.nn import functional as F

from textpro.losses import IGNORE, asr_ce, mel_mse


def test_asr_ce_is_pytorchs_mean_over_scored_positions() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 4, 11), torch.randint(0, 11, (2, 4))
    labels[0, 2:] = IGNORE
    scored = labels != IGNORE
    torch.testing.assert_close(asr_ce(logits, labels), F.cross_entropy(logits[scored], labels[scored]))
    smooth = F.cross_entropy(logits[scored], labels[scored], label_smoothing=0.1)
    torch.testing.assert_close(asr_ce(logits, labels, smoothing=0.1), smooth)


def test_asr_ce_does_not_see_logits_of_ignored_positions() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 3, 5), torch.tensor([[1, 2, IGNORE]])
    louder = logits.clone()
    louder[0, 2] += 100.0 * torch.randn(5)
    torch.testing.assert_close(asr_ce(logits, labels), asr_ce(louder, labels))


def test_mel_mse_is_pytorchs_mean_over_real_frames() -> None:
    torch.manual_seed(0)
    predicted, target = torch.randn(2, 8, 6), torch.randn(2, 8, 6)
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4])
    want = F.mse_loss(predicted.transpose(1, 2)[mask], target.transpose(1, 2)[mask])
    torch.testing.assert_close(mel_mse(predicted, target, mask), want)


def test_mel_mse_of_no_frames_is_zero() -> None:
    nothing = torch.zeros(1, 3, dtype=torch.bool)
    assert mel_mse(torch.randn(1, 8, 3), torch.randn(1, 8, 3), nothing) == 0


def test_losses_are_computed_in_float32() -> None:
    logits = torch.randn(1, 2, 5, dtype=torch.bfloat16)
    assert asr_ce(logits, torch.tensor([[1, 2]])).dtype == torch.float32
    mel = torch.randn(1, 8, 2, dtype=torch.bfloat16)
    assert mel_mse(mel, mel, torch.ones(1, 2, dtype=torch.bool)).dtype == torch.float32
