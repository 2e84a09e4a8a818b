import wave
from pathlib import Path

import numpy as np
import pytest

from textpro.data.manifest import Clip
from textpro.errors import TrainingError
from textpro.evaluation.probing import ProbeConfig, measured_labels, probe, quantile_bins, splits

QUICK = ProbeConfig(seeds=2, max_epochs=100)


def test_what_lies_on_a_line_is_found_by_one_layer() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((600, 16)).astype(np.float32)
    labels = ["low" if x < 0 else "high" for x in features[:, 3] + features[:, 5]]
    result = probe(features, labels, QUICK)
    assert result.accuracy > 0.8
    assert (result.clips, result.classes, result.runs) == (600, 2, 10)


def test_what_is_not_there_is_not_found() -> None:
    rng = np.random.default_rng(1)
    features = rng.standard_normal((400, 16)).astype(np.float32)
    result = probe(features, rng.integers(0, 2, 400).tolist(), QUICK)
    assert abs(result.accuracy - 0.5) < 0.1


def test_a_hidden_layer_finds_what_no_line_divides() -> None:
    rng = np.random.default_rng(2)
    features = rng.standard_normal((600, 4)).astype(np.float32)
    labels = (features[:, 0] * features[:, 1] > 0).tolist()
    flat = probe(features, labels, ProbeConfig(seeds=1))
    deep = probe(features, labels, ProbeConfig(seeds=1, hidden=256))
    assert deep.accuracy > 0.85 > flat.accuracy


def test_chance_is_the_share_of_the_largest_class() -> None:
    features = np.random.default_rng(3).standard_normal((100, 4)).astype(np.float32)
    assert probe(features, ["a"] * 70 + ["b"] * 30, ProbeConfig(seeds=1, max_epochs=1)).chance == pytest.approx(0.7)


def test_the_same_data_gives_the_same_numbers() -> None:
    features = np.random.default_rng(4).standard_normal((100, 4)).astype(np.float32)
    labels = (features[:, 0] > 0).tolist()
    assert probe(features, labels, QUICK) == probe(features, labels, QUICK)


@pytest.mark.parametrize("labels", [["a"] * 20, ["a"] * 17 + ["b"] * 3, []])
def test_too_few_clips_of_a_class_are_refused(labels: list[str]) -> None:
    with pytest.raises(TrainingError, match="two classes"):
        probe(np.zeros((len(labels), 4), np.float32), labels)


def test_quantile_bins_hold_equal_shares() -> None:
    bins = quantile_bins(np.random.default_rng(0).lognormal(size=1000).tolist(), 10)
    assert np.bincount(bins).tolist() == [100] * 10


def test_numbers_are_probed_by_their_quantiles() -> None:
    rng = np.random.default_rng(0)
    hertz = rng.uniform(80, 300, 400)
    found = probe(hertz[:, None].astype(np.float32), hertz.tolist(), ProbeConfig(hidden=16, seeds=1, max_epochs=30))
    assert found.classes == 10
    assert found.accuracy > 2 * found.chance


def test_every_part_of_a_split_has_every_classs_share() -> None:
    classes = np.random.default_rng(0).permutation([0] * 500 + [1] * 100 + [2] * 10)
    made = splits(classes, ProbeConfig(), seed=0)
    assert sorted(np.concatenate([split.test for split in made])) == list(range(610))
    for split in made:
        parts = (split.train, split.validation, split.test)
        assert sorted(np.concatenate(parts)) == list(range(610))
        assert [np.bincount(classes[part]).tolist() for part in parts] == [[350, 70, 7], [50, 10, 1], [100, 20, 2]]


def test_pitch_is_measured_from_the_audio(tmp_path: Path) -> None:
    time_s = np.arange(8000) / 16_000
    for name, samples in (("tone", 8000 * np.sin(2 * np.pi * 200 * time_s)), ("silence", 0 * time_s)):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(samples.astype("<i2").tobytes())
    clips = [Clip(name, f"{name}.wav", "", 0.5) for name in ("tone", "silence")]
    hertz, none = measured_labels(tmp_path / "manifest.jsonl", clips, "f0")
    assert hertz == pytest.approx(200, rel=0.01)
    assert none is None
