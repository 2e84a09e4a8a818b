"""What prosody costs: one run, same weights, one thread count, batch 1, the beam that is served.

ours        transcript and prosody, CTranslate2 and the tap (textpro.decoding)
ours-30s    the same, every utterance padded to Whisper's 30 s window
faster      stock faster-whisper, transcript alone (it always pads to the window)
torch       PyTorch on the same length as ours: transformers' generate, then the full model's states
torch-30s   the same on the 30 s window, which stock transformers insists on

    python -m bench.encoder --bundle embedded --manifest data/test/manifest.jsonl --limit 50 --out encoder.json
"""

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from services.encoder import SERVED_BEAM_SIZE
from textpro.audio import SAMPLE_RATE
from textpro.bundle import Bundle
from textpro.data.manifest import Clip, read, resolve
from textpro.decoding import DecodingOptions, SpeechDecoder
from textpro.evaluation.transcribers import FasterWhisper, TorchWhisper
from textpro.evaluation.wer import word_errors, words
from textpro.guards import OFF
from textpro.training.batches import read_pcm

MAX_PROSODY_ERROR = 1e-3
Heard = tuple[str, np.ndarray | None]


def main() -> int:
    arguments = _parse()
    bundle = Bundle.load(arguments.bundle)
    bundle = bundle.tapped(arguments.tap) if arguments.tap else bundle
    clips = _choose(read(arguments.manifest), arguments.limit)
    audio = [read_pcm(resolve(arguments.manifest, clip)) for clip in clips]
    systems = _systems(bundle, arguments.cache, arguments.threads, arguments.beam_size)
    runs = _run(systems, audio)
    report = _report(runs, clips, audio)
    report |= {
        "bundle": bundle.config.name,
        "tap": bundle.config.tap,
        "fingerprint": bundle.fingerprint,
        "threads": arguments.threads,
    }
    _print(report)
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if report["prosody_error"] <= MAX_PROSODY_ERROR else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="embedded")
    parser.add_argument("--tap", help="read prosody elsewhere, such as decoder.2 (default: the bundle's tap)")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "textpro")
    parser.add_argument(
        "--beam-size", type=int, default=SERVED_BEAM_SIZE, help="of all; 1 is greedy (default: %(default)s, as served)"
    )
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _choose(clips: list[Clip], limit: int) -> list[Clip]:
    """Evenly spread over lengths, the same each time."""
    clips = sorted(clips, key=lambda clip: (clip.duration_s, clip.id))
    return [clips[i * len(clips) // limit] for i in range(limit)] if limit < len(clips) else clips


def _systems(bundle: Bundle, cache: Path, threads: int, beam_size: int) -> dict[str, Callable[[np.ndarray], Heard]]:
    torch.set_num_threads(threads)
    options = DecodingOptions(beam_size=beam_size, guards=OFF)  # the others have no guards either
    window = Bundle(bundle.path, dataclasses.replace(bundle.config, variable_length=False))
    ours = SpeechDecoder.load(bundle, cache=cache, threads=threads, options=options)
    ours_30s = SpeechDecoder.load(window, cache=cache, threads=threads, options=options)
    faster = FasterWhisper(bundle, cache=cache, threads=threads, beam_size=beam_size)
    reference = TorchWhisper(bundle, beam_size=beam_size)
    reference_30s = TorchWhisper(window, beam_size=beam_size)
    return {
        "ours": lambda samples: _heard(ours, samples),
        "ours-30s": lambda samples: _heard(ours_30s, samples),
        "faster": lambda samples: (faster.transcribe([samples])[0], None),
        "torch": lambda samples: _heard_by_torch(reference, samples),
        "torch-30s": lambda samples: _heard_by_torch(reference_30s, samples),
    }


def _heard(decoder: SpeechDecoder, samples: np.ndarray) -> Heard:
    (decoded,) = decoder.decode([samples])
    return decoded.text, decoded.prosody


def _heard_by_torch(whisper: TorchWhisper, samples: np.ndarray) -> Heard:
    speech = whisper.listen(samples)
    return speech.text, speech.prosody.numpy()


@dataclasses.dataclass
class _Run:
    heard: list[Heard]
    ms: list[float]


def _run(systems: dict[str, Callable[[np.ndarray], Heard]], audio: list[np.ndarray]) -> dict[str, _Run]:
    """Every utterance goes through every system before the next one, so that a busy machine is busy for all."""
    runs = {name: _Run([], []) for name in systems}
    for hear in systems.values():
        hear(audio[0])  # first calls allocate
    for samples in audio:
        for name, hear in systems.items():
            started = time.perf_counter()
            runs[name].heard.append(hear(samples))
            runs[name].ms.append((time.perf_counter() - started) * 1000)
    return runs


def _report(runs: dict[str, _Run], clips: list[Clip], audio: list[np.ndarray]) -> dict[str, Any]:
    spoken = [words(clip.text) for clip in clips]
    systems = {
        name: {
            "median_ms": statistics.median(run.ms),
            "p95_ms": float(np.quantile(run.ms, 0.95)),
            "wer": sum(word_errors(said, words(text)) for said, (text, _) in zip(spoken, run.heard, strict=True))
            / sum(map(len, spoken)),
            "same_text_as_torch": _agreement(run, runs["torch"]),
        }
        for name, run in runs.items()
    }
    ours_ms = systems["ours"]["median_ms"]
    return {
        "clips": len(clips),
        "audio_seconds": sum(map(len, audio)) / SAMPLE_RATE,
        "systems": systems,
        "over_ours": {name: row["median_ms"] / ours_ms for name, row in systems.items() if name != "ours"},
        "prosody_error": _prosody_error(runs["ours"], runs["torch"]),
    }


def _agreement(one: _Run, other: _Run) -> float:
    return statistics.mean(a == b for (a, _), (b, _) in zip(one.heard, other.heard, strict=True))


def _prosody_error(ours: _Run, reference: _Run) -> float:
    """Largest error relative to the largest value, over utterances whose texts are equal."""
    errors = [0.0]
    for (text, got), (want_text, want) in zip(ours.heard, reference.heard, strict=True):
        if text == want_text and got is not None and want is not None and got.shape == want.shape and got.size:
            errors.append(float(np.abs(got - want).max() / np.abs(want).max()))
    return max(errors)


def _print(report: dict[str, Any]) -> None:
    print(f"{report['clips']} utterances, {report['audio_seconds']:.0f} s, {report['threads']} thread(s), batch 1")
    print(f"{'system':<12}{'median ms':>11}{'p95 ms':>9}{'WER':>9}{'text = torch':>14}")
    for name, row in report["systems"].items():
        print(
            f"{name:<12}{row['median_ms']:>11.1f}{row['p95_ms']:>9.1f}{row['wer']:>8.2%}{row['same_text_as_torch']:>13.0%}"
        )
    for name, ratio in report["over_ours"].items():
        print(f"{name + ' / ours':<18}{ratio:>6.2f}x")
    print(f"prosody ({report['tap']}), largest relative error against the full model: {report['prosody_error']:.1e}")


if __name__ == "__main__":
    sys.exit(main())
