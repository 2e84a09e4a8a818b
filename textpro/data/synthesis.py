"""A corpus of synthetic speech: sentences spoken by many voices in several styles, and a manifest of it all."""

import itertools
import multiprocessing
import random
import wave
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from textpro.data import manifest
from textpro.data.ages import Age
from textpro.data.manifest import Clip
from textpro.data.room import Room
from textpro.data.speech_engines import SAMPLE_RATE, SynthesisError, engine, engine_pitch
from textpro.data.voices import CHILD, STYLES, Delivery, Style, Voice, held_out

MAX_DURATION_S = 28.0
EDGE_SILENCE_S = 0.15
SILENCE_OF_PEAK = 0.01
CLIPS_PER_FOLDER = 1_000
CLIPS_PER_TASK = 100


@dataclass(frozen=True)
class Job:
    """One clip to be made: the index decides everything else, given the sentences, the voices and the seed."""

    index: int
    text: str
    voice: Voice
    delivery: Delivery
    age: Age | None = None
    room: Room | None = None

    @property
    def id(self) -> str:
        """The clip's number in six digits."""
        return f"{self.index:06d}"

    def labels(self) -> dict[str, str | float]:
        """What is known about how the clip sounds; `held_out` is there only for voices that training never hears."""
        voice, delivery = self.voice, self.delivery
        labels: dict[str, str | float] = {
            "engine": voice.engine,
            "voice": voice.name,
            "accent": voice.accent,
            "gender": voice.gender,
            "variant": voice.variant,
            "style": delivery.style,
            "pitch": engine_pitch(voice, delivery),
            "rate": delivery.rate_bin(),
            "rate_wpm": float(delivery.rate_wpm),
        }
        if delivery.break_ms and voice.engine == "espeak-ng":  # the others speak on
            labels["break_ms"] = float(delivery.break_ms)
            labels["words_per_break"] = float(delivery.words_per_break)
        if self.room is not None:
            labels["room_s"] = round(self.room.before_s + self.room.after_s, 3)
        if kind := held_out(voice):
            labels["held_out"] = kind
        if self.age is not None:
            labels["age_group"] = self.age.name
            if self.age.name == CHILD:
                del labels["gender"]  # nobody could tell
        return labels


def speak(text: str, voice: Voice, delivery: Delivery) -> np.ndarray:
    """Speak one sentence: int16 samples (T,) at 16 kHz. Raises `SynthesisError` when the voice's engine is missing."""
    return engine(voice.engine).speak(text, voice, delivery)


def say(job: Job) -> np.ndarray:
    """Speak a job's sentence, trimmed: int16 (T,), empty without sound. Raises `SynthesisError`."""
    if job.age is None:
        samples = trim(speak(job.text, job.voice, job.delivery))
    else:
        samples = trim(job.age.put_on(speak(job.text, job.voice, job.age.slowed(job.delivery))))
    if job.room is not None and len(samples):
        samples = job.room.around(samples)
    return samples


def synthesize(
    sentences: Iterable[str],
    voices: Sequence[Voice],
    out: Path,
    *,
    clips: int,
    seed: int,
    workers: int,
    flite_share: float = 0.06,
    deliveries: Sequence[Style] = STYLES,
    ages: Sequence[str] = (),
    breaks: bool = False,
    room_s: float = 0.0,
) -> Path:
    """Speak `clips` sentences into `out/audio` (16 kHz mono PCM16 WAV) and return the path of `out/manifest.jsonl`.

    The sentences are taken in order, from the start again when they run out. A clip's voice and delivery depend on
    the seed and the clip's number alone, so any number of workers makes the same corpus, and a run that was
    interrupted continues where it stopped. Clips without sound or longer than 28 s are left out. The rest is as in
    `plan`.

    Raises `SynthesisError` when an engine is missing or `out` holds clips of another run.
    """
    planned = plan(
        sentences,
        voices,
        clips=clips,
        seed=seed,
        flite_share=flite_share,
        deliveries=deliveries,
        ages=ages,
        breaks=breaks,
        room_s=room_s,
    )
    jobs = list(planned)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "manifest.jsonl"
    _make_missing(path, jobs, workers)
    # Batches end in any order; sorted, the file is the same for any number of workers.
    manifest.write(path, sorted(manifest.read(path) if path.exists() else [], key=lambda clip: clip.id))
    return path


def plan(
    sentences: Iterable[str],
    voices: Sequence[Voice],
    *,
    clips: int,
    seed: int,
    flite_share: float = 0.06,
    deliveries: Sequence[Style] = STYLES,
    ages: Sequence[str] = (),
    breaks: bool = False,
    room_s: float = 0.0,
) -> Iterator[Job]:
    """Decide every clip of a corpus: its sentence, voice and delivery. Makes no sound.

    `flite_share` is the part of the clips that flite speaks where the voices are of both engines. Men and women speak
    equally often, although the catalogue has more men. `ages` are names of `voices.AGES` to draw from; a child's voice
    is made of a woman's. With `breaks` the styles differ in their pauses too, where the engine is espeak-ng; all else
    is drawn alike with and without. So it is with `room_s`, the longest silence before a clip, and after it (room.py).
    Raises `ValueError` without sentences, voices or deliveries.
    """
    texts = list(itertools.islice(sentences, clips))
    if not (texts and voices and deliveries):
        raise ValueError("synthesis needs at least one clip, sentence, voice and delivery")
    flite = _by_gender(voice for voice in voices if voice.engine == "flite")
    others = _by_gender(voice for voice in voices if voice.engine != "flite")
    for index in range(clips):
        rng = random.Random(f"{seed}/{index}")
        genders = (flite or others) if rng.random() < flite_share else (others or flite)
        voice, style = rng.choice(rng.choice(genders)), rng.choice(deliveries)
        delivery = style.draw(rng)
        if breaks:
            delivery = style.paused(delivery, random.Random(f"{seed}/{index}/breaks"))
        age = Age.draw(rng.choice(ages), rng) if ages else None
        if age is not None and age.name == CHILD:
            voice = rng.choice(next((group for group in genders if group[0].gender == "female"), genders[0]))
        room = Room.draw(room_s, random.Random(f"{seed}/{index}/room")) if room_s else None
        yield Job(index, texts[index % len(texts)], voice, delivery, age, room)


def trim(samples: np.ndarray) -> np.ndarray:
    """Cut the near-silence before and after the speech to at most 0.15 s: (T,) -> (T',), empty if all is silent."""
    level = np.abs(samples.astype(np.int32))
    loud = np.flatnonzero(level > max(1.0, SILENCE_OF_PEAK * level.max(initial=0)))
    if not loud.size:
        return samples[:0]
    edge = int(EDGE_SILENCE_S * SAMPLE_RATE)
    return samples[max(0, int(loud[0]) - edge) : int(loud[-1]) + 1 + edge]


def _by_gender(voices: Iterable[Voice]) -> list[list[Voice]]:
    groups: dict[str, list[Voice]] = {}
    for voice in voices:
        groups.setdefault(voice.gender, []).append(voice)
    return list(groups.values())


def _resume(path: Path, jobs: Sequence[Job]) -> set[str]:
    if not path.exists():
        return set()
    manifest.drop_torn_line(path)
    planned = {job.id: (job.text, job.labels()) for job in jobs}
    done = manifest.read(path)
    for clip in done:
        if planned.get(clip.id) != (clip.text, clip.labels):
            raise SynthesisError(
                f"{path} holds clip {clip.id} of another run (other sentences, voices, seed or number of clips); "
                "choose an empty folder or repeat that run's arguments"
            )
    return {clip.id for clip in done}


def _make_missing(path: Path, jobs: Sequence[Job], workers: int) -> None:
    out, done = path.parent, _resume(path, jobs)
    todo = [job for job in jobs if job.id not in done]
    for name in {job.voice.engine for job in todo}:
        engine(name)
    for folder in {_audio_path(job).parent for job in todo}:
        (out / folder).mkdir(parents=True, exist_ok=True)
    tasks = [(out, todo[start : start + CLIPS_PER_TASK]) for start in range(0, len(todo), CLIPS_PER_TASK)]
    with tqdm(total=len(jobs), initial=len(jobs) - len(todo), unit="clip") as progress:
        for n_jobs, made in _run(tasks, workers):
            manifest.append(path, made)
            progress.update(n_jobs)


def _run(tasks: Sequence[tuple[Path, Sequence[Job]]], workers: int) -> Iterator[tuple[int, list[Clip]]]:
    if workers <= 1:
        for out, batch in tasks:
            yield len(batch), _make(out, batch)
        return
    # Spawned, because espeak-ng's state does not survive a fork; an executor, because it notices a dead worker.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        futures = {pool.submit(_make, out, batch): len(batch) for out, batch in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _make(out: Path, jobs: Sequence[Job]) -> list[Clip]:
    clips = (_make_clip(out, job) for job in jobs)
    return [clip for clip in clips if clip is not None]


def _make_clip(out: Path, job: Job) -> Clip | None:
    samples = say(job)
    if not 0 < len(samples) <= MAX_DURATION_S * SAMPLE_RATE:
        return None
    audio = _audio_path(job)
    with wave.open(str(out / audio), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())
    return Clip(job.id, audio.as_posix(), job.text, round(len(samples) / SAMPLE_RATE, 3), job.labels())


def _audio_path(job: Job) -> Path:
    return Path("audio", f"{job.index // CLIPS_PER_FOLDER:03d}", f"{job.id}.wav")
