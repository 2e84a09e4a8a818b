import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.cli import main
from services.contracts.chat import EXAMPLE_ANSWER
from services.contracts.errors import Overloaded, body

RECORDING = Path(__file__).parents[2] / "examples" / "capital.wav"


class FakeGateway(ThreadingHTTPServer):
    """Answers every turn with the protocol's example, whole or streamed, refuses or redirects it; keeps what it was
    sent."""

    def __init__(
        self, *, refuses: bool = False, breaks_off: bool = False, moved_to: str | None = None, **answer: str
    ) -> None:
        """answer: what is other than in the example."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = EXAMPLE_ANSWER | answer
        self.refuses, self.breaks_off, self.moved_to = refuses, breaks_off, moved_to
        self.sent: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fields(self, turn: int) -> dict[str, str]:
        found = re.findall(rb'name="(\w+)"\r\n\r\n(.*?)\r\n--', self.sent[turn][1], re.DOTALL)
        return {name.decode(): value.decode() for name, value in found}


class _Handler(BaseHTTPRequestHandler):
    server: FakeGateway  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        self.server.sent.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
        if self.server.refuses:
            return self._answer(429, "application/json", json.dumps(body(Overloaded("the house is full"))))
        if self.server.moved_to is not None:
            return self._answer(308, "text/html", "<p>moved</p>", Location=self.server.moved_to)
        if "text/event-stream" not in self.headers["Accept"]:
            return self._answer(200, "application/json", json.dumps(self.server.answer))
        pieces = self.server.answer["reply"].split(" ")
        deltas = [("delta", {"text": piece + (" " if i + 1 < len(pieces) else "")}) for i, piece in enumerate(pieces)]
        events = [("transcript", {"transcript": self.server.answer["transcript"]}), *deltas]
        events += [] if self.server.breaks_off else [("done", self.server.answer)]
        stream = "".join(f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n" for name, data in events)
        return self._answer(200, "text/event-stream", stream)

    def _answer(self, status: int, kind: str, text: str, **more: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(text.encode())), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def serving(gateway: FakeGateway) -> Iterator[FakeGateway]:
    with gateway:
        thread = threading.Thread(target=gateway.serve_forever)
        thread.start()
        try:
            yield gateway
        finally:
            gateway.shutdown()
            thread.join()


def test_a_turn_is_shown_with_transcript_answer_prosody_and_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeGateway()) as gateway:
        assert main(["chat", str(RECORDING), "--url", gateway.url]) == 0
    said = capsys.readouterr().out
    assert re.search(r"heard +What is the capital of France\?", said)
    assert re.search(r"answer +The capital of France is Paris\.", said)
    assert re.search(r"prosody +on", said)
    assert all(re.search(rf"{stage} +{ms:.1f} ms", said) for stage, ms in EXAMPLE_ANSWER["timing_ms"].items())


def test_a_streamed_turn_shows_the_same_lines_as_a_whole_one(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeGateway()) as gateway:
        main(["chat", str(RECORDING), "--url", gateway.url])
        whole = capsys.readouterr().out
        main(["chat", str(RECORDING), "--url", gateway.url, "--stream"])
        assert capsys.readouterr().out == whole


def test_a_streamed_answer_may_have_any_of_unicode_s_line_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeGateway(reply="a\u2028b\u2029c\x85d")) as gateway:
        assert main(["chat", str(RECORDING), "--url", gateway.url, "--stream"]) == 0
    assert "a\u2028b\u2029c\x85d" in capsys.readouterr().out


def test_the_recording_is_sent_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeGateway()) as gateway:
        main(["chat", str(RECORDING), "--url", gateway.url])
        assert RECORDING.read_bytes() in gateway.sent[0][1]
        assert b'filename="capital.wav"' in gateway.sent[0][1]


def test_several_recordings_are_turns_of_one_session(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeGateway()) as gateway:
        main(["chat", str(RECORDING), str(RECORDING), "--url", gateway.url, "--prosody", "off", "--max-tokens", "9"])
        assert gateway.fields(0) == {"prosody": "off", "max_tokens": "9"}
        assert gateway.fields(1) == {"prosody": "off", "max_tokens": "9", "session_id": EXAMPLE_ANSWER["session_id"]}


def test_a_named_session_is_continued(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeGateway()) as gateway:
        main(["chat", str(RECORDING), "--url", gateway.url, "--session", "s_mine", "--api-key", "k"])
        assert gateway.fields(0)["session_id"] == "s_mine"
        assert gateway.sent[0][0]["Authorization"] == "Bearer k"


def test_a_turn_is_answered_in_the_tone_of_an_earlier_one_by_the_id_that_was_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(FakeGateway()) as gateway:
        main(["chat", str(RECORDING), "--url", gateway.url])
        (turn,) = re.findall(r"^  turn +(\S+)$", capsys.readouterr().out, re.MULTILINE)
        main(["chat", str(RECORDING), "--url", gateway.url, "--session", "s_mine", "--prosody-from", turn])
        asked = {"prosody": "on", "prosody_from": EXAMPLE_ANSWER["turn_id"], "session_id": "s_mine"}
        assert gateway.fields(1) == asked


def test_a_proxy_in_the_environment_is_not_asked_for_a_gateway_on_this_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(FakeGateway()) as gateway:
        assert main(["chat", str(RECORDING), "--url", gateway.url]) == 0


def test_json_prints_each_turn_as_the_protocol_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeGateway()) as gateway:
        main(["chat", str(RECORDING), str(RECORDING), "--url", gateway.url, "--json"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [EXAMPLE_ANSWER] * 2


@pytest.mark.parametrize("mode", [[], ["--stream"]])
def test_a_refusal_is_shown_in_the_gateways_own_words(mode: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeGateway(refuses=True)) as gateway:
        assert main(["chat", str(RECORDING), "--url", gateway.url, *mode]) == 1
    assert "429: the house is full" in capsys.readouterr().err


@pytest.mark.parametrize("mode", [[], ["--stream"]])
def test_an_address_that_redirects_is_told_where_to(mode: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeGateway(moved_to="/elsewhere")) as gateway:
        assert main(["chat", str(RECORDING), "--url", gateway.url, *mode]) == 1
        assert f"{gateway.url}/v1/chat redirects to {gateway.url}/elsewhere" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://[::1", "http://localhost:http", "nowhere", "ftp://localhost", "http://a..b"])
def test_what_is_no_address_is_said_plainly(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", str(RECORDING), "--url", url]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"textpro: {url!r} is no gateway's address")
    assert said.count("\n") == 1


def test_a_stream_that_ends_early_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(FakeGateway(breaks_off=True)) as gateway:
        assert main(["chat", str(RECORDING), "--url", gateway.url, "--stream"]) == 1
    assert "without a `done` event" in capsys.readouterr().err


def test_no_gateway_and_no_file_are_said_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = FakeGateway()
    gateway.server_close()
    assert main(["chat", str(RECORDING), "--url", gateway.url]) == 1
    assert "start one with `textpro up`" in capsys.readouterr().err
    assert main(["chat", str(tmp_path / "no.wav"), "--url", gateway.url]) == 1
    assert "no.wav can't be read: No such file" in capsys.readouterr().err
