"""Who speaks and how: the synthetic voices, which of them training never hears, and the styles of delivery."""

import hashlib
import random
from dataclasses import dataclass, replace
from typing import Literal

Engine = Literal["espeak-ng", "flite", "kokoro"]
Gender = Literal["male", "female"]
Split = Literal["seen", "held_out"]
ADULT, CHILD, ELDERLY = AGES = ("adult", "child", "elderly")

# Accent -> espeak-ng's language file. Only by this path does an accent combine with a variant:
# espeak-ng refuses "en-gb+f3" and speaks on in the voice it had.
ESPEAK_ACCENTS = {
    "en-us": "gmw/en-US",
    "en-gb": "gmw/en",
    "en-gb-scotland": "gmw/en-GB-scotland",
    "en-gb-x-rp": "gmw/en-GB-x-rp",
    "en-029": "gmw/en-029",
    "en-gb-x-gbclan": "gmw/en-GB-x-gbclan",
    "en-gb-x-gbcwmd": "gmw/en-GB-x-gbcwmd",
    "en-us-nyc": "gmw/en-US-nyc",
}

# Left out on purpose: robots and effects (robosoft*, UniRobot, Demonic, announcer, fast), whispers and croaks, a
# child's pitch (zac), overdriven output (iven, steph3), and near-copies of the ones below.
MALE_VARIANTS = (
    *("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "klatt", "klatt2", "klatt3"),
    *("adam", "Alex", "Andy", "antonio", "boris", "caleb", "david", "Denis", "ed", "edward", "Gene", "Hugo", "john"),
    *("Lee", "Marco", "Mario", "Michael", "Mike", "paul", "rob", "robert", "travis"),
)
FEMALE_VARIANTS = (
    *("f1", "f2", "f3", "f4", "f5", "Alicia", "Andrea", "anika", "Annie", "aunty", "belinda", "grandma"),
    *("linda", "shelby", "steph", "steph2"),
)
HELD_OUT_VARIANTS = frozenset({"m5", "Mike", "f4", "Annie"})
HELD_OUT_PAIRS_PERCENT = 5
PLAIN = "plain"  # the accent as espeak-ng ships it, without a variant; a man's voice


@dataclass(frozen=True)
class Voice:
    """A speaker. `name` is what the engine calls it: a language file and variant for espeak-ng, a voice for flite."""

    engine: Engine
    name: str
    accent: str
    gender: Gender
    variant: str


FLITE_VOICES = (
    Voice("flite", "kal16", "en-us", "male", "kal16"),
    Voice("flite", "rms", "en-us", "male", "rms"),
    Voice("flite", "slt", "en-us", "female", "slt"),
    Voice("flite", "awb", "en-gb-scotland", "male", "awb"),
)


@dataclass(frozen=True)
class Delivery:
    """How a sentence is said. `pitch` and `range` are 0 to 99 with 50 as the voice's own, `rate_wpm` is words a minute,
    `volume` is percent of the voice's own. A pause of `break_ms` follows every `words_per_break` words; 0 for none."""

    style: str
    pitch: int
    range: int
    rate_wpm: int
    volume: int
    break_ms: int = 0
    words_per_break: int = 0

    def pitch_bin(self) -> str:
        """low, middle or high, relative to the voice's own pitch."""
        return "low" if self.pitch < 40 else "high" if self.pitch > 60 else "middle"

    def rate_bin(self) -> str:
        """slow, normal or fast."""
        return "slow" if self.rate_wpm < 150 else "fast" if self.rate_wpm > 195 else "normal"


@dataclass(frozen=True)
class Style:
    """Inclusive bounds from which a delivery is drawn, in `Delivery`'s units."""

    name: str
    pitch: tuple[int, int]
    range: tuple[int, int]
    rate_wpm: tuple[int, int]
    volume: tuple[int, int]
    break_ms: tuple[int, int] = (0, 0)
    words_per_break: tuple[int, int] = (0, 0)

    def draw(self, rng: random.Random) -> Delivery:
        """Draw one delivery in this style, without its breaks."""
        bounds = (self.pitch, self.range, self.rate_wpm, self.volume)
        pitch, range_, rate_wpm, volume = (rng.randint(*bound) for bound in bounds)
        return Delivery(self.name, pitch, range_, rate_wpm, volume)

    def paused(self, delivery: Delivery, rng: random.Random) -> Delivery:
        """Add this style's breaks to a delivery; a generator of their own leaves the other draws as they are."""
        break_ms, words_per_break = rng.randint(*self.break_ms), rng.randint(*self.words_per_break)
        return replace(delivery, break_ms=break_ms, words_per_break=words_per_break)


# The styles overlap in each single dimension, so that a listener has to weigh several.
STYLES = (
    #     name       pitch     range     words/min   volume    break (ms)  words/break
    Style("neutral", (30, 70), (40, 60), (150, 215), (85, 105)),
    Style("calm", (25, 60), (20, 40), (130, 170), (65, 90), (80, 180), (3, 5)),
    Style("excited", (55, 90), (70, 99), (180, 240), (95, 120)),
    Style("sad", (10, 40), (5, 30), (115, 155), (50, 75), (180, 350), (2, 4)),
    Style("angry", (40, 75), (65, 95), (165, 230), (110, 130), (30, 80), (1, 1)),
)


def voices(split: Split) -> list[Voice]:
    """Return the catalogue's voices that training hears (`seen`) or never hears (`held_out`), in a fixed order."""
    return [voice for voice in _catalogue() if (held_out(voice) is not None) == (split == "held_out")]


def held_out(voice: Voice) -> Literal["variant", "pair"] | None:
    """Say what of this voice training never hears: its variant, only its pairing with the accent, or nothing (None)."""
    if voice.engine != "espeak-ng":
        return None
    if voice.variant in HELD_OUT_VARIANTS:
        return "variant"
    digest = hashlib.sha256(f"{voice.accent}+{voice.variant}".encode()).digest()
    return "pair" if int.from_bytes(digest[:8], "big") % 100 < HELD_OUT_PAIRS_PERCENT else None


def _catalogue() -> list[Voice]:
    genders: dict[str, Gender] = {PLAIN: "male"}
    genders |= dict.fromkeys(MALE_VARIANTS, "male")
    genders |= dict.fromkeys(FEMALE_VARIANTS, "female")
    spoken = [
        Voice("espeak-ng", path if variant == PLAIN else f"{path}+{variant}", accent, gender, variant)
        for accent, path in ESPEAK_ACCENTS.items()
        for variant, gender in genders.items()
    ]
    return [*spoken, *FLITE_VOICES]
