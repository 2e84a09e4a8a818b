"""How many of something, as an argument."""

import argparse


def count(text: str) -> int:
    """The `type` of an argument that is a whole number of at least 1. Raises ArgumentTypeError for anything else."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number
