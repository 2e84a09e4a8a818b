"""The prompt of a turn: instructions, earlier turns, what was just said, as far as the LLM's context goes."""

import math
from collections.abc import Sequence
from typing import Any

from services.gateway.encoder_client import Speech
from services.gateway.session import Prosody, Turn

# On the safe side: English has about four bytes a token, and other scripts come nearer to three.
BYTES_PER_TOKEN = 3
TOKENS_PER_MESSAGE = 8  # the template's marks around a message
BLOCK = 4  # turns are dropped in blocks, so that the prompt keeps its beginning (the LLM's prefix cache) for some turns

Message = dict[str, Any]


def user_message(text: str, prosody: Prosody | None, beside: Sequence[str] = ()) -> Message:
    """What a person said: the vector in front of the words, or the words alone. beside: what was written with it."""
    if prosody is None and not beside:
        return {"role": "user", "content": text}
    vector = [] if prosody is None else [prosody.content_part()]
    return {"role": "user", "content": [*vector, *({"type": "text", "text": each} for each in (text, *beside))]}


def prompt(instructions: str, turns: list[Turn], speech: Speech) -> list[Message]:
    """The messages of a turn. Equal turns give equal bytes."""
    messages: list[Message] = [{"role": "system", "content": instructions}] if instructions else []
    for turn in turns:
        messages.append(user_message(turn.transcript, turn.prosody))
        messages.append({"role": "assistant", "content": turn.reply})
    return [*messages, user_message(speech.text, speech.prosody)]


def understood(prosody: Prosody | None, encoder: str | None) -> Prosody | None:
    """A vector if that encoder gave it: another one's means other things. encoder: None for no vector at all."""
    return prosody if prosody is not None and prosody.encoder == encoder else None


def fitting(turns: list[Turn], budget_tokens: int) -> list[Turn]:
    """The newest turns that surely fit into `budget_tokens`, from the start of a block on."""
    kept, spent = len(turns), 0
    while kept and spent + turn_tokens(turns[kept - 1]) <= budget_tokens:
        kept -= 1
        spent += turn_tokens(turns[kept])
    if kept == 0:
        return turns
    if kept == len(turns):
        return []
    first = math.ceil(turns[kept].number / BLOCK) * BLOCK
    return [turn for turn in turns if turn.number >= first]


def newer_half(messages: list[Message]) -> list[Message]:
    """For when they do not fit: the instructions, and the newer half of the rest from something said by the user on.
    The same messages where nothing can go."""
    n_system = 1 if messages and messages[0]["role"] == "system" else 0
    for place in range(n_system + (len(messages) - n_system) // 2, len(messages)):
        if messages[place]["role"] == "user":
            return messages[:n_system] + messages[place:]
    last = next((i for i in range(len(messages) - 1, n_system, -1) if messages[i]["role"] == "user"), n_system)
    return messages[:n_system] + messages[last:]


def budget(context_tokens: int, instructions: str, speech: Speech, max_tokens: int) -> int:
    """Tokens left for earlier turns; negative when not even this turn fits."""
    vectors = speech.prosody.shape[0] + 1 if speech.prosody else 0
    return context_tokens - max_tokens - message_tokens(instructions) - message_tokens(speech.text) - vectors


def turn_tokens(turn: Turn) -> int:
    """At most so many tokens, as far as one can say without the LLM's tokenizer."""
    vectors = turn.prosody.shape[0] + 1 if turn.prosody else 0
    return message_tokens(turn.transcript) + message_tokens(turn.reply) + vectors


def message_tokens(text: str) -> int:
    return math.ceil(len(text.encode()) / BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE
