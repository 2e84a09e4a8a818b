"""Describes a bundle, exports it for other tools, or makes the mean of several."""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from textpro.errors import BundleError

if TYPE_CHECKING:  # the command line must stay instant
    from textpro.bundle import Bundle

FORMATS = ("bundle", "transformers", "ctranslate2")


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro bundle`'s arguments."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    describe = actions.add_parser("describe", help="print what a bundle is and was made from, as JSON")
    export = actions.add_parser("export", help="write a bundle, or its Whisper alone, to a directory")
    average = actions.add_parser("average", help="write the weighted mean of bundles of one architecture")
    for action in (describe, export):
        action.add_argument("bundle", nargs="?", default="embedded", help="embedded, a directory or a hub name")
    export.add_argument("--out", type=Path, required=True, help="a directory that does not exist yet")
    export.add_argument(
        "--format",
        choices=FORMATS,
        default="bundle",
        help="bundle: all of it; transformers: its Whisper; ctranslate2: what faster-whisper loads",
    )
    export.add_argument(
        "--compute-type", default="float16", help="how ctranslate2 stores weights (default: %(default)s)"
    )
    export.add_argument("--tap", help="read prosody elsewhere, with the same weights: decoder.L or encoder.L")
    average.add_argument("out", type=Path, metavar="OUT", help="a directory that does not exist yet")
    average.add_argument(
        "parts", nargs="+", metavar="BUNDLE:WEIGHT", help="two or more; name and settings are the first one's"
    )
    describe.set_defaults(run=run_describe)
    export.set_defaults(run=run_export)
    average.set_defaults(run=run_average)


def run_describe(args: argparse.Namespace) -> int:
    """Prints one JSON object."""
    from textpro.bundle import Bundle

    print(json.dumps(Bundle.load(args.bundle).describe(), indent=2))
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Copies or converts; raises BundleError when the directory exists or the tap does not."""
    from services.encoder.settings import EncoderSettings
    from textpro.bundle import CONFIG_FILE, Bundle

    bundle = Bundle.load(args.bundle)
    if args.out.exists():
        raise BundleError(f"{args.out} exists already; name a new directory")
    if args.tap is not None:
        bundle = bundle.tapped(args.tap)
        if args.format != "bundle" or bundle.encoder_path == bundle.path:
            raise BundleError("only a bundle with a textpro.json, exported as one, says where its tap is")
        if bundle.has_projector:
            raise BundleError(f"the projector of {bundle.path} was trained on the tap that it has")
    _check_new(args.out)
    if args.format == "ctranslate2":
        source = bundle.ct2_path(args.compute_type, cache=EncoderSettings.load().cache)
    else:
        source = bundle.path if args.format == "bundle" else bundle.encoder_path
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out.parent) as aside:  # whoever is interrupted leaves nothing half done
        made = Path(aside) / "made"
        shutil.copytree(source, made)
        if args.tap is not None:
            bundle.config.save(made / CONFIG_FILE)
        made.rename(args.out)
    print(args.out)
    return 0


def run_average(args: argparse.Namespace) -> int:
    """Writes the mean; raises BundleError when the directory exists or the bundles have none."""
    from textpro.averaging import average

    _check_new(args.out)
    print(average([_part(text) for text in args.parts], args.out).path)
    return 0


def _part(text: str) -> "tuple[Bundle, float]":
    from textpro.bundle import Bundle

    name, _, weight = text.rpartition(":")
    try:
        share = float(weight)
    except ValueError as error:
        raise BundleError(
            f"{text!r} names no bundle and its weight; expected BUNDLE:WEIGHT, as in embedded:2"
        ) from error
    return Bundle.load(name), share


def _check_new(out: Path) -> None:
    if out.exists():
        raise BundleError(f"{out} exists already; name a new directory")
