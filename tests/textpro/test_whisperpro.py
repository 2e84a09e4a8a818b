import pytest
import torch
from transformers import PreTrainedTokenizerFast, WhisperForConditionalGeneration

from textpro.config import BundleConfig, ReconstructorConfig
from textpro.errors import BundleError
from textpro.losses import asr_ce, mel_mse
from textpro.training.tokenizer import END, NO_TIMESTAMPS, START
from textpro.training.whisperpro import FreshModel, fresh_whisper
from textpro.whisperpro import WhisperPro, encode, encoder_states, spans

FRAMES = 120


@pytest.fixture
def mel() -> torch.Tensor:
    return torch.randn(3, 80, FRAMES, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(0, 300, (3, 9), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def full_states(whisper: WhisperForConditionalGeneration, tokens: torch.Tensor, memory: torch.Tensor, layer: int):
    """The raw output of a layer while transformers runs the whole decoder."""
    seen: list[torch.Tensor] = []
    hook = whisper.model.decoder.layers[layer - 1].register_forward_hook(lambda *a: seen.append(a[2]))
    whisper.model.decoder(tokens, encoder_hidden_states=memory, use_cache=False)
    hook.remove()
    return seen[0][0] if isinstance(seen[0], tuple) else seen[0]


@torch.no_grad()
def test_on_the_full_window_the_model_is_transformers_whisper(
    whisper: WhisperForConditionalGeneration, config: BundleConfig
) -> None:
    mel, tokens = torch.randn(1, 80, 3000), torch.randint(0, 300, (1, 7))
    want = whisper(input_features=mel, decoder_input_ids=tokens).logits
    torch.testing.assert_close(WhisperPro(whisper, config)(mel, tokens).logits, want, rtol=1e-3, atol=1e-3)


def test_every_layer_of_the_decoder_can_be_the_tap(
    whisper: WhisperForConditionalGeneration, mel: torch.Tensor, tokens: torch.Tensor
) -> None:
    with torch.no_grad():
        memory = encode(whisper.model.encoder, mel)
        for layer in range(1, 5):
            heard = WhisperPro(whisper, BundleConfig(name="x", tap=f"decoder.{layer}"))(mel, tokens)
            torch.testing.assert_close(heard.states, full_states(whisper, tokens, memory, layer), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_every_layer_of_the_encoder_can_be_the_tap_and_changes_nothing_else(
    whisper: WhisperForConditionalGeneration, mel: torch.Tensor, tokens: torch.Tensor
) -> None:
    want = WhisperPro(whisper, BundleConfig(name="x", tap="decoder.1"))(mel, tokens)
    for layer in (1, 2):
        heard = WhisperPro(whisper, BundleConfig(name="x", tap=f"encoder.{layer}"))(mel, tokens)
        states = encoder_states(whisper.model.encoder, mel, layers=slice(layer))
        torch.testing.assert_close(heard.states, states, rtol=0, atol=0)
        torch.testing.assert_close(heard.logits, want.logits, rtol=0, atol=0)
    assert WhisperPro(whisper, BundleConfig(name="x", tap="encoder.1"))(mel, tokens, want.memory).states is None


def test_spans_cover_an_utterance_evenly_and_in_order() -> None:
    states = torch.arange(12.0)[:, None].expand(-1, 2)
    torch.testing.assert_close(spans(states, 4)[:, 0], torch.tensor([1.0, 4.0, 7.0, 10.0]))
    torch.testing.assert_close(spans(states, 1), states.mean(dim=0, keepdim=True))
    assert spans(states[:2], 5)[:, 0].tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("tap", ["decoder", "decoder.0", "memory.2", "encoder.x", "decoder.-1"])
def test_a_tap_that_does_not_exist_is_refused(tap: str) -> None:
    with pytest.raises(BundleError, match="unknown tap"):
        _ = BundleConfig(name="x", tap=tap).prosody_layer


def test_one_batch_overfits_in_words_and_in_sound(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(3)
    config = BundleConfig(
        name="x",
        tap="decoder.1",
        reconstructor=ReconstructorConfig(width=32, n_heads=2, encoder_layers=1, decoder_layers=1),
    )
    size = FreshModel(width=32, n_heads=2, encoder_layers=1, decoder_layers=2)
    model = WhisperPro(fresh_whisper(size, tokenizer), config, with_reconstructor=True).train()
    ids = tokenizer.get_vocab()
    tokens = torch.tensor([[ids[START], ids[NO_TIMESTAMPS], 40, 41, 42], [ids[START], ids[NO_TIMESTAMPS], 50, 43, 51]])
    labels = torch.cat([tokens[:, 1:], torch.full((2, 1), ids[END])], dim=1)
    mel = torch.randn(2, 80, 1).expand(-1, -1, 40) * 0.5
    frames = torch.ones(2, 40, dtype=torch.bool)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    assert model.reconstructor is not None
    losses: list[tuple[float, float]] = []
    for _ in range(120):
        heard = model(mel, tokens)
        rebuilt = model.reconstructor(tokens[:, 2:], heard.states[:, 2:], torch.ones(2, 3, dtype=torch.bool), 40)
        words, sound = asr_ce(heard.logits, labels), mel_mse(rebuilt, mel, frames)
        optimizer.zero_grad()
        (words + sound).backward()
        optimizer.step()
        losses.append((words.item(), sound.item()))
    assert losses[-1][0] < 0.1 < losses[0][0]
    assert losses[-1][1] < 0.5 * losses[0][1]
