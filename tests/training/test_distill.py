import dataclasses
import json
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from textpro import bundle as bundles
from textpro.audio import SAMPLE_RATE
from textpro.config import BundleConfig
from textpro.data import manifest, turns
from textpro.data.corpora.user_text import UserText
from textpro.data.manifest import Clip
from textpro.data.questionnaire import ask
from textpro.data.synthesis import Job
from textpro.data.turns import ProsodyStore, TurnsError
from textpro.data.voices import Delivery, Voice
from textpro.decoding import DecodingOptions, SpeechDecoder
from textpro.errors import TrainingError
from textpro.guards import OFF
from textpro.training.distill import SOURCES, Source, distill, hear, record
from textpro.training.teachers import Reply, Sampling
from textpro.training.whisperpro import FreshModel, fresh_whisper

VOICE = Voice("espeak-ng", "gmw/en", "en-gb", "male", "plain")
DELIVERY = Delivery("neutral", 50, 50, 175, 100)
TEXTS = [UserText(f"text/{i}", f"What is number {i}?") for i in range(10)]
JOBS = [Job(i, text.text, VOICE, DELIVERY) for i, text in enumerate(TEXTS)]
SILENT = 3


class Parrot:
    """A teacher that says what it was asked, and breaks after so many calls."""

    name = "parrot"
    sampling = Sampling()

    def __init__(self, calls: int = 1000) -> None:
        self.calls = calls

    def answer(self, texts: Sequence[str]) -> list[Reply]:
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        return [Reply(f"<{text}>", finished=True) for text in texts]


def tone(job: Job) -> np.ndarray:
    """A buzz of another pitch and length for each job; nothing for one of them."""
    t = np.arange(SAMPLE_RATE // 2 + 1000 * (job.index % 3)) / SAMPLE_RATE
    waves = sum(np.sin(2 * np.pi * k * (100 + 10 * job.index) * t) / k for k in range(1, 9))
    return np.zeros(0, np.int16) if job.index == SILENT else (6000 * waves).astype(np.int16)


@pytest.fixture(scope="module")
def decoder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> SpeechDecoder:
    """An untrained encoder that refuses nothing and writes some words about any sound."""
    torch.manual_seed(0)
    whisper = fresh_whisper(FreshModel(width=32, n_heads=2, encoder_layers=1, decoder_layers=2), tokenizer).eval()
    with torch.no_grad():
        for weight in whisper.parameters():
            weight.mul_(3.0) if weight.dim() > 1 else weight.add_(torch.randn_like(weight) * 0.1)
    vocabulary = tokenizer.get_vocab()
    end = vocabulary["<|endoftext|>"]
    whisper.generation_config.suppress_tokens = list(range(end + 1, whisper.config.vocab_size))
    folder = tmp_path_factory.mktemp("bundle")
    bundle = bundles.save(folder, whisper, tokenizer, BundleConfig("tiny", "decoder.1", variable_length=True))
    options = DecodingOptions(guards=OFF, tokens_per_second=4, tokens_at_least=4)
    return SpeechDecoder.load(bundle, cache=tmp_path_factory.mktemp("cache"), options=options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("source", SOURCES)
def test_the_student_reads_and_the_teacher_answers_the_text_that_the_source_names(
    source: Source, decoder: SpeechDecoder, tmp_path: Path
) -> None:
    distill(TEXTS, JOBS, tmp_path, decoder, Parrot(), source=source, speak=tone)
    heard = {job.index: hear(decoder, [tone(job).astype(np.float32) / 32768])[0] for job in JOBS if job.index != SILENT}
    made = turns.read(tmp_path)
    assert len(made) >= 8
    for turn in made:
        job = JOBS[int(turn.id.removeprefix("text/"))]
        assert heard[job.index].text != job.text
        assert turn.transcript == (job.text if source.startswith("GTQ") else heard[job.index].text)
        assert turn.asked == (job.text if source == "ASRQ_GTA" else "")
        assert turn.answer == f"<{job.text if source.endswith('GTA') else heard[job.index].text}>"
        torch.testing.assert_close(ProsodyStore(tmp_path)[turn.prosody], heard[job.index].prosody.half())


def test_what_makes_no_turn_is_counted(decoder: SpeechDecoder, tmp_path: Path) -> None:
    class Rambler(Parrot):
        def answer(self, texts: Sequence[str]) -> list[Reply]:
            return [Reply("And so on and", finished=i > 0) for i, _ in enumerate(texts)]

    dropped = distill(TEXTS, JOBS, tmp_path, decoder, Rambler(), speak=tone)
    assert (dropped["no speech"], dropped["no answer"]) == (1, 1)
    assert len(turns.read(tmp_path)) == len(TEXTS) - sum(dropped.values())


def test_texts_that_are_too_long_are_counted_as_such_and_the_longest_not_even_spoken(
    decoder: SpeechDecoder, tmp_path: Path
) -> None:
    texts = [*TEXTS[:2], UserText("endless", "and so on " * 201)]
    spoken: list[int] = []

    def slow(job: Job) -> np.ndarray:
        spoken.append(job.index)
        return np.zeros(29 * SAMPLE_RATE, np.int16) if job.index == 1 else tone(job)

    dropped = distill(texts, JOBS[:3], tmp_path, decoder, Parrot(), speak=slow)
    assert (dropped["too long"], dropped["no speech"]) == (2, 0)
    assert spoken == [0, 1]


def test_an_interrupted_run_goes_on_to_the_folder_of_an_uninterrupted_one(
    decoder: SpeechDecoder, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    counted = distill(TEXTS, JOBS, whole, decoder, Parrot(), speak=tone, shard=3)
    with pytest.raises(KeyboardInterrupt):
        distill(TEXTS, JOBS, broken, decoder, Parrot(calls=2), speak=tone, shard=3)
    assert len(turns.read(broken)) < len(turns.read(whole))
    assert distill(TEXTS, JOBS, broken, decoder, Parrot(calls=2), speak=tone, shard=3) == counted
    assert contents(broken) == contents(whole)


def test_a_shard_that_was_half_written_is_completed(decoder: SpeechDecoder, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        distill(TEXTS[:6], JOBS[:6], folder, decoder, Parrot(), speak=tone, shard=6)
    # As a process leaves it that dies while it writes the lines.
    lines = (broken / "turns.jsonl").read_text()
    (broken / "turns.jsonl").write_text(lines[: len(lines) // 2])
    state = json.loads((broken / "run.json").read_text())
    (broken / "run.json").write_text(json.dumps(state | {"shards": 0, "dropped": {}}))
    distill(TEXTS[:6], JOBS[:6], broken, decoder, Parrot(), speak=tone, shard=6)
    assert contents(broken) == contents(whole)


def test_a_shard_that_was_not_whole_is_heard_and_answered_anew(decoder: SpeechDecoder, tmp_path: Path) -> None:
    class Changed(Parrot):
        def answer(self, texts: Sequence[str]) -> list[Reply]:
            return [Reply("Something else.", finished=True) for _ in texts]

    distill(TEXTS, JOBS, tmp_path, decoder, Parrot(), speak=tone, shard=6)
    # As a process leaves it that dies behind the lines of its second shard.
    state = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(state | {"shards": 1}))
    distill(TEXTS, JOBS, tmp_path, decoder, Changed(), speak=tone, shard=6)
    made = turns.read(tmp_path)
    assert len({turn.id for turn in made}) == len(made)
    assert {turn.prosody[:5] for turn in made if turn.answer == "Something else."} == {"00001"}
    assert {turn.prosody[:5] for turn in made if turn.answer != "Something else."} == {"00000"}


def test_a_finished_run_is_not_made_again(decoder: SpeechDecoder, tmp_path: Path) -> None:
    distill(TEXTS, JOBS, tmp_path, decoder, Parrot(), speak=tone)
    before = contents(tmp_path)
    distill(TEXTS, JOBS, tmp_path, decoder, Parrot(calls=0), speak=tone)
    assert contents(tmp_path) == before


def test_a_folder_of_another_run_is_refused(decoder: SpeechDecoder, tmp_path: Path) -> None:
    distill(TEXTS, JOBS, tmp_path, decoder, Parrot(), speak=tone)
    with pytest.raises(TurnsError, match="another run"):
        distill(TEXTS, JOBS, tmp_path, decoder, Parrot(), speak=tone, source="GTQ_GTA")
    with pytest.raises(TurnsError, match="another run"):
        distill(TEXTS[:5], JOBS[:5], tmp_path, decoder, Parrot(), speak=tone)


def test_texts_that_share_an_id_are_refused(decoder: SpeechDecoder, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="1 ids are those of several texts, such as 'text/0'"):
        distill([*TEXTS, TEXTS[0]], [*JOBS, JOBS[0]], tmp_path, decoder, Parrot(), speak=tone)


@pytest.fixture
def labelled(corpus: Path) -> tuple[Path, list[Clip]]:
    """The corpus of tones, with labels."""
    clips = [
        dataclasses.replace(
            clip, labels={"gender": ("female", "male")[i % 2], "style": ("calm", "sad", "angry")[i % 3]}
        )
        for i, clip in enumerate(manifest.read(corpus))
    ]
    return corpus, clips


def test_recorded_clips_are_asked_with_their_own_prosody(
    labelled: tuple[Path, list[Clip]], decoder: SpeechDecoder, tmp_path: Path
) -> None:
    path, clips = labelled
    asked = ask(clips, split="train", per_clip=3, seed=0)
    dropped = record(path, clips, asked, tmp_path, decoder, shard=5)
    made = turns.read(tmp_path)
    store = ProsodyStore(tmp_path)
    assert len(made) == len(asked) - sum(one.clip not in {int(t.id.split("#")[0]) for t in made} for one in asked)
    assert sum(dropped.values()) == len(clips) - len({turn.prosody for turn in made})
    assert len({turn.id for turn in made}) == len(made)
    for turn in made:
        clip = turn.id.split("#")[0]
        assert turn.prosody.endswith(f"/{clip}")
        assert store[turn.prosody].shape[1] == decoder.width
    by_clip = {(int(turn.id.split("#")[0]), turn.question, turn.answer) for turn in made}
    assert by_clip <= {(one.clip, one.question, one.answer) for one in asked}


def test_recordings_that_cannot_be_heard_are_counted(
    labelled: tuple[Path, list[Clip]], decoder: SpeechDecoder, tmp_path: Path
) -> None:
    path, clips = labelled
    (tmp_path / "broken.wav").write_bytes(b"not audio at all" * 100)
    with wave.open(str(tmp_path / "long.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(bytes(65 * 16_000))
    clips[2], clips[7] = (
        dataclasses.replace(clips[i], audio=str(tmp_path / name)) for i, name in ((2, "broken.wav"), (7, "long.wav"))
    )
    asked = ask(clips, split="train", per_clip=8, seed=0)
    assert {2, 7} <= {one.clip for one in asked}
    out = tmp_path / "out"
    dropped = record(path, clips, asked, out, decoder, shard=5)
    assert (dropped["unreadable"], dropped["too long"]) == (1, 1)
    made = turns.read(out)
    assert made
    assert not {"2", "7"} & {turn.id.partition("#")[0] for turn in made}


def test_clips_that_share_an_id_are_refused(
    labelled: tuple[Path, list[Clip]], decoder: SpeechDecoder, tmp_path: Path
) -> None:
    path, clips = labelled
    twice = [*clips, clips[0]]
    asked = ask(twice, split="train", per_clip=3, seed=0)
    with pytest.raises(TrainingError, match="1 ids are those of several clips, such as '0'"):
        record(path, twice, asked, tmp_path, decoder)


def test_a_voice_alone_has_its_prosody_and_no_words(
    labelled: tuple[Path, list[Clip]], decoder: SpeechDecoder, tmp_path: Path
) -> None:
    path, clips = labelled
    asked = ask(clips, split="train", per_clip=1, seed=0)
    record(path, clips, asked, tmp_path / "alone", decoder, transcripts=False)
    record(path, clips, asked, tmp_path / "spoken", decoder)
    alone, spoken = turns.read(tmp_path / "alone"), turns.read(tmp_path / "spoken")
    assert alone == [dataclasses.replace(turn, transcript="") for turn in spoken]
    assert any(turn.transcript for turn in spoken)


def test_an_interrupted_recording_goes_on_to_the_same_folder(
    labelled: tuple[Path, list[Clip]], decoder: SpeechDecoder, tmp_path: Path
) -> None:
    path, clips = labelled
    asked = ask(clips, split="train", per_clip=3, seed=0)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    record(path, clips, asked, whole, decoder, shard=5)
    missing = [dataclasses.replace(clip, audio="missing.wav") if i > 6 else clip for i, clip in enumerate(clips)]
    with pytest.raises(OSError, match=r"missing\.wav"):
        record(path, missing, asked, broken, decoder, shard=5)
    assert len(turns.read(broken)) < len(turns.read(whole))
    record(path, clips, asked, broken, decoder, shard=5)
    assert contents(broken) == contents(whole)
