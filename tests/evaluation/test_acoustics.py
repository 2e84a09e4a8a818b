import numpy as np
import pytest

from textpro.evaluation.acoustics import FRAME, energy_db, f0, measured

SECOND = np.arange(16_000) / 16_000


def voice(hertz: float, harmonics: int = 8) -> np.ndarray:
    tone = sum(np.sin(2 * np.pi * k * hertz * SECOND) / k for k in range(1, harmonics + 1))
    return (0.1 * tone).astype(np.float32)


@pytest.mark.parametrize("hertz", [70, 110, 155.3, 220, 333, 400])
@pytest.mark.parametrize("harmonics", [1, 8])
def test_the_pitch_of_a_tone_is_its_own(hertz: float, harmonics: int) -> None:
    found = f0(voice(hertz, harmonics))
    assert np.nanmedian(found) == pytest.approx(hertz, rel=0.005)
    assert not np.isnan(found).any()


def test_a_missing_fundamental_is_heard() -> None:
    upper = sum(np.sin(2 * np.pi * k * 120 * SECOND) for k in range(3, 9))
    assert np.nanmedian(f0(upper)) == pytest.approx(120, rel=0.005)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).standard_normal(16_000)
    assert np.isnan(f0(noise)).mean() > 0.9
    assert np.isnan(f0(np.zeros(16_000))).all()
    assert "f0" not in measured(np.zeros(16_000))


def test_pitch_does_not_depend_on_loudness_and_energy_does() -> None:
    loud, soft = measured(voice(150)), measured(voice(150) / 10)
    assert loud["f0"] == pytest.approx(soft["f0"])
    assert loud["energy"] - soft["energy"] == pytest.approx(20, abs=0.01)


def test_pauses_do_not_count_for_the_energy() -> None:
    pause = np.zeros(32_000, np.float32)
    assert measured(np.concatenate([voice(150), pause]))["energy"] == pytest.approx(
        measured(voice(150))["energy"], abs=0.5
    )


def test_a_sine_of_full_scale_lies_three_decibels_below_it() -> None:
    assert energy_db(np.sin(2 * np.pi * 125 * SECOND)) == pytest.approx(-3.01, abs=0.01)


def test_what_is_shorter_than_a_frame_is_one_frame() -> None:
    assert len(f0(np.ones(10))) == len(energy_db(np.ones(FRAME))) == 1
