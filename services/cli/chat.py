"""Sends recordings to a running gateway, as the turns of one conversation, and shows for each what was heard, the
answer, and where the time went."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services.cli.count import count

DEFAULT_URL = "http://127.0.0.1:8000"


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro chat`'s arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a recording, in any usual format")
    parser.add_argument("--url", default=DEFAULT_URL, help="the gateway (default: %(default)s)")
    parser.add_argument("--api-key", help="sent as a bearer token, where the gateway asks for one")
    parser.add_argument("--session", default="new", metavar="new|ID", help="go on with a session (default: a new one)")
    parser.add_argument("--prosody", choices=("on", "off"), default="on", help="whether the LLM hears the tone")
    parser.add_argument("--prosody-from", metavar="TURN_ID", help="or the tone of an earlier turn of the session")
    parser.add_argument("--stream", action="store_true", help="show the answer word by word")
    parser.add_argument("--json", action="store_true", help="print each turn as one JSON line")
    parser.add_argument("--instructions", help="the system prompt")
    parser.add_argument("--max-tokens", type=count)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--seed", type=int)


def run(args: argparse.Namespace) -> int:
    """0 when every recording was answered."""
    fields = {"prosody": args.prosody} | ({} if args.session == "new" else {"session_id": args.session})
    for name in ("prosody_from", "instructions", "max_tokens", "temperature", "seed"):
        if (value := getattr(args, name)) is not None:
            fields[name] = str(value)
    from services.cli import client

    with client.connect(args.url, args.api_key) as gateway:
        for audio in args.files:
            if args.json:
                turn = client.ask(gateway, audio, fields)
                print(json.dumps(turn, ensure_ascii=False), flush=True)
            else:
                print(f"\n{audio.name}")
                screen = Screen()
                turn = client.ask(gateway, audio, fields, screen if args.stream else None)
                print(screen.rest(turn))
                print(row("turn", turn["turn_id"]))
            fields["session_id"] = turn["session_id"]
    if not args.json:
        print(f"\nsession {fields['session_id']}: `--session` with this id goes on with it")
    return 0


class Screen:
    """Shows a turn as it comes, and then the rest of it: what was heard, the answer, the prosody's effect, the time of
    every stage. A turn that came whole is all rest."""

    def __init__(self) -> None:
        self._heard = self._answered = False

    def __call__(self, event: str, content: Mapping[str, Any]) -> None:
        """Shows a streamed event."""
        if event == "transcript":
            print(_heard(content), flush=True)
            self._heard = True
        elif event == "delta":
            print(content["text"] if self._answered else row("answer", content["text"]), end="", flush=True)
            self._answered = True

    def rest(self, turn: Mapping[str, Any]) -> str:
        """What of the finished turn does not stand on the screen yet."""
        rows = [] if self._heard else [_heard(turn)]
        rows += [""] if self._answered else [row("answer", turn["reply"])]
        return "\n".join([*rows, row("prosody", turn["prosody"]), *stage_rows(turn["timing_ms"])])


def _heard(turn: Mapping[str, Any]) -> str:
    return row("heard", turn["transcript"] or f"(nothing: {turn.get('no_speech')})")


def stage_rows(timing_ms: Mapping[str, float], moments: Sequence[str] = ("first_token", "total")) -> list[str]:
    """One row a stage; what is no stage, such as the whole and the first token, last."""
    stages = [name for name in timing_ms if name not in moments] + [name for name in moments if name in timing_ms]
    return [row("time" if i == 0 else "", f"{name:<18}{timing_ms[name]:>9.1f} ms") for i, name in enumerate(stages)]


def row(label: str, text: str) -> str:
    """A line of what is shown of a turn."""
    return f"  {label:<9}{text}"
