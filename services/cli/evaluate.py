"""Measures a bundle: word error rate on a corpus with a manifest, or how much of the voice its prosody holds."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line must stay instant
    from textpro.decoding import SpeechDecoder
    from textpro.evaluation.transcribers import Transcriber

ENGINES = ("textpro", "faster-whisper", "pytorch")
LABELS = ("engine", "held_out", "accent")
PROBED = ("gender", "accent", "pitch", "rate")


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro evaluate`'s arguments."""
    measures = parser.add_subparsers(metavar="MEASURE", required=True)
    wer = measures.add_parser("wer", help="word error rate, in whole and by label")
    _add_common(wer)
    wer.add_argument("--engine", choices=ENGINES, default="textpro", help="textpro: as served; the others judge it")
    wer.add_argument("--snr", type=float, metavar="DB", help="add white noise at this ratio")
    wer.add_argument("--by", action="append", metavar="LABEL", help=f"default: {', '.join(LABELS)}")
    wer.set_defaults(run=run_wer)
    probing = measures.add_parser("probing", help="small classifiers on pooled prosody (paper 4.1)")
    _add_common(probing)
    probing.add_argument("--label", action="append", metavar="LABEL", help=f"default: {', '.join(PROBED)}")
    probing.add_argument("--hidden", type=int, help="width of a hidden layer (default: none, a linear probe)")
    probing.set_defaults(run=run_probing)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.jsonl of the corpus")
    parser.add_argument(
        "--bundle", default="embedded", help="embedded, a directory or a hub name (default: %(default)s)"
    )
    parser.add_argument("--compute-type", default="float32", help="CTranslate2's arithmetic (default: %(default)s)")
    parser.add_argument("--beam-size", type=int, default=1, help="1 is the greedy search (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, metavar="N", help="a random choice of so many clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")


def run_wer(args: argparse.Namespace) -> int:
    """Prints the table."""
    from textpro.evaluation.wer import evaluate

    transcriber = _transcriber(args)
    report = evaluate(
        args.manifest, transcriber, by=args.by or LABELS, snr_db=args.snr, limit=args.limit, seed=args.seed
    )
    print(report.table())
    _write(args, {score.label: asdict(score) | {"wer": score.wer} for score in report.scores})
    return 0


def run_probing(args: argparse.Namespace) -> int:
    """Prints one row a label: accuracy, its deviation over the runs, the chance level."""
    from textpro.evaluation.probing import ProbeConfig, pooled_prosody, probe

    features, clips = pooled_prosody(args.manifest, _decoder(args), limit=args.limit, seed=args.seed)
    results = {}
    print(f"{'label':<14}{'accuracy':>9}{'±':>7}{'chance':>8}{'clips':>8}{'classes':>9}")
    for label in args.label or PROBED:
        rows = [i for i, clip in enumerate(clips) if label in clip.labels]
        found = probe(features[rows], [clips[i].labels[label] for i in rows], ProbeConfig(hidden=args.hidden))
        print(
            f"{label:<14}{found.accuracy:>9.1%}{found.deviation:>7.1%}{found.chance:>8.1%}{found.clips:>8}{found.classes:>9}"
        )
        results[label] = asdict(found)
    _write(args, results)
    return 0


def _transcriber(args: argparse.Namespace) -> "Transcriber":
    from services.encoder.settings import EncoderSettings
    from textpro.bundle import Bundle
    from textpro.evaluation.transcribers import FasterWhisper, TorchWhisper

    if args.engine == "textpro":
        return _decoder(args)
    bundle = Bundle.load(args.bundle)
    if args.engine == "pytorch":
        return TorchWhisper(bundle, beam_size=args.beam_size)
    return FasterWhisper(
        bundle,
        cache=EncoderSettings.load().cache,
        compute_type=args.compute_type,
        threads=args.threads,
        beam_size=args.beam_size,
    )


def _decoder(args: argparse.Namespace) -> "SpeechDecoder":
    from services.encoder.settings import EncoderSettings
    from textpro.bundle import Bundle
    from textpro.decoding import DecodingOptions, SpeechDecoder

    return SpeechDecoder.load(
        Bundle.load(args.bundle),
        cache=EncoderSettings.load().cache,
        compute_type=args.compute_type,
        threads=args.threads,
        options=DecodingOptions(beam_size=args.beam_size),
    )


def _write(args: argparse.Namespace, numbers: Mapping[str, object]) -> None:
    if args.json is not None:
        head = {"bundle": args.bundle, "manifest": str(args.manifest), "limit": args.limit, "seed": args.seed}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(head | {"results": numbers}, indent=2) + "\n")
