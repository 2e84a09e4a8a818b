"""Prints the questions about a voice that a user would say, one a line: `textpro synthesize --sentences` speaks them,
and of such clips `textpro data paralinguistic` makes turns in which the speech itself asks."""

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro data questions`'s arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("--attributes", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--split", choices=("train", "test"), default="train", help="which phrasings")


def run(args: argparse.Namespace) -> int:
    from textpro.data.paralinguistic import ATTRIBUTES, spoken_questions

    print("\n".join(spoken_questions(args.split, args.attributes or ATTRIBUTES)))
    return 0
