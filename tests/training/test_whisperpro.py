import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from services.cli import main
from textpro.data import manifest
from textpro.errors import TrainingError
from textpro.training import augment
from textpro.training.batches import BatchPlan, SpeechDataset
from textpro.training.loop import Schedule, load_checkpoint
from textpro.training.memories import Memories
from textpro.training.optimizer import FlatAdamW
from textpro.training.whisperpro import Objective, Recipe, train
from textpro.whisperpro import WhisperPro

PLAN = BatchPlan(seconds=4, augmentation=augment.NONE)


def _recipe(steps: int, **changes: object) -> Recipe:
    settings = {
        "mel": 1.0,
        "ctc": 0.3,
        "ctc_until": 100,
        "dtype": "float32",
        "log_every": 1,
        "save_every": 2,
        "plan": PLAN,
    }
    return Recipe(Schedule(steps, 1e-3, warmup_steps=2), **(settings | changes))  # type: ignore[arg-type]


def test_one_batch_overfits(corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro) -> None:
    plan = BatchPlan(long_padding=0, timestamps=0, bpe_dropout=0, augmentation=augment.NONE)
    batch = SpeechDataset(corpus, manifest.read(corpus), tokenizer, plan, n_mels=80)[[(0, 0), (1, 0), (2, 0), (3, 0)]]
    objective = Objective(model, _recipe(1, label_smoothing=0.0))
    optimizer = FlatAdamW(objective.parameters())
    first = None
    for _ in range(150):
        loss, parts = objective(batch, 0)
        first = first or {name: value.item() for name, value in parts.items()}
        loss.backward()
        optimizer.step(3e-3)
    assert first is not None
    assert parts["asr"].item() < 0.1 * first["asr"]
    assert parts["mel"].item() < 0.5 * first["mel"]


def test_with_the_tap_in_the_encoder_the_mel_loss_reaches_the_layers_below_it_and_none_above(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro
) -> None:
    model.config = replace(model.config, tap="encoder.1")
    batch = SpeechDataset(corpus, manifest.read(corpus), tokenizer, PLAN, n_mels=80)[[(0, 0), (1, 0), (2, 0)]]
    _, parts = Objective(model, _recipe(1))(batch, 0)
    parts["mel"].backward()
    encoder = model.whisper.model.encoder
    assert encoder.conv1.weight.grad is not None
    assert encoder.layers[0].fc1.weight.grad is not None
    assert encoder.layer_norm.weight.grad is None
    assert model.whisper.model.decoder.layers[0].fc1.weight.grad is None


def test_a_frozen_encoders_tap_has_no_mel_loss(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro, tmp_path: Path
) -> None:
    model.config = replace(model.config, tap="encoder.1")
    with pytest.raises(TrainingError, match="frozen"):
        train(model, tokenizer, corpus, tmp_path, _recipe(3, ctc=0.0, decoder_clips=4))


def test_the_mel_loss_can_be_of_a_share_of_the_clips(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro
) -> None:
    heard: list[int] = []
    assert model.reconstructor is not None
    model.reconstructor.register_forward_pre_hook(lambda _, inputs: heard.append(len(inputs[0])))
    dataset = SpeechDataset(corpus, manifest.read(corpus), tokenizer, PLAN, n_mels=80)
    batch = dataset[[(0, 0), (1, 0), (2, 0), (3, 0)]]
    for share in (1.0, 0.5, 0.01):
        Objective(model, _recipe(1, mel_share=share))(batch, 0)
    assert heard == [4, 2, 1]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_decoder_alone_can_learn_from_a_frozen_encoder(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro, tmp_path: Path, dtype: str
) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recipe = _recipe(3, mel=0.0, ctc=0.0, decoder_clips=4, dtype=dtype)
    train(model, tokenizer, corpus, tmp_path, recipe)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert "whisper.model.decoder.layers.0.fc1.weight" in moved
    assert all(name.startswith(("whisper.model.decoder.", "whisper.proj_out.")) for name in moved)


def test_a_finished_run_encodes_nothing_again(
    corpus: Path,
    tokenizer: PreTrainedTokenizerFast,
    model: WhisperPro,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = _recipe(2, mel=0.0, ctc=0.0, decoder_clips=4)
    train(model, tokenizer, corpus, tmp_path, recipe)
    finished = (tmp_path / "checkpoint.safetensors").read_bytes()
    monkeypatch.setattr("textpro.training.whisperpro.Memories", None)
    train(model, tokenizer, corpus, tmp_path, recipe)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == finished


def test_a_frozen_encoder_has_no_loss_of_its_own(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="must be 0"):
        train(model, tokenizer, corpus, tmp_path, _recipe(3, mel=0.0, decoder_clips=4))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_behind_a_frozen_encoder_the_mel_loss_trains_decoder_and_reconstructor(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro, tmp_path: Path, dtype: str
) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, tokenizer, corpus, tmp_path, _recipe(3, ctc=0.0, decoder_clips=4, dtype=dtype))
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {"reconstructor.head.0.weight", "whisper.model.decoder.layers.0.fc1.weight"} <= moved
    assert not any("whisper.model.encoder." in name for name in moved)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_above_the_tap_training_leaves_the_prosody_as_it_is(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro, tmp_path: Path, dtype: str
) -> None:
    batch = SpeechDataset(corpus, manifest.read(corpus), tokenizer, PLAN, n_mels=80)[[(0, 0), (1, 0)]]
    before = model.eval()(batch.mel, batch.tokens)
    train(
        model, tokenizer, corpus, tmp_path, _recipe(3, mel=0.0, ctc=0.0, decoder_clips=4, above_tap=True, dtype=dtype)
    )
    after = model.eval()(batch.mel, batch.tokens)
    torch.testing.assert_close(after.states, before.states, rtol=0, atol=0)
    assert (after.logits - before.logits).abs().max() > 1e-3


@pytest.mark.parametrize("losses", [{"mel": 1.0, "ctc": 0.0, "decoder_clips": 4}, {"mel": 0.0, "ctc": 0.0}])
def test_above_the_tap_is_refused_where_it_makes_no_sense(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro, tmp_path: Path, losses: dict[str, float]
) -> None:
    with pytest.raises(TrainingError, match="above"):
        train(model, tokenizer, corpus, tmp_path, _recipe(3, above_tap=True, **losses))


def test_memories_come_again_in_another_order_and_where_a_run_stopped(
    corpus: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    dataset = SpeechDataset(corpus, manifest.read(corpus), tokenizer, PLAN, n_mels=80)
    encoded: list[int] = []

    def memories(first_step: int) -> list[int]:
        loader = DataLoader(dataset, batch_size=None, sampler=[[(i, i)] for i in range(6)])
        made = Memories(loader, lambda b: encoded.append(1) or b.mel, n_clips=5, seed=1, first_step=first_step)
        return [int(batch.memory.sum() * 1000) for batch in islice(made, 10 - first_step)]  # type: ignore[union-attr]

    whole = memories(0)
    assert len(encoded) == 5
    assert sorted(whole[:5]) == sorted(whole[5:])
    assert whole[:5] != whole[5:]
    assert memories(3) == whole[3:]


def test_a_run_resumes_as_if_it_had_never_stopped(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro, tmp_path: Path
) -> None:
    start = {name: value.clone() for name, value in model.state_dict().items()}
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.1  # what is dropped must come again too

    def run(out: Path, *stops: int) -> dict[str, torch.Tensor]:
        model.load_state_dict(start)
        for stop in stops:
            train(model, tokenizer, corpus, out, _recipe(6), stop_after=stop)
        return {name: value.clone() for name, value in model.state_dict().items()}

    whole, halves = run(tmp_path / "a", 6), run(tmp_path / "b", 3, 6)
    for name, value in whole.items():
        assert torch.equal(halves[name], value), name


def test_a_branch_that_would_train_nothing_is_refused(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro, tmp_path: Path
) -> None:
    train(model, tokenizer, corpus, tmp_path / "a", _recipe(2))
    with pytest.raises(TrainingError, match="was saved at update 2"):
        train(model, tokenizer, corpus, tmp_path / "b", _recipe(2), resume=tmp_path / "a" / "checkpoint.safetensors")


@pytest.mark.parametrize("content", [None, b"", b"cut off"])
def test_what_is_no_checkpoint_is_named(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content) if content is not None else save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(TrainingError, match=r"model\.safetensors is no checkpoint"):
        train(model, tokenizer, corpus, tmp_path / "out", _recipe(2), resume=path)


def test_a_tap_that_a_fresh_model_has_not_is_refused_before_it_trains(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer.save_pretrained(str(tmp_path / "tokenizer"))
    where = ["--manifest", str(corpus), "--tokenizer", str(tmp_path / "tokenizer"), "--out", str(tmp_path / "run")]
    size = ["--width", "64", "--encoder-layers", "1", "--decoder-layers", "2", "--steps", "2"]
    assert main(["train", "whisperpro", *where, *size, "--tap", "decoder.9"]) == 1
    assert "--tap is decoder.9; the decoder has 2 layers" in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_metrics_are_json_lines_with_each_loss(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro, tmp_path: Path
) -> None:
    train(model, tokenizer, corpus, tmp_path, _recipe(4, mel_from=2))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert ["mel" in row for row in rows] == [False, False, True, True]


def test_training_without_clips_says_so(tokenizer: PreTrainedTokenizerFast, model: WhisperPro, tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text("")
    with pytest.raises(TrainingError, match="no clips"):
        train(model, tokenizer, tmp_path / "manifest.jsonl", tmp_path, _recipe(1))


def test_recordings_longer_than_the_window_are_left_out(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro, tmp_path: Path
) -> None:
    long = [replace(clip, duration_s=30.5) for clip in manifest.read(corpus)]
    manifest.write(tmp_path / "manifest.jsonl", long)
    with pytest.raises(TrainingError, match="at most 30 s"):
        train(model, tokenizer, tmp_path / "manifest.jsonl", tmp_path, _recipe(1))


def test_a_bfloat16_run_leaves_the_exact_weights_of_its_checkpoint(
    corpus: Path, tokenizer: PreTrainedTokenizerFast, model: WhisperPro, tmp_path: Path
) -> None:
    recipe = _recipe(2, ctc=0.0, dtype="bfloat16")
    train(model, tokenizer, corpus, tmp_path, recipe)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    saved = FlatAdamW(Objective(model, recipe).parameters())
    reached = saved.master.clone()
    assert load_checkpoint(tmp_path / "checkpoint.safetensors", saved) == 2
    torch.testing.assert_close(saved.master, reached, rtol=0, atol=0)


def test_reading_clips_in_workers_gives_the_same_batches(corpus: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    dataset = SpeechDataset(corpus, manifest.read(corpus), tokenizer, BatchPlan(seed=5), n_mels=80)
    drawn = [[(0, 0), (1, 0)], [(2, 1)]]
    alone = [dataset[d].mel for d in drawn]
    workers = [batch.mel for batch in DataLoader(dataset, batch_size=None, sampler=drawn, num_workers=1)]
    for a, b in zip(alone, workers, strict=True):
        torch.testing.assert_close(a, b)
