import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration

from tests.textpro.conftest import babble
from textpro.audio import FRAMES_PER_WINDOW, log_mel
from textpro.bundle import Bundle
from textpro.decoding import STAGES, DecodingOptions, SpeechDecoder, padded_frames
from textpro.errors import AudioError, AudioTooLong, BundleError
from textpro.evaluation.transcribers import TorchWhisper
from textpro.guards import OFF
from textpro.tap import ProsodyTap
from textpro.vocabulary import Vocabulary
from textpro.whisperpro import encode

UTTERANCES = [babble(seconds, seed) for seed, seconds in enumerate((1.0, 1.02, 2.5, 0.4, 3.1, 1.01, 1.58))]


def relative_error(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.abs(got - want).max() / np.abs(want).max())


def test_every_text_token_has_one_finite_prosody_row(decoder: SpeechDecoder) -> None:
    for decoded in decoder.decode(UTTERANCES):
        assert decoded.text
        assert decoded.prosody.shape == (len(decoded.tokens), decoder.width)
        assert decoded.prosody.dtype == np.float32
        assert np.isfinite(decoded.prosody).all()


def test_warming_up_runs_the_tap_even_where_nothing_is_heard(
    bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tapped: list[int] = []
    tap = ProsodyTap.__call__
    monkeypatch.setattr(ProsodyTap, "__call__", lambda *inputs: tapped.append(1) or tap(*inputs))
    SpeechDecoder.load(bundle, cache=cache).warm_up(np.zeros(16_000, dtype=np.float32))
    assert tapped == [1]


def test_a_batch_gives_what_each_utterance_gives_alone(decoder: SpeechDecoder) -> None:
    for audio, together in zip(UTTERANCES, decoder.decode(UTTERANCES), strict=True):
        (alone,) = decoder.decode([audio])
        assert [t.id for t in together.tokens] == [t.id for t in alone.tokens]
        assert together.text == alone.text
        assert relative_error(together.prosody, alone.prosody) < 1e-4
        assert together.log_probability == pytest.approx(alone.log_probability, abs=1e-4)


@pytest.mark.parametrize("tap", ["decoder.2", "encoder.1", "encoder.2"])
def test_text_and_prosody_are_those_of_the_full_pytorch_model(bundle: Bundle, cache: Path, tap: str) -> None:
    bundle = bundle.tapped(tap)
    decoder = SpeechDecoder.load(bundle, cache=cache, options=DecodingOptions(guards=OFF))
    reference = TorchWhisper(bundle, whole=True)
    for audio, decoded in zip(UTTERANCES, decoder.decode(UTTERANCES), strict=True):
        heard = reference.listen(audio)
        assert heard.tokens == [token.id for token in decoded.tokens]
        assert heard.text == decoded.text
        assert relative_error(decoded.prosody, heard.prosody.numpy()) < 1e-3


def test_token_log_probabilities_are_those_of_a_teacher_forced_pass_over_the_allowed_tokens(
    decoder: SpeechDecoder, bundle: Bundle, whisper: WhisperForConditionalGeneration
) -> None:
    (decoded,) = decoder.decode(UTTERANCES[:1])
    ids = [token.id for token in decoded.tokens]
    prompt = Vocabulary.of(bundle).prompt("en")
    audio = np.pad(UTTERANCES[0], (0, padded_frames(len(UTTERANCES[0])) * 160 - len(UTTERANCES[0])))
    with torch.no_grad():
        memory = encode(whisper.model.encoder, torch.from_numpy(log_mel(audio))[None])
        states = whisper.model.decoder(torch.tensor([[*prompt, *ids]]), encoder_hidden_states=memory).last_hidden_state
        logits = whisper.proj_out(states)[0, len(prompt) - 1 : -1]
    logits[:, whisper.generation_config.suppress_tokens] = float("-inf")
    want = logits.log_softmax(-1)[torch.arange(len(ids)), torch.tensor(ids)]
    np.testing.assert_allclose([token.log_probability for token in decoded.tokens], want.numpy(), atol=2e-3)


def test_a_beam_gives_prosody_too(bundle: Bundle, cache: Path) -> None:
    decoder = SpeechDecoder.load(bundle, cache=cache, options=DecodingOptions(beam_size=3, guards=OFF))
    (decoded,) = decoder.decode(UTTERANCES[:1])
    assert decoded.tokens
    assert decoded.prosody.shape == (len(decoded.tokens), decoder.width)


def test_speech_over_the_window_is_joined_from_windows(decoder: SpeechDecoder) -> None:
    first, second = babble(17, 1), babble(18, 2)
    pause = np.zeros(16_000, dtype=np.float32)
    (whole,) = decoder.decode([np.concatenate([first, pause, second])])
    assert whole.prosody.shape == (len(whole.tokens), decoder.width)
    # The cut lies in the pause, so each window is one of the parts with some of the silence.
    parts = decoder.decode([np.concatenate([first, pause]), np.concatenate([pause, second])])
    assert len(whole.tokens) == pytest.approx(sum(len(part.tokens) for part in parts), rel=0.1)
    assert len(whole.text.split()) >= max(len(part.text.split()) for part in parts)


def test_nothing_is_made_of_silence_and_of_no_audio(bundle: Bundle, cache: Path) -> None:
    decoder = SpeechDecoder.load(bundle, cache=cache)
    for audio in (np.zeros(16_000, np.float32), np.zeros(0, np.float32)):
        (decoded,) = decoder.decode([audio])
        assert (decoded.text, decoded.tokens, decoded.no_speech_reason) == ("", [], "silence")
        assert decoded.prosody.shape == (0, decoder.width)


def test_a_refused_neighbour_changes_nothing(bundle: Bundle, cache: Path) -> None:
    only_silence = dataclasses.replace(OFF, silence_dbfs=-70.0)
    decoder = SpeechDecoder.load(bundle, cache=cache, options=DecodingOptions(guards=only_silence))
    silent, spoken = decoder.decode([np.zeros(16_000, np.float32), UTTERANCES[2]])
    assert silent.no_speech_reason == "silence"
    assert spoken.text == decoder.decode([UTTERANCES[2]])[0].text


def test_the_stages_make_up_the_call(decoder: SpeechDecoder) -> None:
    started = time.perf_counter()
    decoded = decoder.decode(UTTERANCES)
    whole_ms = (time.perf_counter() - started) * 1000
    assert set(decoded[0].timing_ms) == set(STAGES)
    assert all(ms >= 0 for ms in decoded[0].timing_ms.values())
    assert 0.8 * whole_ms <= sum(decoded[0].timing_ms.values()) <= whole_ms
    assert decoded[0].timing_ms == decoded[-1].timing_ms


def test_a_looping_model_is_stopped_in_proportion_to_the_speech(bundle: Bundle, cache: Path) -> None:
    tight = DecodingOptions(tokens_per_second=2, tokens_at_least=3, guards=OFF)
    decoder = SpeechDecoder.load(bundle, cache=cache, options=tight)
    short, long = decoder.decode([babble(1.0), babble(10.0)])
    assert len(short.tokens) <= 3 + 2 * 1.2
    assert len(long.tokens) <= 3 + 2 * 11.5


def test_lengths_stand_on_a_ladder_that_adds_little() -> None:
    for n_samples in range(1, 16_000 * 31, 997):
        n_frames, real = padded_frames(n_samples), -(-n_samples // 160)
        assert n_frames % 2 == 0
        assert min(real, FRAMES_PER_WINDOW) <= n_frames <= max(16, 1.25 * real + 2)
        assert padded_frames(n_frames * 160) == n_frames


def test_no_encoder_output_can_be_taken_for_a_spectrogram() -> None:
    lengths = {padded_frames(n_samples) // 2 for n_samples in range(0, 16_000 * 31, 160)}
    assert not lengths & {80, 128}


@pytest.mark.parametrize(
    "audio",
    [np.zeros((2, 160), np.float32), np.array([0.0, np.nan], np.float32), np.array([np.inf], np.float32)],
    ids=["stereo", "nan", "inf"],
)
def test_samples_that_are_not_finite_mono_are_refused(decoder: SpeechDecoder, audio: np.ndarray) -> None:
    with pytest.raises(AudioError, match="finite mono"):
        decoder.decode([audio])


def test_no_utterances_give_no_results(decoder: SpeechDecoder) -> None:
    assert decoder.decode([]) == []


def test_an_unknown_device_type_is_a_bundle_error(bundle: Bundle, cache: Path) -> None:
    with pytest.raises(BundleError, match="can't run"):
        SpeechDecoder.load(bundle, cache=cache, compute_type="float31")


def test_a_model_of_the_full_window_gets_the_full_window(bundle: Bundle, cache: Path) -> None:
    fixed = Bundle(bundle.path, dataclasses.replace(bundle.config, variable_length=False))
    decoder = SpeechDecoder.load(fixed, cache=cache, options=DecodingOptions(guards=OFF))
    (decoded,) = decoder.decode(UTTERANCES[:1])
    heard = TorchWhisper(fixed).listen(UTTERANCES[0])
    assert heard.tokens == [token.id for token in decoded.tokens]
    assert relative_error(decoded.prosody, heard.prosody.numpy()) < 1e-3


def test_pytorch_alone_refuses_what_it_would_cut_off(bundle: Bundle) -> None:
    with pytest.raises(AudioTooLong, match=r"31\.0 s"):
        TorchWhisper(bundle, whole=True).listen(babble(31.0, 0))
