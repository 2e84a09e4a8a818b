"""Which synthetic voices a command lets speak, and where: shared by `synthesize` and `data distill`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line must stay instant
    from textpro.data.voices import Style, Voice

KOKORO = "kokoro"


@dataclass(frozen=True)
class Cast:
    """Who speaks, in which styles, and the share of the clips that flite speaks."""

    voices: "Sequence[Voice]"
    styles: "Sequence[Style]"
    flite_share: float


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments that `load` reads."""
    parser.add_argument(
        "--voices",
        choices=("seen", "held_out", KOKORO),
        default="seen",
        help="espeak-ng's and flite's that training hears or never hears, or Kokoro's",
    )
    parser.add_argument("--flite-share", type=float, default=0.06, help="share of the clips that flite speaks")
    parser.add_argument(
        "--room",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="a quiet room under each clip, and up to so long alone before it and after (default: none)",
    )


def load(args: argparse.Namespace, styles: Sequence[str] | None = None) -> Cast:
    """The voices asked for. styles: by name, one as often as it is named; all when None.

    Raises SynthesisError for styles that Kokoro can't speak in.
    """
    from textpro.data.kokoro import KOKORO_STYLES, KOKORO_VOICES
    from textpro.data.speech_engines import SynthesisError
    from textpro.data.voices import STYLES, voices

    kokoro = args.voices == KOKORO
    known = {style.name: style for style in (KOKORO_STYLES if kokoro else STYLES)}
    if missing := [name for name in styles or () if name not in known]:
        raise SynthesisError(
            f"{args.voices} voices don't speak in the style {missing[0]}; they know {', '.join(known)}"
        )
    asked = [known[name] for name in styles or known]
    if kokoro:
        return Cast(KOKORO_VOICES, asked, flite_share=0)
    return Cast([v for v in voices(args.voices) if args.flite_share or v.engine != "flite"], asked, args.flite_share)
