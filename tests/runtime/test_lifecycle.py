"""Readiness by name and reason, and the signal to stop."""

import asyncio
import os
import signal

import pytest

from services.contracts.errors import Unavailable
from services.runtime.lifecycle import Readiness, stop_signal


def test_a_process_is_ready_when_every_dependency_is() -> None:
    readiness = Readiness("model", "redis")
    readiness.ready("model")
    assert not readiness.is_ready
    assert readiness.report()["dependencies"] == {"model": "ok", "redis": "starting"}
    readiness.ready("redis")
    assert readiness.is_ready
    readiness.require()


def test_a_lost_dependency_is_named_with_its_reason() -> None:
    readiness = Readiness("redis")
    readiness.ready("redis")
    readiness.not_ready("redis", "connection refused")
    with pytest.raises(Unavailable, match="redis: connection refused") as caught:
        readiness.require()
    assert caught.value.retry_after_s


def test_a_remark_about_a_dependency_is_shown_and_keeps_nobody_out() -> None:
    readiness = Readiness("llm")
    readiness.ready("llm", "it is slow")
    assert readiness.is_ready
    assert readiness.report()["dependencies"] == {"llm": "ok, but it is slow"}
    readiness.ready("llm")
    assert readiness.report()["dependencies"] == {"llm": "ok"}


def test_draining_overrides_what_is_ready() -> None:
    readiness = Readiness()
    assert readiness.is_ready
    readiness.drain()
    assert not readiness.is_ready
    with pytest.raises(Unavailable, match="stopping"):
        readiness.require()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.usefixtures("terminal")
def test_a_signal_sets_the_event(number: signal.Signals) -> None:
    async def told() -> bool:
        async with stop_signal() as stop:
            os.kill(os.getpid(), number)
            async with asyncio.timeout(5):
                return await stop.wait()

    assert asyncio.run(told())


def test_a_closed_terminal_stops_no_process_that_nohup_started() -> None:
    async def told() -> bool:
        async with stop_signal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
            await stop.wait()
            return signal.getsignal(signal.SIGHUP) != signal.SIG_IGN

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert not asyncio.run(told())
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
