"""Starts everything, asks recorded questions, shows the answers and stops: three questions first, then the same words
in several voices. Exits 0 only when all were understood and answered."""

import argparse
import asyncio
import difflib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli import up
from services.cli.chat import Screen
from services.cli.supervisor import Supervisor, while_ready

EXAMPLES = Path(__file__).parents[2] / "examples"
HEARD_AT_LEAST = 0.8


@dataclass(frozen=True)
class Question:
    """A recording, what it says, and what a right answer contains (None: any answer will do)."""

    file: str
    text: str
    answer: str | None = None


QUESTIONS = (
    Question("capital.wav", "What is the capital of France?", "Paris"),
    Question("sum.wav", "What is two plus two?"),
    Question("cats.wav", "Why do cats like milk?"),
)

# The same words by one voice in several moods: recordings that differ in nothing else.
MOODS = ("calm", "excited", "angry")
TONES = tuple(Question(f"tone-{mood}.wav", "How do I sound?", mood) for mood in MOODS)
CHOICES = tuple(Question(f"choice-{mood}.wav", "Am I calm or angry?", mood) for mood in ("calm", "angry"))
CAPITALS = tuple(Question(f"capital-{mood}.wav", "What is the capital of France?", "Paris") for mood in MOODS)


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro demo`'s arguments."""
    parser.set_defaults(run=run)
    up.add_service_arguments(parser)
    parser.add_argument("--verbose", action="store_true", help="show the services' log lines")
    parser.set_defaults(port=0, encoder_http_port=0, encoder_grpc_port=0, llm_port=0)


def run(args: argparse.Namespace) -> int:
    """0 when every question was understood and answered."""
    addresses = up.claim(up.chosen_addresses(args))
    echo = up.printer(quiet=not args.verbose)
    supervisor = Supervisor(up.children(addresses, args.bundle), echo, up.bounds(args.wait))
    print("starting the encoder, the LLM and the gateway (the first time takes longer) …", flush=True)
    wrong = asyncio.run(while_ready(supervisor, lambda: asyncio.to_thread(_ask_all, addresses.gateway_url)))
    if wrong is None:
        return 130
    for complaint in wrong:
        print(f"\nwrong: {complaint}", file=sys.stderr)
    if not wrong:
        print("\nAll understood and answered. `make up` keeps the services up for your own recordings.")
    return 1 if wrong else 0


def complaints(question: Question, turn: dict[str, Any]) -> list[str]:
    """What is not right about a turn. A transcript may differ in punctuation, case and a letter or two."""
    found = []
    if likeness(turn["transcript"], question.text) < HEARD_AT_LEAST:
        found.append(f"{question.file} says {question.text!r}; heard {turn['transcript']!r}")
    if not turn["reply"].strip():
        found.append(f"{question.file} got no answer")
    elif question.answer is not None and question.answer.lower() not in turn["reply"].lower():
        found.append(f"the answer to {question.file} does not say {question.answer!r}: {turn['reply']!r}")
    return found


def likeness(heard: str, said: str) -> float:
    """1 for the same letters in the same order, 0 for none in common."""
    a, b = (re.sub(r"[^a-z0-9 ]", "", text.lower()) for text in (heard, said))
    return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()


def _ask_all(url: str) -> list[str]:
    from services.cli import client

    wrong: list[str] = []
    try:
        with client.connect(url) as gateway:

            def ask(file: str, **fields: str) -> dict[str, Any]:
                return client.ask(gateway, EXAMPLES / file, {"temperature": "0", "max_tokens": "64"} | fields)

            for question in QUESTIONS:
                print(f"\n{question.file}", flush=True)
                turn = ask(question.file)
                print(Screen().rest(turn), flush=True)
                wrong += complaints(question, turn)
            wrong += _ask_in_moods(ask)
    except client.ChatError as error:
        wrong.append(str(error))
    return wrong


def _ask_in_moods(ask: Callable[..., dict[str, Any]]) -> list[str]:
    """The same words in several moods: answers about the tone must differ, those about facts must not. Without prosody
    none may differ: the words are all that the LLM has."""
    wrong: list[str] = []
    print("\nthe same words, the same voice, several moods", flush=True)
    for question in (*TONES, *CHOICES, *CAPITALS):
        turn = ask(question.file)
        print(_line(question.file, turn), flush=True)
        wrong += complaints(question, turn)
    print("the same recordings, prosody off", flush=True)
    toneless: list[dict[str, Any]] = []
    for question in TONES:
        toneless.append(ask(question.file, prosody="off"))
        print(_line(question.file, toneless[-1]), flush=True)
    return wrong + toneless_complaints(toneless)


def toneless_complaints(turns: Sequence[dict[str, Any]]) -> list[str]:
    """What is not right about answers to the same words without prosody."""
    replies = {turn["transcript"]: set[str]() for turn in turns}
    for turn in turns:
        replies[turn["transcript"]].add(turn["reply"])
    return [
        f"without prosody {words!r} has several answers: {found}" for words, found in replies.items() if len(found) > 1
    ]


def _line(name: str, turn: dict[str, Any]) -> str:
    return f"  {name:<22}{turn['transcript']:<33}{turn['reply']}"
