"""Prints our four-way questions of everyday knowledge, one a line: `textpro synthesize --sentences` speaks them, and of
such clips `textpro evaluate modality-gap` makes its table."""

import argparse

from services.cli.count import count


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro data quiz`'s arguments."""
    parser.add_argument("--limit", type=count, metavar="N", help="only so many, of all topics")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the questions, topics mixed, in the same order every time."""
    from random import Random

    from textpro.data.speech_qa import questions

    sentences = [question.question for question in questions()]
    Random(0).shuffle(sentences)
    print("\n".join(sentences[: args.limit]))
    return 0
