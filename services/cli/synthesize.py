"""Makes a corpus of synthetic speech: the project's sentences, or your own, spoken by many voices in several styles.
Needs espeak-ng, and flite unless --flite-share is 0; or Kokoro (pip install kokoro) for its voices."""

import argparse
import os
from pathlib import Path

from services.cli import casting
from services.cli.count import count
from textpro.data.voices import AGES, STYLES


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro synthesize`'s arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("--out", type=Path, required=True, help="folder for audio/ and manifest.jsonl")
    parser.add_argument("--clips", type=count, required=True, help="how many recordings to make")
    parser.add_argument("--split", choices=("train", "dev", "test"), default="train", help="which sentences are said")
    parser.add_argument("--sentences", type=Path, metavar="FILE", help="say these instead, one a line")
    parser.add_argument(
        "--distinct", type=count, metavar="N", help="compose so many sentences (default: as many as clips)"
    )
    casting.configure(parser)
    parser.add_argument(
        "--styles",
        nargs="+",
        choices=[style.name for style in STYLES],
        metavar="STYLE",
        help="how it is said; one named twice is drawn twice as often (default: each once; Kokoro is always neutral)",
    )
    parser.add_argument(
        "--ages",
        nargs="+",
        default=[],
        choices=AGES,
        metavar="AGE",
        help=f"put ages on: {', '.join(AGES)} (default: none)",
    )
    parser.add_argument(
        "--breaks", action="store_true", help="styles differ in their pauses too (espeak-ng's voices only)"
    )
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Writes the corpus, or the rest of one that was interrupted."""
    from textpro.data.sentences import compose_split, read_lines
    from textpro.data.synthesis import synthesize

    if args.sentences is not None:
        sentences = read_lines(args.sentences)
    else:
        sentences = compose_split(args.distinct or args.clips, args.split, args.seed)
    cast = casting.load(args, args.styles)
    path = synthesize(
        sentences,
        cast.voices,
        args.out,
        clips=args.clips,
        seed=args.seed,
        workers=args.workers,
        flite_share=cast.flite_share,
        deliveries=cast.styles,
        ages=args.ages,
        breaks=args.breaks,
        room_s=args.room,
    )
    print(path)
    return 0
