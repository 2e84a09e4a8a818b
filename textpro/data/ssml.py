"""A sentence marked up with its pauses, for an engine that reads SSML."""

from xml.sax.saxutils import escape

from textpro.data.voices import Delivery

ARTICLES = frozenset({"a", "an", "the"})
"""No pause follows them: before one, espeak-ng reads "a" as the letter."""


def with_breaks(text: str, delivery: Delivery) -> str:
    """Return SSML with a break of `delivery.break_ms` after every `delivery.words_per_break` words but the last.

    An article counts as a word but keeps its noun. Markup characters in `text` are escaped.
    """
    words = text.split()
    marked, since = [], 0
    for word in words[:-1]:
        marked.append(escape(word))
        since += 1
        if since >= delivery.words_per_break and word.lower() not in ARTICLES:
            marked.append(f'<break time="{delivery.break_ms}ms"/>')
            since = 0
    return f"<speak>{' '.join([*marked, *map(escape, words[-1:])])}</speak>"
