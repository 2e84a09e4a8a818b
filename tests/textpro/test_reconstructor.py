import pytest
import torch

from textpro.config import ReconstructorConfig
from textpro.reconstructor import MelReconstructor, sinusoids

B, N, W, FRAMES, MELS = 2, 5, 24, 31, 80


@pytest.fixture
def model() -> MelReconstructor:
    torch.manual_seed(0)
    config = ReconstructorConfig(width=32, n_heads=2, encoder_layers=1, decoder_layers=1)
    return MelReconstructor(config, vocabulary=50, prosody_width=W, n_mels=MELS).eval()


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 50, (B, N), generator=generator)
    mask = torch.tensor([[True] * N, [True] * 3 + [False] * 2])
    return tokens, torch.randn(B, N, W, generator=generator), mask


@torch.no_grad()
def test_it_draws_as_many_frames_as_asked_for(model: MelReconstructor, inputs: tuple) -> None:
    for n_frames in (1, FRAMES, 3000):
        assert model(*inputs, n_frames).shape == (B, MELS, n_frames)


@torch.no_grad()
def test_tokens_that_are_padding_do_not_matter(model: MelReconstructor, inputs: tuple) -> None:
    tokens, prosody, mask = inputs
    other = torch.where(mask, tokens, (tokens + 7) % 50), torch.where(mask[..., None], prosody, prosody + 3.0), mask
    torch.testing.assert_close(model(*inputs, FRAMES), model(*other, FRAMES))
    short = tokens[1:, :3], prosody[1:, :3], mask[1:, :3]
    torch.testing.assert_close(model(*inputs, FRAMES)[1:], model(*short, FRAMES), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_real_tokens_and_their_prosody_both_matter(model: MelReconstructor, inputs: tuple) -> None:
    tokens, prosody, mask = inputs
    drawn = model(*inputs, FRAMES)
    assert not torch.allclose(drawn, model((tokens + 1) % 50, prosody, mask, FRAMES), atol=1e-4)
    assert not torch.allclose(drawn, model(tokens, prosody + 1.0, mask, FRAMES), atol=1e-4)


def test_the_loss_reaches_the_prosody(model: MelReconstructor, inputs: tuple) -> None:
    tokens, prosody, mask = inputs
    prosody = prosody.requires_grad_()
    model(tokens, prosody, mask, FRAMES).square().mean().backward()
    assert prosody.grad is not None
    assert (prosody.grad[mask].abs().sum(-1) > 0).all()
    assert not prosody.grad[~mask].any()


def test_sinusoids_are_sines_then_cosines_of_falling_rates() -> None:
    table = sinusoids(7, 16)
    assert table.shape == (7, 16)
    torch.testing.assert_close(table[0], torch.cat([torch.zeros(8), torch.ones(8)]))
    torch.testing.assert_close(table[:, :8] ** 2 + table[:, 8:] ** 2, torch.ones(7, 8))
    torch.testing.assert_close(table[3, 0], torch.tensor(3.0).sin())
