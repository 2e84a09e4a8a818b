"""Makes questions about voices, with answers, from a corpus whose manifest has labels: style or emotion, gender, age
group, accent, pitch, rate, caption. Give the same command again to go on with a run that stopped."""

import argparse
from pathlib import Path

from services.cli import hearing
from services.cli.count import count
from services.cli.data_distill import report


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro data paralinguistic`'s arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.jsonl of the corpus")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the turns and their prosody")
    parser.add_argument("--attributes", nargs="+", default=[], metavar="NAME", help="default: all that the labels tell")
    parser.add_argument("--split", choices=("train", "test"), default="train", help="which phrasings of the questions")
    parser.add_argument("--per-clip", type=count, default=2, metavar="K", help="questions a clip on average")
    parser.add_argument(
        "--choose-by",
        choices=("letter", "words"),
        default="letter",
        help="multiple choice is answered: B. Sad, or: Sad.",
    )
    parser.add_argument(
        "--voice-alone",
        action="store_true",
        help="leave the words out of the turns, and describe a voice in no more words than needed: what a small LLM "
        "learns to hear by, at half the cost",
    )
    parser.add_argument("--limit", type=count, metavar="N", help="a random choice of so many clips")
    parser.add_argument("--seed", type=int, default=0)
    hearing.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Writes the turns, or the rest of a run that was interrupted."""
    import random

    from textpro.data import manifest
    from textpro.data.questionnaire import ask, outcome, unknown_values
    from textpro.training.distill import record

    clips = manifest.read(args.manifest)
    if args.limit is not None and args.limit < len(clips):
        clips = random.Random(args.seed).sample(clips, args.limit)
    # What is wrong with the labels, before what they are too few for.
    for sentence in unknown_values(clips, args.attributes):
        print(sentence)
    asked = ask(
        clips,
        args.attributes,
        split=args.split,
        per_clip=args.per_clip,
        seed=args.seed,
        choose_by=args.choose_by,
        briefly=args.voice_alone,
    )
    for sentence in outcome(clips, asked):
        print(sentence)
    heard = hearing.load(args)
    report(args.out, record(args.manifest, clips, asked, args.out, heard, transcripts=not args.voice_alone))
    return 0
