"""The three services as real processes on the embedded models, each of which can be killed and started again."""

import io
import os
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from services.cli.supervisor import Child
from services.cli.up import Addresses, children, claim

READY_S = 300.0
STOP_S = 60.0


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    """int16 mono samples (S,) as a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


class Stack:
    """encoder, llm and gateway; `client` talks to the gateway."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        addresses = claim(Addresses("127.0.0.1", 0, 0, 0, 0))
        self._children = {child.name: child for child in children(addresses)}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.client = httpx.Client(base_url=addresses.gateway_url, timeout=120)

    def start(self, *names: str) -> None:
        """Starts services and waits until all of them are ready."""
        for name in names:
            child = self._children[name]
            with (self._logs / f"{name}.log").open("ab") as log:
                self._processes[name] = subprocess.Popen(
                    child.command, env={**os.environ, **child.env}, stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
        for name in names:
            self._await(self._children[name])

    def _await(self, child: Child) -> None:
        assert child.ready_url is not None
        deadline = time.monotonic() + READY_S
        while not _answers(child.ready_url):
            # Its exit is waited for a moment at a time: a service that died will not get ready.
            try:
                code = self._processes[child.name].wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, f"{child.name} is not ready after {READY_S} s"
            else:
                pytest.fail(f"{child.name} ended with {code}: {(self._logs / f'{child.name}.log').read_text()[-2000:]}")

    def add_gateway(self, name: str, **env: str) -> str:
        """One more gateway before the same encoder and LLM, started; its URL."""
        port = claim(Addresses("127.0.0.1", 0, 0, 0, 0)).port
        usual = self._children["gateway"]
        url = f"http://127.0.0.1:{port}"
        chosen = {**usual.env, "TEXTPRO_PORT": str(port), **env}
        self._children[name] = Child(name, usual.command, chosen, f"{url}/readyz")
        self.start(name)
        return url

    def kill(self, name: str) -> None:
        """Ends a service with no chance to say goodbye."""
        if process := self._processes.pop(name, None):
            process.kill()
            process.wait()

    @contextmanager
    def running(self) -> Iterator["Stack"]:
        try:
            self.start("encoder", "llm", "gateway")
            yield self
        finally:
            self.client.close()
            for process in self._processes.values():
                process.terminate()
            for process in self._processes.values():
                process.wait(timeout=STOP_S)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    assert sys.executable
    with Stack(tmp_path_factory.mktemp("stack")).running() as stack:
        yield stack
