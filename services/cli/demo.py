"""Starts everything, asks three recorded questions, shows the answers and stops. Exits 0 only when the questions were
understood and answered."""

import argparse
import asyncio
import difflib
import re
import sys
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
        found.append(f"the answer to {question.text!r} does not say {question.answer!r}: {turn['reply']!r}")
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
            for question in QUESTIONS:
                print(f"\n{question.file}", flush=True)
                turn = client.ask(gateway, EXAMPLES / question.file, {"temperature": "0", "max_tokens": "64"})
                print(Screen().rest(turn), flush=True)
                wrong += complaints(question, turn)
    except client.ChatError as error:
        wrong.append(str(error))
    return wrong
