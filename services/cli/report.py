"""Writes the tables and charts of a folder of results: report.md and one SVG a measure."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro report`'s arguments."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="holds the --json files of `textpro evaluate`")
    parser.add_argument("--out", type=Path, help="folder to write to, such as out/report (default: DIR)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the tables and the path they were written to."""
    from textpro.evaluation import report
    from textpro.evaluation.results import read_folder

    path = report.write(read_folder(args.folder), args.out or args.folder)
    print(path.read_text())
    print(path)
    return 0
