import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from tests.textpro.conftest import babble
from textpro.audio import log_mel


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("seconds", [30.0, 4.2])
def test_log_mel_is_that_of_transformers_on_a_full_window(n_mels: int, seconds: float) -> None:
    audio = babble(seconds)
    want = WhisperFeatureExtractor(feature_size=n_mels)(
        audio, sampling_rate=16_000, return_tensors="np"
    ).input_features[0]
    got = log_mel(np.pad(audio, (0, 30 * 16_000 - len(audio))), n_mels)
    assert got.shape == want.shape == (n_mels, 3000)
    np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize("n_samples", [0, 1, 159, 160, 399, 400, 401, 16_000, 16_001])
def test_a_frame_stands_for_each_whole_10_ms(n_samples: int) -> None:
    mel = log_mel(babble(2.0)[:n_samples])
    assert mel.shape == (80, n_samples // 160)
    assert mel.dtype == np.float32
    assert np.isfinite(mel).all()


def test_the_floor_lies_8_decades_under_the_peak() -> None:
    audio = np.concatenate([babble(1.0), np.zeros(16_000, np.float32)])
    mel = log_mel(audio)
    assert mel.max() - mel.min() == pytest.approx(2.0, abs=1e-5)


def test_loudness_only_shifts_the_spectrogram() -> None:
    audio = babble(1.0)
    np.testing.assert_allclose(log_mel(audio * 0.1), log_mel(audio) - 0.5, atol=1e-4)
