"""Where in a recording somebody speaks; and speech longer than the encoder's window, cut where nobody does.

Letters: S samples, K voice frames of 32 ms.
"""

import numpy as np

from textpro.audio import SAMPLE_RATE, WINDOW_SECONDS

VOICE_FRAME = 512  # samples, what Silero judges at a time
SMOOTHING_FRAMES = 9  # 0.3 s: a pause, not the closure of a consonant


def heard_part(voice: np.ndarray) -> slice:
    """The samples to look for words in: a long silence before or after them is left out, no sound near them is.

    voice: (K,) voice probability per frame.
    """
    return _around(voice, probability=0.1, margin=10)


def voiced_part(voice: np.ndarray) -> slice:
    """The samples that tell how something is said: prosody read over silence would be that of somebody calm."""
    return _around(voice, probability=0.3, margin=2)


def _around(voice: np.ndarray, *, probability: float, margin: int) -> slice:
    """From the first frame that is so probably voice to the last, and `margin` frames more on either side; all where
    there is none."""
    found = np.flatnonzero(voice >= probability)
    if not len(found):
        return slice(0, len(voice) * VOICE_FRAME)
    first, last = max(0, int(found[0]) - margin), min(len(voice), int(found[-1]) + 1 + margin)
    return slice(first * VOICE_FRAME, last * VOICE_FRAME)


def cut_at_pauses(audio: np.ndarray, voice: np.ndarray, *, window_s: float = WINDOW_SECONDS) -> list[slice]:
    """Cuts an utterance into windows of at most `window_s` seconds, cut in the clearest pause of their second half.

    audio: (S,), voice: (K,) voice probability per frame -> slices of samples that cover the utterance in order.
    Where the voice never pauses the quietest place is taken.
    """
    limit = int(window_s * SAMPLE_RATE)
    activity = _activity(audio, voice) if len(audio) > limit else np.empty(0)
    windows: list[slice] = []
    start = 0
    while len(audio) - start > limit:
        first, last = (start + limit // 2) // VOICE_FRAME + 1, (start + limit) // VOICE_FRAME
        place = last - 1 - int(np.argmin(activity[first:last][::-1]))  # the latest of equals: fewer windows
        windows.append(slice(start, place * VOICE_FRAME + VOICE_FRAME // 2))
        start = windows[-1].stop
    return [*windows, slice(start, len(audio))]


def _activity(audio: np.ndarray, voice: np.ndarray) -> np.ndarray:
    """(K,) smoothed voice probability, with loudness to decide between places that are alike."""
    frames = np.pad(audio, (0, len(voice) * VOICE_FRAME - len(audio))).reshape(-1, VOICE_FRAME)
    loudness = np.sqrt(np.mean(frames**2, axis=1))
    both = voice + 0.1 * loudness / max(float(loudness.max()), 1e-9)
    return np.convolve(
        np.pad(both, SMOOTHING_FRAMES // 2, mode="edge"), np.ones(SMOOTHING_FRAMES) / SMOOTHING_FRAMES, mode="valid"
    )
