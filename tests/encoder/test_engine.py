"""The real engine behind the real wires, with the embedded bundle; and the process as an operator runs it."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.contracts import encoder_pb2
from services.encoder.engine import load, warm_up_audio

COMMAND = [sys.executable, "-m", "services.encoder"]
ROOT = Path(__file__).parents[2]


def speech(k: int) -> bytes:
    """A vowel's buzz of a length of its own, PCM16."""
    samples = np.tile(warm_up_audio(), 2)[: 16_000 + 700 * k]
    return (samples * 20_000).astype("<i2").tobytes()


@pytest.mark.embedded
@pytest.mark.anyio
async def test_batched_answers_equal_single_ones_with_the_embedded_bundle(served, tmp_path: Path) -> None:
    async with served(load, threads=1, cache=tmp_path) as client:
        await client.healthy()
        requests = [
            encoder_pb2.EncodeRequest(pcm16=speech(k), prosody=encoder_pb2.PROSODY_KIND_TOKENS) for k in range(32)
        ]
        single = [await client.stub.Encode(request) for request in requests]
        together = await asyncio.gather(*map(client.stub.Encode, requests))
    for alone, batched in zip(single, together, strict=True):
        assert alone.text == batched.text
        assert alone.no_speech_reason == batched.no_speech_reason
        assert list(alone.prosody.shape) == list(batched.prosody.shape)
        one, other = (np.frombuffer(answer.prosody.data, "<f2").astype(np.float32) for answer in (alone, batched))
        np.testing.assert_allclose(one, other, atol=2e-2, rtol=2e-2)


@pytest.mark.embedded
def test_the_process_serves_when_ready_and_ends_cleanly_on_sigterm(tmp_path: Path, free_ports: tuple[int, int]) -> None:
    http, rpc = free_ports
    settings = {
        "TEXTPRO_ENCODER_HTTP_PORT": str(http),
        "TEXTPRO_ENCODER_GRPC_PORT": str(rpc),
        "TEXTPRO_CACHE": str(tmp_path),
    }
    with (
        subprocess.Popen(COMMAND, cwd=ROOT, env=os.environ | settings, stderr=subprocess.PIPE, text=True) as process,
        grpc.insecure_channel(f"127.0.0.1:{rpc}") as channel,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=120
        )
        assert any(answer.status == health_pb2.HealthCheckResponse.SERVING for answer in watch)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("settings", "status", "message"),
    [
        ({"TEXTPRO_ENCODER_QUEU": "3"}, 2, "did you mean TEXTPRO_ENCODER_QUEUE?"),
        ({"TEXTPRO_ENCODER_QUEUE": "many"}, 2, "TEXTPRO_ENCODER_QUEUE is 'many'"),
        ({"TEXTPRO_ENCODER_HOST": "203.0.113.9"}, 1, "can't listen on 203.0.113.9"),
    ],
)
def test_a_setting_that_is_wrong_ends_the_process_with_a_sentence(settings, status: int, message: str) -> None:
    ended = subprocess.run(COMMAND, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, timeout=120)
    assert ended.returncode == status
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
