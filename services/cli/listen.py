"""Talks with a running gateway: sends a recording in real time, or what a microphone hears, and shows whose turn it is,
what was heard, the answer as it comes, and where the time went. Ctrl-C ends it."""

import argparse
import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.cli.chat import DEFAULT_URL
from services.cli.count import count

if TYPE_CHECKING:  # the command line must stay instant
    from websockets.asyncio.client import ClientConnection

    from services.cli.loudspeaker import Loudspeaker
    from services.cli.sources import Source

Show = Callable[[dict[str, Any]], None]
INTERRUPTED = 130


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro listen`'s arguments."""
    parser.set_defaults(run=run)
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="a recording, in any usual format (default: the microphone)"
    )
    parser.add_argument("--url", default=DEFAULT_URL, help="the gateway (default: %(default)s)")
    parser.add_argument("--api-key", help="sent as a bearer token, where the gateway asks for one")
    parser.add_argument("--device", metavar="NAME|NUMBER", help="the microphone (default: the system's)")
    parser.add_argument("--no-prosody", action="store_true", help="the LLM gets the words alone")
    parser.add_argument("--instructions", help="the system prompt")
    parser.add_argument("--max-tokens", type=count, help="longest answer")
    parser.add_argument("--temperature", type=float)
    sound = parser.add_mutually_exclusive_group()
    sound.add_argument("--speech", action="store_true", help="play the answers' sound, where the gateway has a voice")
    sound.add_argument("--save-speech", type=Path, metavar="FILE", help="write that sound to a WAV file")
    parser.add_argument("--json", action="store_true", help="print each event as one JSON line")


def run(args: argparse.Namespace) -> int:
    """0 when all that was said was answered, or a conversation by microphone was ended."""
    from services.cli.live_screen import LiveScreen
    from services.cli.sources import Microphone, Recording

    source = Microphone(args.device) if args.file is None else Recording(args.file)
    loudspeaker = _loudspeaker(args)
    screen = LiveScreen(source.name)
    failures = 0

    def show(event: dict[str, Any]) -> None:
        nonlocal failures
        failures += event["type"] == "error" or event.get("status") == "failed"
        if loudspeaker is not None and event["type"] == "clear":
            loudspeaker.clear()
        if args.json:
            print(json.dumps(event, ensure_ascii=False), flush=True)
        else:
            screen(event)

    try:
        asyncio.run(_converse(args, source, show, loudspeaker))
    except KeyboardInterrupt:
        if loudspeaker is not None:
            loudspeaker.clear()
        return 0 if args.file is None else INTERRUPTED
    finally:
        screen.end()
        if loudspeaker is not None:
            loudspeaker.close()
    return 1 if failures else 0


def _loudspeaker(args: argparse.Namespace) -> "Loudspeaker | None":
    from services.cli.loudspeaker import SoundCard, SoundFile

    if args.save_speech is not None:
        return SoundFile(args.save_speech)
    return SoundCard() if args.speech else None


async def _converse(args: argparse.Namespace, source: "Source", show: Show, loudspeaker: "Loudspeaker | None") -> None:
    """Speaks and shows what comes, until the gateway ends the conversation."""
    from services.cli import loudspeaker as sound
    from services.cli import stream_client

    options = {"rate": str(source.rate), "prosody": "off" if args.no_prosody else "on"}
    for name in ("instructions", "max_tokens", "temperature"):
        if (value := getattr(args, name)) is not None:
            options[name] = str(value)
    if loudspeaker is not None:
        options |= {"speech": "on", "speech_rate": str(sound.RATE)}
    hear = None if loudspeaker is None else loudspeaker.play
    try:
        async with stream_client.connect(args.url, options, args.api_key) as line, asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(_speak(line, source), name="speak")
            async for event in stream_client.events(line, hear):
                show(event)
            speaking.cancel()
    except BaseExceptionGroup as group:  # the first to fail has ended the other
        raise group.exceptions[0] from None


async def _speak(line: "ClientConnection", source: "Source") -> None:
    from websockets.exceptions import ConnectionClosed

    with suppress(ConnectionClosed):  # who reads the events learns why
        async with aclosing(source.frames()) as frames:
            async for frame in frames:
                await line.send(frame)
        await line.send(json.dumps({"type": "stop"}))
