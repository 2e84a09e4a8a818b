"""Reads a published corpus, from the folder its publisher made, into a manifest that training reads."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro data import`'s arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("corpus", metavar="CORPUS", help="its name")
    parser.add_argument("folder", type=Path, metavar="DIR", help="where it lies")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")


def run(args: argparse.Namespace) -> int:
    raise NotImplementedError
