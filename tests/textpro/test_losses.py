import pytest
import torch
from torch.nn import functional as F

from textpro.losses import IGNORE, asr_ce, kd_ce, kd_kl, mel_mse


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


def test_kd_ce_is_pytorchs_mean() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 11), torch.randint(0, 11, (5,))
    torch.testing.assert_close(kd_ce(logits, labels), F.cross_entropy(logits, labels))


@pytest.mark.parametrize("tau", [1.0, 2.5])
def test_kd_kl_is_pytorchs_forward_kl_times_the_temperature_squared(tau: float) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 11), torch.randn(5, 11)
    distribution = (teacher / tau).softmax(-1)
    want = tau**2 * F.kl_div((student / tau).log_softmax(-1), distribution, reduction="batchmean")
    torch.testing.assert_close(kd_kl(student, teacher, tau=tau), want)
    assert kd_kl(teacher, teacher, tau=tau) == pytest.approx(0, abs=1e-6)


def test_equal_weights_are_the_mean_and_a_position_without_weight_does_not_count() -> None:
    torch.manual_seed(0)
    student, teacher, labels = torch.randn(4, 7), torch.randn(4, 7), torch.randint(0, 7, (4,))
    equal, half = torch.full((4,), 0.25), torch.tensor([0.5, 0.5, 0, 0])
    torch.testing.assert_close(kd_ce(student, labels, equal), kd_ce(student, labels))
    torch.testing.assert_close(kd_ce(student, labels, half), kd_ce(student[:2], labels[:2]))
    torch.testing.assert_close(kd_kl(student, teacher, weights=half), kd_kl(student[:2], teacher[:2]))
