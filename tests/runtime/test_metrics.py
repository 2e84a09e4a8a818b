"""The vocabulary of metrics."""

import asyncio
from contextlib import suppress

import pytest

from services.contracts.errors import Overloaded
from services.runtime.metrics import STAGE_BUCKETS_S, Metrics
from textpro.errors import AudioError


def ended(metrics: Metrics, outcome: str) -> float | None:
    labels = {"service": "gateway", "operation": "chat", "outcome": outcome}
    return metrics.registry.get_sample_value("textpro_requests_total", labels)


def in_flight(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("textpro_in_flight", {"service": "gateway", "operation": "chat"})


def test_stage_buckets_start_at_a_millisecond_and_reach_a_minute() -> None:
    assert STAGE_BUCKETS_S[0] == 0.001
    assert STAGE_BUCKETS_S[-1] == 60.0
    assert list(STAGE_BUCKETS_S) == sorted(STAGE_BUCKETS_S)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (Overloaded("full"), "overloaded"),
        (AudioError("no"), "invalid_audio"),
        (asyncio.CancelledError(), "cancelled"),
        (KeyError("x"), "internal_error"),
    ],
)
def test_a_request_is_counted_by_how_it_ended(error: BaseException | None, outcome: str) -> None:
    metrics = Metrics("gateway")
    with suppress(BaseException), metrics.serving("chat"):
        assert in_flight(metrics) == 1
        if error:
            raise error
    assert ended(metrics, outcome) == 1
    assert in_flight(metrics) == 0


def test_every_metric_has_help_and_names_its_service() -> None:
    metrics = Metrics("llm")
    metrics.stages({"prefill": 12.5})
    metrics.batch(3)
    metrics.llm_tokens(prompt=7, completion=2, cached=4)
    metrics.sessions(1)
    metrics.eager("promoted")
    metrics.turn("answered")
    metrics.spoken(1.5)
    ours = [family for family in metrics.registry.collect() if family.name.startswith("textpro_")]
    assert len(ours) == 13
    for family in ours:
        assert family.documentation.endswith(".")
        assert all(sample.labels["service"] == "llm" for sample in family.samples)


def test_two_processes_worth_of_metrics_do_not_collide() -> None:
    first, second = Metrics("gateway"), Metrics("gateway")
    first.request("chat", "ok")
    assert ended(second, "ok") is None
