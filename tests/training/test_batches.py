import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from textpro.data import manifest
from textpro.errors import AudioError, AudioTooLong, TrainingError
from textpro.losses import IGNORE
from textpro.training import augment
from textpro.training.batches import Batch, BatchPlan, BucketSampler, SpeechDataset, read_pcm
from textpro.training.tokenizer import END, NO_SPEECH, NO_TIMESTAMPS, START

PLAIN = BatchPlan(seconds=4, long_padding=0, timestamps=0, bpe_dropout=0, augmentation=augment.NONE)


def _dataset(corpus: Path, tokenizer: PreTrainedTokenizerFast, plan: BatchPlan, **options: bool) -> SpeechDataset:
    return SpeechDataset(corpus, manifest.read(corpus), tokenizer, plan, n_mels=80, **options)


def test_an_epoch_holds_every_clip_once() -> None:
    durations = np.random.default_rng(0).uniform(0.5, 9, 2000)
    batches = BucketSampler(durations, PLAIN).epoch(0)
    assert sorted(i for batch in batches for i in batch) == list(range(2000))


def test_batches_keep_to_their_seconds() -> None:
    durations = np.random.default_rng(0).uniform(0.5, 4, 2000)
    assert all(len(b) == 1 or len(b) * durations[b].max() <= 4 for b in BucketSampler(durations, PLAIN).epoch(1))


def test_two_processes_share_an_epoch_without_overlap() -> None:
    durations = np.random.default_rng(0).uniform(0.5, 4, 200)
    epoch = BucketSampler(durations, PLAIN, world=2).epoch(0)
    mine = [i for batch in epoch[0::2] for i in batch]
    yours = [i for batch in epoch[1::2] for i in batch]
    assert not set(mine) & set(yours)
    assert len(epoch) % 2 == 0


def test_a_resumed_sampler_draws_what_the_first_would_have_drawn() -> None:
    durations = np.random.default_rng(0).uniform(0.5, 4, 50)
    whole, resumed = iter(BucketSampler(durations, PLAIN)), iter(BucketSampler(durations, PLAIN, first_step=30))
    skipped = [next(whole) for _ in range(30)]
    assert len(skipped) == 30
    assert [next(whole) for _ in range(30)] == [next(resumed) for _ in range(30)]


def test_labels_are_the_inputs_shifted_and_end_the_text(corpus: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    batch = _dataset(corpus, tokenizer, PLAIN)[[(0, 0)]]
    ids = tokenizer.get_vocab()
    inputs, labels = batch.tokens[0].tolist(), batch.labels[0].tolist()
    assert inputs[:2] == [ids[START], ids[NO_TIMESTAMPS]]
    assert labels == [*inputs[1:], ids[END]]
    assert tokenizer.decode(batch.tokens[0][batch.text_mask[0]]) == " Red sky."


def test_noise_alone_is_taught_as_no_speech(corpus: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    plan = BatchPlan(long_padding=0, augmentation=augment.Augmentation(no_speech=1.0))
    batch = _dataset(corpus, tokenizer, plan)[[(0, 0), (1, 0)]]
    ids = tokenizer.get_vocab()
    assert batch.labels.tolist() == [[ids[NO_SPEECH], ids[END]]] * 2
    assert not batch.text_mask.any()


def test_a_multilingual_model_says_no_speech_right_behind_the_start(
    corpus: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    plan = BatchPlan(long_padding=0, augmentation=augment.Augmentation(no_speech=1.0))
    batch = _dataset(corpus, tokenizer, plan, multilingual=True)[[(0, 0)]]
    ids = tokenizer.get_vocab()
    assert batch.tokens[0, 0] == ids[START]
    assert batch.labels.tolist() == [[ids[NO_SPEECH], IGNORE, IGNORE, ids[END]]]


def test_a_language_the_model_does_not_know_is_refused(corpus: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    french = [replace(clip, labels={"language": "French"}) for clip in manifest.read(corpus)]
    dataset = SpeechDataset(corpus, french, tokenizer, PLAIN, n_mels=80, multilingual=True)
    with pytest.raises(TrainingError, match="language='French'"):
        dataset[[(0, 0)]]


def test_a_multilingual_model_is_told_language_and_task(corpus: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    batch = _dataset(corpus, tokenizer, PLAIN, multilingual=True)[[(0, 0)]]
    assert tokenizer.decode(batch.tokens[0, :4]) == "<|startoftranscript|><|en|><|transcribe|><|notimestamps|>"


def test_long_padding_reaches_towards_the_window_and_is_masked(
    corpus: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    batch = _dataset(corpus, tokenizer, BatchPlan(long_padding=1.0, seed=1, augmentation=augment.NONE))[[(0, 3)]]
    assert batch.mel.shape[2] > 300
    assert int(batch.frame_mask.sum()) == 50


def test_padding_rows_score_nothing(corpus: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    batch: Batch = _dataset(corpus, tokenizer, PLAIN)[[(0, 0), (2, 0)]]
    beyond = (torch.arange(batch.tokens.shape[1]) >= batch.text_mask[0].nonzero().max() + 2)[None]
    assert (batch.labels[0][beyond[0]] == IGNORE).all()


def test_what_is_to_be_rebuilt_has_no_noise(corpus: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    def batch(noise: float, with_target: bool = True) -> Batch:
        plan = BatchPlan(seconds=4, long_padding=0, augmentation=replace(augment.NONE, noise=noise))
        return _dataset(corpus, tokenizer, plan, with_target=with_target)[[(5, 0), (6, 0)]]

    clean, noisy = batch(0.0), batch(1.0)
    torch.testing.assert_close(noisy.target, clean.mel)
    assert (noisy.mel - noisy.target).abs().mean() > 0.05
    assert batch(1.0, with_target=False).target.shape[2] == 0


def test_what_is_to_be_rebuilt_has_no_masks(corpus: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    masked = augment.Augmentation(noise=0, gain_db=(0, 0), speed=0, tilt=0, masks=1.0, no_speech=0)
    plan = BatchPlan(seconds=4, long_padding=0, augmentation=masked)
    batch = _dataset(corpus, tokenizer, plan)[[(5, 0)]]
    assert (batch.mel != batch.target).any()
    mask_value = batch.target.mean()
    changed = batch.mel[batch.mel != batch.target]
    torch.testing.assert_close(changed, mask_value.expand_as(changed), rtol=0.2, atol=0.2)


def test_a_recording_that_was_cut_gives_what_is_there(corpus: Path, tmp_path: Path) -> None:
    whole = corpus.parent / "0.wav"
    (tmp_path / "cut.wav").write_bytes(whole.read_bytes()[:8001])  # in the middle of a sample
    there = read_pcm(tmp_path / "cut.wav")
    assert len(there) == pytest.approx((8001 - 44) // 2, abs=1)
    np.testing.assert_allclose(there, read_pcm(whole)[: len(there)], atol=0.01)


@pytest.mark.parametrize(
    ("seconds", "rate", "error"),
    [(0, 8_000, AudioError), (65, 8_000, AudioTooLong), (65, 16_000, AudioTooLong), (None, 0, AudioError)],
    ids=["empty", "long", "long as synthesised", "noise"],
)
def test_a_recording_that_cannot_be_used_is_named(
    seconds: int | None, rate: int, error: type[AudioError], tmp_path: Path
) -> None:
    path = tmp_path / "clip.wav"
    if seconds is None:
        path.write_bytes(b"not audio at all" * 100)
    else:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(bytes(2 * rate * seconds))
    with pytest.raises(error, match=r"clip\.wav: "):
        read_pcm(path)
