"""Sentences that only say that another comes: "Can you tell me." "By the way." "I was wondering."

A speech recognizer puts a full stop behind them, and whoever pauses there has not finished.
"""

import re

_BEFORE = r"((and|but|so|well|okay|ok|oh|hi|hello|hey|um|uh|now|please|actually) )*"
_ASIDES = (
    r"by the way|first of all|to begin with|for (example|instance)|excuse me|listen|wait|hold on|you know|i mean",
    r"let me (see|think|check)|((just )?a|one) (moment|minute|second)",
)
_QUESTIONS = (
    r"(a|another|one( more| last)?|the other) (question|thing)",
    r"(i( just)? have|i've( got)?|there is|there's) (a|another|one( more)?) (quick )?(question|thing)",
    r"(my|the|another) (question|problem|point|idea) is",
)
_ASKING = (
    r"((can|could|would|will) you )?(please )?(tell|show|give|remind|explain to) (me|us)",
    r"(can|could|may) i( just)? ask( you)?( something| a question)?",
    r"do you (know|think|remember)",
    r"i( was| am|'m)( just)? (wondering|thinking|curious)",
    r"(what )?(i|we)( would|'d)?( just| really)? (like|want|wanted|need|wonder)"
    r"( to( know| say| see| hear| find out| ask( you)?( something| a question)?))?( is)?",
)
_ANNOUNCEMENT = re.compile(f"{_BEFORE}({'|'.join(_ASIDES + _QUESTIONS + _ASKING)})( please)?")


def is_announcement(words: list[str]) -> bool:
    """words: of one sentence, in lower case, without marks."""
    return _ANNOUNCEMENT.fullmatch(" ".join(words)) is not None
