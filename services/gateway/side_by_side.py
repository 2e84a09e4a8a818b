"""Several utterances at the encoder at once, a bounded number of them."""

import asyncio
from collections.abc import Sequence

from services.gateway.encoder_client import Encoder, ProsodyKind, Speech
from services.gateway.limits import Deadline

AT_ONCE = 4  # of one request: the encoder runs them in one batch, and others find room beside them


async def encode_all(
    utterances: Sequence[bytes],
    encoder: Encoder,
    *,
    prosody: ProsodyKind,
    encode_timeout_s: float,
    deadline: Deadline,
    language: str = "",
) -> list[Speech]:
    """utterances: PCM16, mono, 16 kHz, each -> what was heard, in their order. The first error ends the others."""
    room = asyncio.Semaphore(AT_ONCE)

    async def encode(pcm16: bytes) -> Speech:
        async with room:
            timeout_s = min(encode_timeout_s, deadline.remaining_s)
            return await encoder.encode(pcm16, prosody=prosody, timeout_s=timeout_s, language=language)

    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(encode(pcm16), name=f"encode {i}") for i, pcm16 in enumerate(utterances)]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in running]
