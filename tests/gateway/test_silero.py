"""The voice model of many streams against the graph that it is read from."""

from pathlib import Path

import faster_whisper
import numpy as np
import onnxruntime
import pytest

from services.gateway.silero import CONTEXT, STATE, WINDOW, VoiceModel
from textpro.audio import decode

ROOT = Path(__file__).resolve().parents[2]
GRAPH = Path(faster_whisper.__file__).parent / "assets" / "silero_vad_v6.onnx"
NEAR = 1e-5


@pytest.fixture(scope="module")
def model() -> VoiceModel:
    return VoiceModel()


@pytest.fixture(scope="module")
def sounds() -> np.ndarray:
    """(3, windows, CONTEXT + WINDOW): speech, the same in noise, and noise so loud that it is cut."""
    speech = decode((ROOT / "examples" / "capital.wav").read_bytes())
    noise = np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)
    streams = np.stack([speech, speech + 0.05 * noise, noise]).clip(-1, 1)
    n_windows = len(speech) // WINDOW
    whole = np.concatenate([np.zeros((3, CONTEXT), np.float32), streams[:, : n_windows * WINDOW]], 1)
    return np.stack([whole[:, WINDOW * n : WINDOW * (n + 1) + CONTEXT] for n in range(n_windows)], 1)


def published(windows: np.ndarray) -> list[float]:
    """What ONNX Runtime makes of one stream."""
    graph = onnxruntime.InferenceSession(str(GRAPH), providers=["CPUExecutionProvider"])
    hidden = cell = np.zeros((1, 1, STATE), np.float32)
    found: list[float] = []
    for window in windows:
        speech, hidden, cell = graph.run(None, {"input": window[None], "h": hidden, "c": cell})
        found.append(np.asarray(speech).item())
    return found


def together(model: VoiceModel, sounds: np.ndarray) -> np.ndarray:
    """(N, windows): what it makes of N streams at once."""
    hidden, cell = np.zeros((len(sounds), STATE), np.float32), np.zeros((len(sounds), STATE), np.float32)
    found: list[np.ndarray] = []
    for windows in sounds.transpose(1, 0, 2):
        speech, hidden, cell = model.judge(windows, hidden, cell)
        found.append(speech)
    return np.stack(found, 1)


def test_every_stream_is_judged_as_by_the_published_graph(model: VoiceModel, sounds: np.ndarray) -> None:
    found = together(model, sounds)
    assert found.shape == sounds.shape[:2]
    assert found[0].max() > 0.9 > 0.1 > found[0].min()  # there is something to be judged
    for stream, windows in zip(found, sounds, strict=True):
        np.testing.assert_allclose(stream, published(windows), atol=NEAR)


def test_what_others_say_has_no_part_in_it(model: VoiceModel, sounds: np.ndarray) -> None:
    alone = np.concatenate([together(model, each[None]) for each in sounds])
    np.testing.assert_allclose(together(model, sounds), alone, atol=NEAR)
    np.testing.assert_allclose(together(model, sounds[::-1]), alone[::-1], atol=NEAR)


def test_states_without_bounds_make_no_trouble(model: VoiceModel) -> None:
    with np.errstate(all="raise"):
        huge = np.full((1, STATE), 1e4, np.float32)
        speech, *_ = model.judge(np.zeros((1, CONTEXT + WINDOW), np.float32), huge, huge)
    assert 0 <= speech[0] <= 1
