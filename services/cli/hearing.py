"""The encoder that a command hears recordings with."""

import argparse
from typing import TYPE_CHECKING

from services.cli.count import count
from services.encoder import SERVED_BEAM_SIZE

if TYPE_CHECKING:  # the command line must stay instant
    from textpro.decoding import SpeechDecoder


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments that choose it."""
    parser.add_argument(
        "--bundle", default="embedded", help="embedded, a directory or a hub name (default: %(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default: %(default)s)")
    parser.add_argument("--compute-type", default="float32", help="CTranslate2's arithmetic (default: %(default)s)")
    parser.add_argument(
        "--beam-size",
        type=count,
        default=SERVED_BEAM_SIZE,
        help="1 is the greedy search (default: %(default)s, as served)",
    )
    parser.add_argument("--threads", type=count, default=1, help="on a CPU (default: %(default)s)")


def load(args: argparse.Namespace) -> "SpeechDecoder":
    """Raises BundleError."""
    from services.encoder.settings import EncoderSettings
    from textpro.bundle import Bundle
    from textpro.decoding import DecodingOptions, SpeechDecoder

    return SpeechDecoder.load(
        Bundle.load(args.bundle),
        cache=EncoderSettings.load().cache,
        device=args.device,
        compute_type=args.compute_type,
        threads=args.threads,
        options=DecodingOptions(beam_size=args.beam_size),
    )
