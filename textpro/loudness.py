"""How loud a recording is, and quiet speech made loud enough for a voice activity model.

Letters: S samples.
"""

import numpy as np

LEVEL_BLOCK = 512  # samples: 32 ms
VOICE_LEVEL = 0.1  # root mean square of the loudest block that a voice activity model is shown


def loudest_dbfs(audio: np.ndarray) -> float:
    """Level of the loudest 32 ms of (S,) in dB of full scale, without its DC offset; -inf without sound."""
    if len(audio) == 0:
        return float("-inf")
    centred = audio - audio.mean()
    frames = np.pad(centred, (0, -len(centred) % LEVEL_BLOCK)).reshape(-1, LEVEL_BLOCK)
    power = float(np.mean(frames**2, axis=1).max())
    return 10 * float(np.log10(power)) if power > 0 else float("-inf")


def made_audible(audio: np.ndarray) -> np.ndarray:
    """(S,) -> (S,) float32, a copy without DC offset whose loudest 32 ms have VOICE_LEVEL at least: quiet speech counts
    too."""
    gain = VOICE_LEVEL / max(10 ** (loudest_dbfs(audio) / 20), 1e-6)
    return ((audio - audio.mean()) * np.float32(max(gain, 1.0))).astype(np.float32)
