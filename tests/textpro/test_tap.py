from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration

from textpro.bundle import Bundle
from textpro.errors import BundleError
from textpro.tap import Finished, ProsodyTap, as_tensor
from textpro.whisperpro import decoder_states, encode, encoder_states, spans

FRAMES = 120
PROMPT = [300, 301]
TAPS = ("decoder.2", "encoder.1")


@pytest.fixture(scope="module")
def mel() -> torch.Tensor:
    return torch.randn(3, 80, FRAMES, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def finished() -> Finished:
    tokens = torch.randint(0, 300, (3, 7), generator=torch.Generator().manual_seed(2)).tolist()
    return Finished([slice(0, 60), slice(8, 60), slice(0, 45)], [PROMPT] * 3, tokens)


@pytest.fixture(scope="module")
def load(bundle: Bundle, cache: Path) -> Callable[[str], ProsodyTap]:
    engine = ctranslate2.models.Whisper(str(bundle.ct2_path("float32", cache=cache)), compute_type="float32")
    return lambda where: ProsodyTap.load(bundle.tapped(where), engine)


@pytest.mark.parametrize("where", TAPS)
@torch.no_grad()
def test_memory_is_the_encoders_output_wherever_the_tap_is(
    load: Callable[[str], ProsodyTap], whisper: WhisperForConditionalGeneration, mel: torch.Tensor, where: str
) -> None:
    memory = as_tensor(load(where).encode(mel.numpy()).memory)
    torch.testing.assert_close(memory, encode(whisper.model.encoder, mel), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_half_a_decoder_gives_the_full_decoders_states(
    load: Callable[[str], ProsodyTap], whisper: WhisperForConditionalGeneration, mel: torch.Tensor, finished: Finished
) -> None:
    tap = load("decoder.2")
    encoded = tap.encode(mel.numpy())
    seen: list[torch.Tensor] = []
    hook = whisper.model.decoder.layers[1].register_forward_hook(lambda *a: seen.append(a[2]))
    inputs = torch.tensor([[*PROMPT, *text] for text in finished.tokens])
    whisper.model.decoder(inputs, encoder_hidden_states=encode(whisper.model.encoder, mel), use_cache=False)
    hook.remove()
    want = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    for mine, theirs in zip(tap(encoded, finished), want[:, len(PROMPT) :], strict=True):
        torch.testing.assert_close(torch.from_numpy(mine), theirs, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_an_encoders_tap_gives_the_means_of_its_states_over_speech_alone(
    load: Callable[[str], ProsodyTap], whisper: WhisperForConditionalGeneration, mel: torch.Tensor, finished: Finished
) -> None:
    tap = load("encoder.1")
    states = encoder_states(whisper.model.encoder, mel, layers=slice(1))
    for row, mine in enumerate(tap(tap.encode(mel.numpy()), finished)):
        want = spans(states[row, finished.speech[row]], len(finished.tokens[row]))
        torch.testing.assert_close(torch.from_numpy(mine), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("where", TAPS)
def test_rows_of_different_length_do_not_disturb_each_other(
    load: Callable[[str], ProsodyTap], mel: torch.Tensor, finished: Finished, where: str
) -> None:
    tap = load(where)
    texts = [finished.tokens[0], [], finished.tokens[2][:3]]
    together = tap(tap.encode(mel.numpy()), replace(finished, tokens=texts))
    for row, mine in enumerate(together):
        assert mine.shape == (len(texts[row]), tap.width)
        alone = Finished([finished.speech[row]], [PROMPT], [texts[row]])
        (by_itself,) = tap(tap.encode(mel[row : row + 1].numpy()), alone)
        np.testing.assert_allclose(mine, by_itself, rtol=1e-3, atol=1e-3)


def test_a_tap_its_whisper_does_not_have_is_refused(bundle: Bundle) -> None:
    for where in ("encoder.3", "decoder.5"):
        with pytest.raises(BundleError, match="layers"):
            bundle.tapped(where)


def test_states_are_those_of_step_by_step_decoding(
    whisper: WhisperForConditionalGeneration, mel: torch.Tensor, finished: Finished
) -> None:
    with torch.no_grad():
        tokens, memory = torch.tensor(finished.tokens), encode(whisper.model.encoder, mel)
        at_once = decoder_states(whisper.model.decoder, tokens, memory, layers=slice(2))
        for length in range(1, tokens.shape[1] + 1):
            step = decoder_states(whisper.model.decoder, tokens[:, :length], memory, layers=slice(2))[:, -1]
            torch.testing.assert_close(step, at_once[:, length - 1], rtol=1e-4, atol=1e-4)
