"""Sound in the formats of live clients."""

import numpy as np
import pytest

from services.gateway.formats import G711_RATE, HEARD, Converter, Format

PCM_24 = Format("pcm", 24_000)
FORMATS = [HEARD, PCM_24, Format("pcmu", G711_RATE), Format("pcma", G711_RATE)]
SECOND = 1.0


def tone(rate: int, hz: float = 440.0) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * hz * np.arange(int(SECOND * rate)) / rate)).astype("<i2")


def through(converter: Converter, data: bytes, size: int) -> bytes:
    parts = [converter.convert(data[start : start + size]) for start in range(0, len(data), size)]
    return b"".join(parts) + converter.flush()


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_what_is_heard_is_what_was_sent(form: Format) -> None:
    sent = through(Converter(HEARD, form), tone(16_000).tobytes(), 640)
    assert len(sent) == form.bytes_per_second
    heard = np.frombuffer(through(Converter(form, HEARD), sent, 640), "<i2").astype(float)
    assert len(heard) == 16_000
    middle = slice(1000, -1000)
    error = np.sqrt(np.mean((heard - tone(16_000))[middle] ** 2))
    assert error < 400  # of 8,000: what G.711 and the filters take


@pytest.mark.parametrize("form", FORMATS, ids=str)
@pytest.mark.parametrize("size", [1, 3, 160, 960, 4801])
def test_it_does_not_matter_how_the_stream_is_cut(form: Format, size: int) -> None:
    data = through(Converter(HEARD, form), tone(16_000)[:3200].tobytes(), 10_000)
    assert through(Converter(form, HEARD), data, size) == through(Converter(form, HEARD), data, len(data))


def test_a_stream_lags_less_than_two_milliseconds() -> None:
    assert len(Converter(PCM_24, HEARD).convert(tone(24_000).tobytes())) > 2 * (16_000 - 32)


def test_nothing_gives_nothing() -> None:
    converter = Converter(PCM_24, HEARD)
    assert converter.convert(b"") + converter.convert(b"\x01") + converter.flush() == b""
