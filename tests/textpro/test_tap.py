import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration

from textpro.bundle import Bundle
from textpro.errors import BundleError
from textpro.tap import Finished, ProsodyTap
from textpro.whisperpro import decoder_states, encode, encoder_states, spans

FRAMES = 120
PROMPT = [300, 301]
TAPS = ("decoder.2", "encoder.1")


@pytest.fixture
def finished(whisper: WhisperForConditionalGeneration) -> Finished:
    mel = torch.randn(3, 80, FRAMES, generator=torch.Generator().manual_seed(1))
    tokens = torch.randint(0, 300, (3, 7), generator=torch.Generator().manual_seed(2)).tolist()
    with torch.no_grad():
        memory = encode(whisper.model.encoder, mel)
    return Finished(mel.numpy(), memory, [60, 60, 45], [PROMPT] * 3, tokens)


def alone(finished: Finished, row: int) -> Finished:
    at = slice(row, row + 1)
    return Finished(finished.mel[at], finished.memory[at], finished.n_states[at], [PROMPT], finished.tokens[at])


@torch.no_grad()
def test_half_a_decoder_gives_the_full_decoders_states(
    bundle: Bundle, whisper: WhisperForConditionalGeneration, finished: Finished
) -> None:
    seen: list[torch.Tensor] = []
    hook = whisper.model.decoder.layers[1].register_forward_hook(lambda *a: seen.append(a[2]))
    inputs = torch.tensor([[*PROMPT, *text] for text in finished.tokens])
    whisper.model.decoder(inputs, encoder_hidden_states=finished.memory, use_cache=False)
    hook.remove()
    want = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    for mine, theirs in zip(ProsodyTap.load(bundle)(finished), want[:, len(PROMPT) :], strict=True):
        torch.testing.assert_close(torch.from_numpy(mine), theirs, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_half_an_encoder_gives_the_means_of_its_states_over_speech_alone(
    bundle: Bundle, whisper: WhisperForConditionalGeneration, finished: Finished
) -> None:
    states = encoder_states(whisper.model.encoder, torch.from_numpy(finished.mel), layers=slice(1))
    for row, mine in enumerate(ProsodyTap.load(bundle.tapped("encoder.1"))(finished)):
        want = spans(states[row, : finished.n_states[row]], len(finished.tokens[row]))
        torch.testing.assert_close(torch.from_numpy(mine), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("where", TAPS)
def test_rows_of_different_length_do_not_disturb_each_other(bundle: Bundle, finished: Finished, where: str) -> None:
    tap = ProsodyTap.load(bundle.tapped(where))
    texts = [finished.tokens[0], [], finished.tokens[2][:3]]
    mixed = Finished(finished.mel, finished.memory, finished.n_states, finished.prompts, texts)
    for row, together in enumerate(tap(mixed)):
        assert together.shape == (len(texts[row]), tap.width)
        (by_itself,) = tap(alone(mixed, row))
        np.testing.assert_allclose(together, by_itself, rtol=1e-4, atol=1e-4)


def test_a_tap_its_whisper_does_not_have_is_refused(bundle: Bundle) -> None:
    for where in ("encoder.3", "decoder.5"):
        with pytest.raises(BundleError, match="layers"):
            bundle.tapped(where)


def test_states_are_those_of_step_by_step_decoding(
    whisper: WhisperForConditionalGeneration, finished: Finished
) -> None:
    with torch.no_grad():
        tokens = torch.tensor(finished.tokens)
        at_once = decoder_states(whisper.model.decoder, tokens, finished.memory, layers=slice(2))
        for length in range(1, tokens.shape[1] + 1):
            step = decoder_states(whisper.model.decoder, tokens[:, :length], finished.memory, layers=slice(2))[:, -1]
            torch.testing.assert_close(step, at_once[:, length - 1], rtol=1e-4, atol=1e-4)
