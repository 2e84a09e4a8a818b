import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.up import Addresses, PortTaken, children, claim

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


def test_the_gateway_is_told_where_the_others_listen() -> None:
    encoder, llm, gateway = children(Addresses("0.0.0.0", 1, 2, 3, 4), bundle="mine")
    assert gateway.env["TEXTPRO_ENCODER_URL"] == "127.0.0.1:3"
    assert gateway.env["TEXTPRO_LLM_URL"] == "http://127.0.0.1:4"
    assert gateway.env["TEXTPRO_HOST"] == encoder.env["TEXTPRO_ENCODER_HOST"] == "0.0.0.0"
    assert encoder.env["TEXTPRO_ENCODER_BUNDLE"] == llm.env["TEXTPRO_LLM_BUNDLE"] == "mine"
    assert [child.ready_url for child in (encoder, llm, gateway)] == [
        "http://127.0.0.1:2/readyz",
        "http://127.0.0.1:4/readyz",
        "http://127.0.0.1:1/readyz",
    ]


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
