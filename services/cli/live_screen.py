"""A live conversation on a terminal: whose turn it is, what was heard, the answer as it comes, where the time went."""

import sys
from collections.abc import Mapping
from typing import Any, TextIO

from services.cli.chat import row, stage_rows

STATES = {
    "ready": "listening",
    "speech_started": "hearing you",
    "eager": "eager: an answer is under way",
    "resumed": "hearing you",
    "speech_stopped": "understanding",
    "done": "listening",
}
MOMENTS = ("prefill", "first_token", "first_audio", "total")  # in timing_ms, and no stages
CLEAR_LINE = "\r\x1b[2K"


class LiveScreen:
    """Shows events of WS /v1/stream. The state stands in the last line, where that is one that can be rewritten."""

    def __init__(self, source: str, out: TextIO | None = None) -> None:
        self._source, self._out = source, out or sys.stdout
        self._has_states = self._out.isatty()
        self._answering = False  # an answer's line is not finished

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Shows an event; unknown ones say nothing."""
        match event["type"]:
            case "ready":
                self._line(f"listening to {self._source}; Ctrl-C ends it\n")
            case "transcript":
                self._line(row("heard", event["text"] or "(nothing)"))
            case "delta":
                self._write(event["text"] if self._answering else row("answer", event["text"]))
                self._answering = True
            case "done":
                self._done(event)
            case "error":
                self._line(row("error", event["error"]["message"]))
        answering = event["type"] == "transcript" and event["text"]
        if state := "answering" if answering else STATES.get(event["type"]):
            self._state(state)

    def end(self) -> None:
        """Nothing more is shown; what comes next on the terminal begins on a line of its own."""
        self._write("\n" if self._answering else "")

    def _done(self, event: Mapping[str, Any]) -> None:
        match event["status"]:
            case "failed":
                self._line(row("error", event["error"]["message"]))
            case "cancelled":
                self._line(row("", "(interrupted)"))
        rows = [row("prosody", event["prosody"]), *stage_rows(event["timing_ms"], MOMENTS), ""]
        self._line("\n".join(rows))

    def _line(self, text: str) -> None:
        if self._answering:
            self._write("\n")
            self._answering = False
        self._write(f"{text}\n")

    def _state(self, state: str) -> None:
        if self._has_states and not self._answering:
            self._write(row("…", state))

    def _write(self, text: str) -> None:
        clear = CLEAR_LINE if self._has_states and not self._answering else ""
        print(clear + text, end="", file=self._out, flush=True)
