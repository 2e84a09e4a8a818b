"""The encoder's settings: environment variables TEXTPRO_ENCODER_… and the few every service shares."""

import os
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.encoder import SERVED_BEAM_SIZE
from services.encoder.batcher import Limits
from services.runtime.settings import ServiceSettings
from textpro.audio import SAMPLE_RATE

BYTES_PER_SAMPLE = 2


class EncoderSettings(ServiceSettings):
    """Settings of `python -m services.encoder`."""

    model_config = SettingsConfigDict(env_prefix="TEXTPRO_ENCODER_")
    foreign: ClassVar[tuple[str, ...]] = ("TEXTPRO_ENCODER_URL",)

    bundle: str = "embedded"
    """What to serve: `embedded`, a bundle directory, or the hub name of a Whisper."""

    device: str = "cpu"
    """Where the model runs: `cpu`, `cuda` or `cuda:1`."""

    compute_type: str = "float32"
    """CTranslate2's arithmetic: `float32`, `int8`, `float16`, `int8_float16`, …"""

    beam_size: int = Field(default=SERVED_BEAM_SIZE, ge=1, le=10)
    """Hypotheses kept while text is searched for. 1 is greedy: faster, and with a log-probability a token."""

    threads: int = Field(default=0, ge=0)
    """Threads of one model call; 0 takes half the cores; threads without a core wait for each other."""

    host: str = "127.0.0.1"
    """Address both doors listen on; `0.0.0.0` opens them to the network."""

    http_port: int = Field(default=8001, ge=0, le=65535)
    """Port of HTTP; 0 takes a free one."""

    grpc_port: int = Field(default=50051, ge=0, le=65535)
    """Port of gRPC; 0 takes a free one."""

    max_seconds: float = Field(default=60.0, gt=0, le=3600)
    """Longest audio accepted, in seconds."""

    max_bytes: int = Field(25 * 2**20, ge=1024)
    """Largest HTTP body accepted, in bytes."""

    max_batch: int = Field(default=16, ge=1, le=256)
    """Most requests that run together."""

    max_wait_ms: float = Field(default=3.0, ge=0, le=1000)
    """How long a request on an idle machine waits for company, in milliseconds."""

    queue: int = Field(default=64, ge=1, le=10_000)
    """Requests that may wait; one more is refused with a time to retry."""

    timeout_s: float = Field(default=30.0, gt=0, le=600)
    """Longest wait in the queue, in seconds; a caller's own deadline may be shorter."""

    @property
    def limits(self) -> Limits:
        """For the batcher."""
        return Limits(self.max_batch, self.max_wait_ms / 1000, self.queue)

    @property
    def max_pcm_bytes(self) -> int:
        """Bytes of the longest PCM16 accepted."""
        return int(self.max_seconds * SAMPLE_RATE) * BYTES_PER_SAMPLE

    @property
    def n_threads(self) -> int:
        """`threads`, with 0 resolved."""
        return self.threads or max(1, len(os.sched_getaffinity(0)) // 2)
