"""Reads a published corpus, from the folder its publisher made, into FOLDER/manifest.jsonl, which training reads; or,
where the corpus is text, into FOLDER/texts.jsonl, which distillation reads. docs/corpora.md says how each must lie."""

import argparse
from pathlib import Path

from services.cli.count import count
from textpro.data.corpora import CORPORA


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro data import`'s arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("corpus", metavar="CORPUS", choices=CORPORA, help=", ".join(CORPORA))
    parser.add_argument("folder", type=Path, metavar="DIR", help="the corpus, as it was unpacked")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to write")
    parser.add_argument("--split", nargs="+", default=(), metavar="NAME", help="the publisher's (default: the paper's)")
    parser.add_argument("--with", dest="having", nargs="+", default=(), metavar="LABEL", help="only clips that have it")
    parser.add_argument("--limit", type=count, metavar="N", help="stop after so many")
    parser.add_argument("--skip-broken", action="store_true", help="leave out clips whose audio is missing or broken")


def run(args: argparse.Namespace) -> int:
    """Writes the file and says how much is in it."""
    from textpro.data.corpora.importing import import_corpus

    done = import_corpus(
        args.corpus,
        args.folder,
        args.out,
        splits=args.split,
        having=args.having,
        limit=args.limit,
        skip_broken=args.skip_broken,
    )
    hours = f", {done.hours:.1f} h" if done.hours else ""
    skipped = f", {done.skipped} left out for their audio" if done.skipped else ""
    print(f"{done.path}: {done.items} items{hours}{skipped}")
    return 0
