from itertools import pairwise

import numpy as np
import pytest

from textpro.windows import VOICE_FRAME, cut_at_pauses, heard_part, voiced_part

RATE = 16_000


def voiced(seconds: float, *pauses: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Sound and voice all along but for the pauses, given in seconds."""
    audio = np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32) * 0.1
    voice = np.full(-(-len(audio) // VOICE_FRAME), 0.95, np.float32)
    for start, end in pauses:
        audio[round(start * RATE) : round(end * RATE)] = 0
        voice[round(start * RATE / VOICE_FRAME) : round(end * RATE / VOICE_FRAME)] = 0.02
    return audio, voice


@pytest.mark.parametrize("seconds", [0.0, 1.0, 29.9, 30.0])
def test_what_fits_is_not_cut(seconds: float) -> None:
    audio, voice = voiced(seconds)
    assert cut_at_pauses(audio, voice) == [slice(0, len(audio))]


@pytest.mark.parametrize("seconds", [30.1, 47.0, 95.3, 200.0])
def test_windows_cover_the_utterance_and_none_is_too_long(seconds: float) -> None:
    audio, voice = voiced(seconds)
    windows = cut_at_pauses(audio, voice)
    assert windows[0].start == 0
    assert windows[-1].stop == len(audio)
    assert all(a.stop == b.start for a, b in pairwise(windows))
    assert all(0 < w.stop - w.start <= 30 * RATE for w in windows)


def test_a_cut_lies_in_the_pause() -> None:
    audio, voice = voiced(40, (5, 6), (21, 22))
    (first, _) = cut_at_pauses(audio, voice)
    assert 21 * RATE < first.stop < 22 * RATE


def test_of_two_pauses_the_later_is_taken() -> None:
    audio, voice = voiced(40, (17, 18), (25, 26))
    (first, _) = cut_at_pauses(audio, voice)
    assert 25 * RATE < first.stop < 26 * RATE


def test_without_a_pause_the_quietest_place_is_taken() -> None:
    audio, voice = voiced(40)
    audio[22 * RATE : round(22.6 * RATE)] *= 0.05
    (first, _) = cut_at_pauses(audio, voice)
    assert 22 * RATE < first.stop < 22.6 * RATE


def test_silence_around_the_voice_is_not_listened_to() -> None:
    _, voice = voiced(6, (0, 2), (4, 6))
    heard, told = heard_part(voice), voiced_part(voice)
    assert 1.5 * RATE < heard.start < told.start < 2 * RATE
    assert 4 * RATE < told.stop < heard.stop < 4.5 * RATE


def test_a_pause_within_the_voice_stays() -> None:
    _, voice = voiced(6, (2, 4))
    whole = slice(0, len(voice) * VOICE_FRAME)
    assert heard_part(voice) == voiced_part(voice) == whole


def test_what_may_be_voice_is_listened_to() -> None:
    _, voice = voiced(6, (0, 2))
    voice[31] = 0.2  # second 1: a soft sound
    assert heard_part(voice).start < RATE
    assert voiced_part(voice).start > 1.5 * RATE


@pytest.mark.parametrize("n_frames", [0, 1, 50])
def test_where_no_voice_is_found_all_is_listened_to(n_frames: int) -> None:
    voice = np.zeros(n_frames, np.float32)
    assert heard_part(voice) == voiced_part(voice) == slice(0, n_frames * VOICE_FRAME)
