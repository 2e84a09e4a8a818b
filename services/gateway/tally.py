"""How turns end, for the metrics."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from services.contracts.chat import Usage
from services.runtime.metrics import Metrics


@contextmanager
def bad_ends_counted(metrics: Metrics) -> Iterator[None]:
    """Counts turns that have no good end."""
    try:
        yield
    except (asyncio.CancelledError, GeneratorExit):
        metrics.turn("interrupted")
        raise
    except BaseException:
        metrics.turn("failed")
        raise


def count_good_end(
    metrics: Metrics, *, timing_ms: Mapping[str, float], usage: Usage, audio_seconds: float, no_speech: str | None
) -> None:
    """Counts a turn that was answered, or in which nothing was said, with what it took."""
    metrics.turn("no_speech" if no_speech else "answered")
    metrics.stages(timing_ms)
    metrics.audio(audio_seconds)
    metrics.llm_tokens(prompt=usage.prompt_tokens, completion=usage.completion_tokens)
    if no_speech:
        metrics.no_speech(no_speech)
