"""The words in which all corpora say how something was said. What a corpus itself said stays under `…_original`."""

from collections.abc import Mapping

EMOTIONS = ("neutral", "angry", "disgusted", "excited", "fearful", "frustrated", "happy", "sad", "surprised")

# Decades, two to a group: AIR-Bench's age prediction, which the paper evaluates on.
AGE_GROUPS = {
    (10, 29): "teens to twenties",
    (30, 49): "thirties to forties",
    (50, 69): "fifties to sixties",
    (70, 89): "seventies to eighties",
}

# Paper, Tables 6 and 7. The releases before 2022 had codes instead of the first three names.
UNITED_STATES, ENGLAND, SOUTH_ASIA, EUROPE = ACCENTS = ("United States", "England", "India and South Asia", "Europe")
COMMON_VOICE_ACCENTS = {
    "United States English": UNITED_STATES,
    "us": UNITED_STATES,
    "England English": ENGLAND,
    "england": ENGLAND,
    "India and South Asia (India, Pakistan, Sri Lanka)": SOUTH_ASIA,
    "indian": SOUTH_ASIA,
} | dict.fromkeys(
    (
        *("German", "French", "Russian", "German English", "Dutch", "Icelandic", "Dutch English", "Polish"),
        *("German Accent", "French Accent", "Slovak", "Deutsch English", "English with a French accent"),
        *("German native", "native Dutch speaking", "Swedish", "Finnish"),
    ),
    EUROPE,
)


def age_group(years: int) -> str | None:
    """The group of an age; None outside 10 to 89."""
    return next((group for (low, high), group in AGE_GROUPS.items() if low <= years <= high), None)


def gender(word: str) -> str | None:
    """`female` or `male` of F, Female, female_feminine and their like; None for anything else."""
    word = word.strip().lower()
    if word == "f" or word.startswith("female"):
        return "female"
    return "male" if word == "m" or word.startswith("male") else None


def known(**labels: str | float | None) -> dict[str, str | float]:
    """Only the labels that say something."""
    return {name: value for name, value in labels.items() if value is not None and value != ""}


def emotion(table: Mapping[str, str], code: str) -> dict[str, str | float]:
    """The label `emotion`, where the corpus's code stands for one of EMOTIONS, and `emotion_original`, the code."""
    return known(emotion=table.get(code), emotion_original=code)
