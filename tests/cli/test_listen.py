"""`textpro listen` against a real gateway, whose encoder and LLM are fakes."""

import asyncio
import io
import json
import os
import re
import signal
import sys
import threading
import wave
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import pytest

from services.cli import loudspeaker, main
from services.cli.live_screen import LiveScreen
from services.contracts.errors import NotFound
from tests.gateway.conftest import PATIENCE_S, LoudIsSpeech, free_port, hum, served_house, wav_of

TIMES = {"pause": 352.0, "wait": 2.0, "generate": 40.0, "prefill": 30.0, "first_token": 354.0, "total": 394.0}
DONE = {"type": "done", "status": "completed", "prosody": "on", "timing_ms": TIMES, "error": None}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`spoken(**settings)`: a served gateway where whatever sounds is speech."""
    monkeypatch.setattr("services.gateway.app.VoiceModel", LoudIsSpeech)
    return served_house


@pytest.fixture
def question(tmp_path: Path) -> Path:
    """Half a second of what the gateway of these tests takes for speech."""
    path = tmp_path / "question.wav"
    path.write_bytes(wav_of(hum(50)))
    return path


class Microphone(ModuleType):
    """A `sounddevice` whose microphone takes one rate and hears what `sound` has, then silence, from a thread."""

    class PortAudioError(Exception): ...

    def __init__(self, rate: int = 48_000, sound: bytes = b"") -> None:
        super().__init__("sounddevice")
        self._rate, self._sound = rate, sound
        self.RawInputStream = lambda **settings: _Stream(self._sound, **settings)

    def check_input_settings(self, *, samplerate: int, **_: object) -> None:
        if samplerate != self._rate:
            raise self.PortAudioError("Invalid sample rate")


class SoundCard(ModuleType):
    """A `sounddevice` whose loudspeaker plays from a thread, as fast as it can, or `fill` by `fill`."""

    class PortAudioError(Exception): ...

    def __init__(self, *, runs: bool = True) -> None:
        super().__init__("sounddevice")
        self.played, self.is_closed = b"", False
        self._runs, self._stopped = runs, threading.Event()

    def RawOutputStream(self, *, callback: Callable[..., None], **_: object) -> "SoundCard":
        self._callback = callback
        return self

    def fill(self, n_bytes: int) -> None:
        out = bytearray(n_bytes)
        self._callback(out, n_bytes // 2, None, None)
        self.played += out

    def start(self) -> None:
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def close(self) -> None:
        self.is_closed = True

    def _play(self) -> None:
        while self._runs and not self._stopped.wait(0.001):
            self.fill(4800)


class _Stream:
    def __init__(self, sound: bytes, *, blocksize: int, callback: Callable[..., None], **_: object) -> None:
        silence = bytes(2 * blocksize)
        frames = [sound[start : start + 2 * blocksize] for start in range(0, len(sound), 2 * blocksize)]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._hear, args=([*frames, *[silence] * 200], callback))

    def _hear(self, frames: list[bytes], callback: Callable[..., None]) -> None:
        for frame in frames:
            if self._ended.is_set():
                return
            callback(memoryview(frame), len(frame) // 2, None, None)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()


@pytest.mark.anyio
async def test_a_recording_is_heard_answered_and_accounted_for(
    spoken: Callable[..., Any], question: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with spoken() as house:
        url = str(house.http.base_url)
        arguments = ["listen", str(question), "--url", url, "--instructions", "Be brief.", "--max-tokens", "9"]
        assert await asyncio.to_thread(main, arguments) == 0
        (request,) = house.llm.requests
    said = capsys.readouterr().out
    heard = re.search(r"heard +(number \d+)", said)
    assert heard is not None
    assert f"answer   You said: {heard[1]}.\n" in said
    assert re.search(r"prosody +on", said)
    assert all(re.search(rf"{stage} +\d+\.\d ms", said) for stage in TIMES)
    assert "\r" not in said  # nothing is rewritten where it can't be
    assert request["messages"][0]["content"] == "Be brief."
    assert request["max_tokens"] == 9


@pytest.mark.anyio
async def test_what_is_spoken_may_be_saved(spoken: Callable[..., Any], question: Path, tmp_path: Path) -> None:
    path = tmp_path / "answer.wav"
    async with spoken(speech="espeak-ng", speech_lead_s=30) as house:
        arguments = ["listen", str(question), "--url", str(house.http.base_url), "--save-speech", str(path)]
        assert await asyncio.to_thread(main, arguments) == 0
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert 0.5 < file.getnframes() / 24_000 < 10


@pytest.mark.anyio
async def test_what_is_spoken_may_be_played(
    spoken: Callable[..., Any], question: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SoundCard()
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    async with spoken(speech="espeak-ng", speech_lead_s=30) as house:
        arguments = ["listen", str(question), "--url", str(house.http.base_url), "--speech"]
        assert await asyncio.to_thread(main, arguments) == 0
    assert len(card.played.strip(b"\0")) > 24_000
    assert card.is_closed


def test_a_loudspeaker_plays_in_order_and_nothing_that_was_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", card := SoundCard(runs=False))
    speaker = loudspeaker.SoundCard()
    for part in (b"\1" * 6, b"\2" * 6):
        speaker.play(part)
    card.fill(8)
    speaker.clear()
    speaker.play(b"\3" * 2)
    card.fill(4)
    speaker.close()
    assert card.played == b"\1" * 6 + b"\2" * 2 + b"\3" * 2 + bytes(2)


@pytest.mark.anyio
async def test_a_gateway_without_a_voice_says_so(
    spoken: Callable[..., Any], question: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with spoken() as house:
        arguments = ["listen", str(question), "--url", str(house.http.base_url), "--save-speech", str(tmp_path / "a")]
        assert await asyncio.to_thread(main, arguments) == 1
    assert "TEXTPRO_SPEECH" in capsys.readouterr().err


@pytest.mark.anyio
async def test_json_prints_each_event_and_no_prosody_leaves_the_tone_out(
    spoken: Callable[..., Any], question: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with spoken() as house:
        arguments = ["listen", str(question), "--url", str(house.http.base_url), "--json", "--no-prosody"]
        assert await asyncio.to_thread(main, arguments) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["type"] for event in events][:3] == ["ready", "speech_started", "eager"]
    assert events[-1]["type"] == "done"
    assert events[-1]["prosody"] == "off"


@pytest.mark.anyio
async def test_what_could_not_be_heard_is_shown_and_a_failure(
    spoken: Callable[..., Any], question: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with spoken() as house:
        house.encoder.error = NotFound("gone")
        assert await asyncio.to_thread(main, ["listen", str(question), "--url", str(house.http.base_url)]) == 1
    assert re.search(r"error +.*gone", capsys.readouterr().out)


@pytest.mark.anyio
async def test_ctrl_c_ends_the_conversation(spoken: Callable[..., Any], tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    long.write_bytes(wav_of(hum(6000)))
    async with spoken() as house:
        listening = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "services.cli", "listen", str(long), "--url", str(house.http.base_url)],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        assert listening.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            assert await listening.stdout.readline() == b"listening to long.wav; Ctrl-C ends it\n"
            listening.send_signal(signal.SIGINT)
            _, complaints = await listening.communicate()
        assert (listening.returncode, complaints) == (130, b"")
        ended = 'textpro_requests_total{operation="stream",outcome="ok",service="gateway"} 1.0'
        await house.until(lambda: _metrics_have(house, ended))


async def _metrics_have(house: Any, line: str) -> bool:
    return line in (await house.http.get("/metrics")).text


@pytest.mark.anyio
async def test_a_microphone_is_heard_at_the_rate_that_it_has(
    spoken: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", Microphone(8000, hum(50)[::2].tobytes()))
    async with spoken(live_idle_s=0.5) as house:
        arguments = ["listen", "--url", str(house.http.base_url), "--json"]
        assert await asyncio.to_thread(main, arguments) == 1  # its silence has an end, and then the gateway hangs up
    said = capsys.readouterr()
    events = [json.loads(line) for line in said.out.splitlines()]
    assert events[0]["input"] == {"coding": "pcm", "rate": 8000, "bytes": 0}
    assert events[-1]["type"] == "done"
    assert "TEXTPRO_LIVE_IDLE_S" in said.err


def test_without_a_microphone_s_package_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert main(["listen"]) == 1
    said = capsys.readouterr().err
    assert "pip install 'textpro[listen]'" in said
    assert said.count("\n") == 1


def test_a_microphone_of_no_use_is_said_plainly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", Microphone(44_100))
    assert main(["listen"]) == 1
    assert "no microphone can be used: Invalid sample rate" in capsys.readouterr().err


@pytest.mark.anyio
async def test_a_refusal_is_shown_in_the_gateway_s_own_words(
    spoken: Callable[..., Any], question: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with spoken() as house:
        arguments = ["listen", str(question), "--url", str(house.http.base_url), "--max-tokens", "1000000"]
        assert await asyncio.to_thread(main, arguments) == 1
    assert "the gateway answered 400: max_tokens is 1000000" in capsys.readouterr().err


def test_no_gateway_no_address_and_no_file_are_said_plainly(question: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listen", str(question), "--url", f"http://127.0.0.1:{free_port()}"]) == 1
    assert "start one with `textpro up`" in capsys.readouterr().err
    assert main(["listen", str(question), "--url", "nowhere"]) == 1
    assert "expected http://host:port" in capsys.readouterr().err
    assert main(["listen", "no.wav"]) == 1
    assert "no.wav can't be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://[::1", "http://localhost:http", "http://localhost:70000", "http://a..b"])
def test_what_is_no_address_is_said_in_one_line(url: str, question: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listen", str(question), "--url", url]) == 1
    assert capsys.readouterr().err == f"textpro: {url!r} is no gateway's address; expected http://host:port\n"


def test_an_address_that_redirects_to_http_is_told_where_to(question: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Moved(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(308)
            self.send_header("Location", "https://example.org/v1/stream")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Moved) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            assert main(["listen", str(question), "--url", url]) == 1
        finally:
            server.shutdown()
    assert f"{url} redirects to https://example.org/v1/stream" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """What stands on it: a line that was rewritten is its last version."""
        return [line.rpartition("\x1b[2K")[2] for line in self.getvalue().split("\n")]


def test_the_last_line_of_a_terminal_says_whose_turn_it_is() -> None:
    terminal = Terminal()
    screen = LiveScreen("the microphone", terminal)
    states = {}
    for kind in ("ready", "speech_started", "eager", "resumed", "speech_stopped"):
        screen({"type": kind})
        states[kind] = terminal.lines()[-1].strip(" …")
    assert states == {
        "ready": "listening",
        "speech_started": "hearing you",
        "eager": "eager: an answer is under way",
        "resumed": "hearing you",
        "speech_stopped": "understanding",
    }
    screen({"type": "transcript", "text": "Hello."})
    assert terminal.lines()[-1].strip(" …") == "answering"
    for text in ("Hi ", "there."):
        screen({"type": "delta", "text": text})
    screen(DONE)
    assert terminal.lines()[2:5] == ["  heard    Hello.", "  answer   Hi there.", "  prosody  on"]
    assert terminal.lines()[-1].strip(" …") == "listening"
    screen.end()
    assert terminal.lines()[-1] == ""


def test_an_answer_that_was_interrupted_says_so_below_what_was_shown() -> None:
    out = io.StringIO()
    screen = LiveScreen("a.wav", out)
    screen({"type": "delta", "text": "The capital"})
    screen({"type": "clear"})
    screen(DONE | {"status": "cancelled", "reason": "turn_detected"})
    screen({"type": "something new"})
    assert out.getvalue().startswith("  answer   The capital\n           (interrupted)\n  prosody  on\n")
