"""How many of something, as an argument."""

import argparse


def count(text: str) -> int:
    """The `type` of an argument that is a whole number of at least 1. Raises ArgumentTypeError for anything else."""
    return _at_least(1, text)


def whole(text: str) -> int:
    """The same for one that may be 0."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return number
