"""An answer's text, while it is still being written, cut into what can be spoken in one breath."""

import re

# A full stop behind one of these ends no sentence: a name or a number follows.
_NEVER = "dr mr mrs ms mx prof rev hon gen col capt lt sgt st mt no nos vs fig figs eq ch vol pp approx ca cf e.g i.e"
# Behind one of these it does where the next word begins with a capital.
_SELDOM = "etc a.m p.m inc ltd co corp dept est jr sr al u.s u.k u.n e.u b.c a.d ph.d"
NEVER_LAST, SELDOM_LAST = frozenset(_NEVER.split()), frozenset(_SELDOM.split())
MIN_SHARE = 0.3  # of the longest sentence: what is cut off at a comma is no shorter

# The next word must have begun: it may tell that this was no end. A line always ends.
_END = re.compile(r"""([.!?…]+)(["'”’)\]*_]*)[^\S\n]+(?=(\S))|[。！？]["'”’）」』]*(?=[^"'”’）」』])|\n""")
_WORD = re.compile(r"[^\s(\[\"'“‘*_]+$")
_CLAUSE = re.compile(r"[,;:—–](?=\s)|[，；：、]")
_UNSPOKEN = re.compile(r"[*_`#~|<>{}\[\]\\^=]+")


class Sentences:
    """Text in as it comes, sentences out; joined again they are the text, letter by letter. max_characters: a longer
    one is cut behind a comma, else between words, else anywhere."""

    def __init__(self, max_characters: int) -> None:
        self._max_characters = max_characters
        self._rest = ""

    def add(self, text: str) -> list[str]:
        """The text goes on: the sentences that are complete now."""
        self._rest += text
        found: list[str] = []
        while end := self._end():
            found.append(self._rest[:end])
            self._rest = self._rest[end:]
        return found

    def finish(self) -> list[str]:
        """There is no more: what is left."""
        rest, self._rest = self._rest, ""
        return [rest] if rest else []

    def _end(self) -> int:
        """Of the first sentence; 0 while that is not known."""
        for match in _END.finditer(self._rest, 0, self._max_characters + 1):
            if _is_end(self._rest, match):
                return match.end()
        return _breath(self._rest, self._max_characters) if len(self._rest) > self._max_characters else 0


def aloud(sentence: str) -> str:
    """What a voice says of it, without the marks that nobody says; empty where there is nothing to be said."""
    words = " ".join(_UNSPOKEN.sub(" ", sentence).split())
    return words if any(letter.isalnum() for letter in words) else ""


def _is_end(text: str, match: re.Match[str]) -> bool:
    mark, closed, following = match.groups()
    if mark is None:
        return True
    if following.islower() and (closed or mark not in ".!?"):
        return False  # "Really?" he said. Well... perhaps.
    found = _WORD.search(text, 0, match.start())
    word = found[0].lower() if found and mark == "." else ""
    if word in SELDOM_LAST:
        return following.isupper()
    is_initial = len(word) == 1 and word.isalpha() and word != "i"
    is_numeral = word.isdecimal() and text[: match.start()].strip() == word  # of a list
    return not (word in NEVER_LAST or is_initial or is_numeral)


def _breath(text: str, limit: int) -> int:
    clauses = [match.end() for match in _CLAUSE.finditer(text, 0, limit) if match.end() >= MIN_SHARE * limit]
    return clauses[-1] if clauses else text.rfind(" ", 1, limit) + 1 or limit
