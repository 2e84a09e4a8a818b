"""A description of a voice in words, made from a clip's labels where its corpus has none of its own."""

from collections.abc import Mapping

from textpro.data.paralinguistic import attribute
from textpro.data.sentences import with_article

NOUNS = {"female": "woman", "male": "man"}
POSSESSIVES = {"female": "her", "male": "his"}
PACES = {"slow": "slowly", "fast": "quickly"}
ORDINARY = {"neutral", "adult", "normal", "medium"}  # goes without saying
LEAST_LABELS = 2


def describe(labels: Mapping[str, str | float]) -> str | None:
    """`a calm woman with a Scottish accent, speaking slowly in a low voice`; None when fewer than two labels tell
    anything."""
    told = {name: attribute(name).label_of(labels) for name in ("style", "age", "gender", "accent", "rate", "pitch")}
    if sum(label is not None for label in told.values()) < LEAST_LABELS:
        return None
    style, age, gender, accent, rate, pitch = ("" if label in ORDINARY else label or "" for label in told.values())
    # A child's voice does not tell its gender.
    noun = "child" if age == "child" else NOUNS.get(gender, "person")
    # Of corpora with ages in years: `someone in their teens or twenties`.
    decades = attribute("age").labels[age][0].partition("someone ")[2] if age else ""
    words = (style, "" if age == "child" or decades else age, noun)
    described = with_article(" ".join(word for word in words if word))
    if decades:
        described += f" {decades.replace('their', POSSESSIVES.get(gender, 'their'))}"
    if accent:
        described += f" with {with_article(accent)} accent"
    manner = (PACES.get(rate, ""), f"in {with_article(pitch)} voice" if pitch else "")
    if any(manner):
        described += f", speaking {' '.join(part for part in manner if part)}"
    return described
