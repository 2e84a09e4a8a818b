"""Measures a bundle: word error rate, how much of the voice its prosody holds, and what its LLM makes of speech."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli import evaluate_slm, hearing
from services.cli.count import count

if TYPE_CHECKING:  # the command line must stay instant
    from textpro.evaluation.transcribers import Transcriber

ENGINES = ("textpro", "faster-whisper", "pytorch")
LABELS = ("engine", "held_out", "accent")
MEASURED = ("f0", "energy")
PROBED = ("gender", "accent", "pitch", "rate", *MEASURED)


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
    probing.add_argument(
        "--label",
        action="append",
        metavar="LABEL",
        help=f"default: those of {', '.join(PROBED)} that the corpus has; {' and '.join(MEASURED)} are measured from "
        "the audio",
    )
    probing.add_argument("--hidden", type=count, help="width of a hidden layer (default: none, a linear probe)")
    probing.set_defaults(run=run_probing)
    evaluate_slm.add(measures)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.jsonl of the corpus")
    hearing.configure(parser)
    parser.add_argument("--name", help="what tables call it (default: the bundle as it is named here)")
    parser.add_argument("--limit", type=count, metavar="N", help="a random choice of so many clips")
    parser.add_argument("--seed", type=int, default=0, help="of that choice and of noise; tells runs apart in tables")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")


def run_wer(args: argparse.Namespace) -> int:
    """Prints the table."""
    from textpro.evaluation.wer import evaluate

    transcriber = _transcriber(args)
    report = evaluate(
        args.manifest, transcriber, by=args.by or LABELS, snr_db=args.snr, limit=args.limit, seed=args.seed
    )
    print(report.table())
    numbers = {score.label: asdict(score) | {"wer": score.wer} for score in report.scores}
    _write(args, "wer", numbers, engine=args.engine, snr_db=args.snr)
    return 0


def run_probing(args: argparse.Namespace) -> int:
    """Prints one row a label: accuracy, its deviation over the runs, the chance level."""
    from textpro.errors import TrainingError
    from textpro.evaluation.probing import ProbeConfig, chosen, classes_of, measured_labels, pooled_prosody, probe

    clips = chosen(args.manifest, limit=args.limit, seed=args.seed)
    for label in args.label or ():
        if label not in MEASURED:  # known before the clips are encoded
            try:
                classes_of([c.labels[label] for c in clips if label in c.labels])
            except TrainingError as error:
                raise TrainingError(f"{label}: {error}") from error
    features, clips = pooled_prosody(args.manifest, clips, hearing.load(args))
    results, left_out = {}, []
    print(f"{'label':<14}{'accuracy':>9}{'±':>7}{'chance':>8}{'clips':>8}{'classes':>9}")
    for label in args.label or PROBED:
        values = (
            measured_labels(args.manifest, clips, label) if label in MEASURED else [c.labels.get(label) for c in clips]
        )
        rows = [i for i, value in enumerate(values) if value is not None]
        try:
            found = probe(features[rows], [values[i] for i in rows], ProbeConfig(hidden=args.hidden))
        except TrainingError as error:
            left_out.append(f"{label}: {error}")
            print(f"{label:<14}{'–':>9}{'–':>7}{'–':>8}{len(rows):>8}{'–':>9}")
            continue
        print(
            f"{label:<14}{found.accuracy:>9.1%}{found.deviation:>7.1%}{found.chance:>8.1%}{found.clips:>8}{found.classes:>9}"
        )
        results[label] = asdict(found)
    _write(args, "probing", results, hidden=args.hidden)
    if left_out and args.label:
        raise TrainingError("; ".join(left_out))
    for line in left_out:
        print(line, file=sys.stderr)
    return 0


def _transcriber(args: argparse.Namespace) -> "Transcriber":
    from services.encoder.settings import EncoderSettings
    from textpro.bundle import Bundle
    from textpro.errors import BundleError
    from textpro.evaluation.transcribers import FasterWhisper, TorchWhisper

    if args.engine == "textpro":
        return hearing.load(args)
    bundle = Bundle.load(args.bundle)
    if args.engine == "pytorch":
        if args.device != "cpu":
            raise BundleError(f"--engine pytorch runs on the CPU, not on {args.device}")
        return TorchWhisper(bundle, beam_size=args.beam_size)
    return FasterWhisper(
        bundle,
        cache=EncoderSettings.load().cache,
        device=args.device,
        compute_type=args.compute_type,
        threads=args.threads,
        beam_size=args.beam_size,
    )


def _write(args: argparse.Namespace, measure: str, numbers: Mapping[str, object], **settings: object) -> None:
    if args.json is not None:
        from textpro.evaluation import results

        settings |= {"manifest": str(args.manifest), "limit": args.limit, "beam_size": args.beam_size}
        name = args.name or args.bundle
        run = results.Run(measure, args.seed, system=name, numbers=numbers, settings=settings)
        results.write(args.json, run, bundle=args.bundle)
