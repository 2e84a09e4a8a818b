import io
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli import build_parser
from services.cli.up import Addresses, PortTaken, children, chosen_addresses, claim, printer

RECORDING = Path(__file__).parents[2] / "examples" / "capital.wav"
DEFAULTS = Addresses("127.0.0.1", 0, 0, 0, 0)


def test_a_taken_port_is_refused_with_the_option_that_changes_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{port} .*--encoder-port"):
            claim(Addresses("127.0.0.1", 0, port, 0, 0))
        with pytest.raises(PortTaken, match="--llm-port"):
            claim(Addresses("127.0.0.1", 0, 0, 0, port))


def test_two_services_on_one_port_are_refused() -> None:
    port = claim(DEFAULTS).port
    with pytest.raises(PortTaken, match="--encoder-port"):
        claim(Addresses("127.0.0.1", port, port, 0, 0))


def test_port_0_becomes_four_different_free_ports() -> None:
    claimed = claim(DEFAULTS)
    assert len({claimed.port, claimed.encoder_http_port, claimed.encoder_grpc_port, claimed.llm_port} - {0}) == 4


def hosts(*arguments: str) -> list[str]:
    """Where the gateway, the encoder and the LLM listen by a command line."""
    encoder, llm, gateway = children(chosen_addresses(build_parser().parse_args(["up", *arguments])))
    return [gateway.env["TEXTPRO_HOST"], encoder.env["TEXTPRO_ENCODER_HOST"], llm.env["TEXTPRO_LLM_HOST"]]


def test_an_address_in_the_environment_opens_its_own_service_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTPRO_HOST", "0.0.0.0")
    assert hosts() == ["0.0.0.0", "127.0.0.1", "127.0.0.1"]
    monkeypatch.setenv("TEXTPRO_LLM_HOST", "::1")
    assert hosts() == ["0.0.0.0", "127.0.0.1", "::1"]
    assert hosts("--host", "127.0.0.2") == ["127.0.0.2"] * 3


@pytest.mark.parametrize(("host", "near"), [("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::1]")])
def test_the_gateway_is_told_where_the_others_listen(host: str, near: str) -> None:
    addresses = Addresses(host, 1, 2, 3, 4, encoder_host=host, llm_host=host)
    encoder, llm, gateway = children(addresses, bundle="mine")
    assert gateway.env["TEXTPRO_ENCODER_URL"] == f"{near}:3"
    assert gateway.env["TEXTPRO_LLM_URL"] == f"http://{near}:4"
    assert addresses.gateway_url == f"http://{near}:1"
    assert encoder.env["TEXTPRO_ENCODER_BUNDLE"] == llm.env["TEXTPRO_LLM_BUNDLE"] == "mine"
    assert [child.ready_url for child in (encoder, llm, gateway)] == [
        f"http://{near}:2/readyz",
        f"http://{near}:4/readyz",
        f"http://{near}:1/readyz",
    ]


@pytest.mark.parametrize("port", ["70000", "-1", "http"])
def test_what_is_no_port_is_a_wrong_command_line(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args(["up", f"--llm-port={port}"])
    assert end.value.code == 2
    assert f"argument --llm-port: {port!r} is no port; expected 0 to 65535" in capsys.readouterr().err


def test_a_line_that_nobody_reads_any_more_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb", buffering=0) as unread:
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(unread, write_through=True))
        printer()("llm", "a line")
        with pytest.raises(BrokenPipeError):
            print("another", file=sys.stderr, flush=True)


@pytest.mark.embedded
def test_up_serves_a_spoken_question_until_it_is_interrupted() -> None:
    ports = ["--port=0", "--encoder-port=0", "--encoder-grpc-port=0", "--llm-port=0"]
    command = [sys.executable, "-m", "services.cli", "up", "--quiet", *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        try:
            greeting = up.stdout.readline()
            url = greeting.removeprefix("textpro is up: ").split(" ")[0]
            ask = [sys.executable, "-m", "services.cli", "chat", str(RECORDING), "--url", url]
            ask += ["--json", "--temperature", "0"]
            answered = subprocess.run(ask, capture_output=True, text=True, timeout=120, check=False)
        finally:
            up.send_signal(signal.SIGINT)
            _, complaint = up.communicate(timeout=60)
    assert up.returncode == 0, complaint
    assert answered.returncode == 0, answered.stderr
    assert "Paris" in json.loads(answered.stdout)["reply"]
