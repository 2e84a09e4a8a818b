"""decode(): every common kind of recording is heard alike, and nothing odd gets through."""

import gzip
import io
import struct
import tracemalloc
import wave

import av
import numpy as np
import pytest

from textpro.audio import decode
from textpro.errors import AudioError, AudioTooLong

RATE = 16_000


def tone(seconds: float = 1.0, rate: int = RATE, hz: float = 440.0) -> np.ndarray:
    """(S,) float64, amplitude a half, nothing near its edges that a codec could smear."""
    t = np.arange(round(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * hz * t) * np.minimum(1, np.minimum(t, seconds - t) * 50)


def wav(samples: np.ndarray, rate: int = RATE, width: int = 2) -> bytes:
    """samples: (S,) or (S, C) in [-1, 1] -> PCM WAV of `width` bytes a sample."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    scaled = np.clip(np.rint(samples * 2 ** (8 * width - 1)), -(2 ** (8 * width - 1)), 2 ** (8 * width - 1) - 1)
    if width == 1:
        raw = (scaled + 128).astype("u1").tobytes()
    else:
        raw = scaled.astype("<i4").reshape(-1, 1).view("u1")[:, :width].tobytes()
    with io.BytesIO() as data:
        with wave.open(data, "wb") as out:
            out.setnchannels(channels)
            out.setsampwidth(width)
            out.setframerate(rate)
            out.writeframes(raw)
        return data.getvalue()


def float_wav(samples: np.ndarray, bits: int = 32, rate: int = RATE) -> bytes:
    raw = samples.astype(f"<f{bits // 8}").tobytes()
    return wav_header(kind=3, bits=bits, rate=rate, size=len(raw)) + raw


def wav_header(*, rate: int = RATE, channels: int = 1, bits: int = 16, kind: int = 1, size: int = 0) -> bytes:
    block = max(1, channels * bits // 8)
    fmt = struct.pack("<HHIIHH", kind, channels, rate, rate * block & 0xFFFFFFFF, block, bits)
    riff = struct.pack("<4sI4s4sI", b"RIFF", (size + 36) & 0xFFFFFFFF, b"WAVE", b"fmt ", 16)
    return riff + fmt + struct.pack("<4sI", b"data", size)


def encoded(container: str, codec: str, samples: np.ndarray, rate: int = 48_000) -> bytes:
    """A file that PyAV writes."""
    with io.BytesIO() as data:
        with av.open(data, "w", format=container) as out:
            stream = out.add_stream(codec, rate=rate, layout="mono")
            wanted = stream.codec_context.format.name
            resampler = av.AudioResampler(format=wanted, layout="mono", rate=rate, frame_size=stream.frame_size or 1024)
            frame = av.AudioFrame.from_ndarray(samples.astype("<f4")[None], format="flt", layout="mono")
            frame.sample_rate = rate
            for piece in (*resampler.resample(frame), *resampler.resample(None)):
                out.mux(stream.encode(piece))
            out.mux(stream.encode(None))
        return data.getvalue()


def frequency(audio: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(audio * np.hanning(len(audio)))).argmax() * RATE / len(audio))


def assert_is_tone(audio: np.ndarray, *, seconds: float = 1.0, hz: float = 440.0, rms: float = 0.35) -> None:
    assert (audio.dtype, audio.ndim) == (np.float32, 1)
    assert len(audio) == pytest.approx(seconds * RATE, abs=0.08 * RATE)
    assert frequency(audio) == pytest.approx(hz, abs=3)
    assert audio.std() == pytest.approx(rms, rel=0.1)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_every_sample_rate_gives_the_same_tone_at_16_khz(rate: int) -> None:
    assert_is_tone(decode(wav(tone(rate=rate), rate)))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_width_of_integers_gives_the_same_tone(width: int) -> None:
    assert_is_tone(decode(wav(tone(), width=width)))


@pytest.mark.parametrize("bits", [32, 64])
def test_float_samples_give_the_same_tone(bits: int) -> None:
    assert_is_tone(decode(float_wav(tone(), bits)))


def test_pcm16_at_16_khz_comes_through_unchanged() -> None:
    samples = np.random.default_rng(0).integers(-20_000, 20_000, RATE)
    samples -= round(samples.mean())
    audio = decode(wav(samples / 32768))
    np.testing.assert_allclose(audio, samples / 32768, atol=2e-5)


@pytest.mark.parametrize("channels", [2, 3, 6, 8])
def test_channels_are_mixed_to_one(channels: int) -> None:
    assert_is_tone(decode(wav(np.repeat(tone()[:, None], channels, axis=1))))


def test_every_channel_is_heard_in_the_mix() -> None:
    channels = np.stack([tone(hz=300 + 200 * i) for i in range(8)], axis=1)
    spectrum = np.abs(np.fft.rfft(decode(wav(channels))))
    assert all(spectrum[300 + 200 * i] > 100 for i in range(8))


def test_channels_that_cancel_each_other_are_still_heard() -> None:
    assert_is_tone(decode(wav(np.stack([tone(), -tone()], axis=1))))


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("flac", "flac", 44_100),
        ("mp3", "libmp3lame", 44_100),
        ("mp3", "libmp3lame", 22_050),
        ("adts", "aac", 44_100),
        ("mp4", "aac", 48_000),
        ("ipod", "aac", 44_100),
        ("mov", "alac", 44_100),
        ("ogg", "libopus", 48_000),
        ("webm", "libopus", 48_000),
        ("matroska", "pcm_s16le", 48_000),
        ("aiff", "pcm_s16be", 44_100),
        ("au", "pcm_s16be", 44_100),
        ("au", "pcm_mulaw", 8_000),
        ("caf", "alac", 44_100),
        ("w64", "pcm_s16le", 16_000),
        ("wav", "pcm_alaw", 8_000),
    ],
)
def test_every_common_container_is_told_by_its_content(container: str, codec: str, rate: int) -> None:
    assert_is_tone(decode(encoded(container, codec, tone(rate=rate), rate)))


def test_an_id3_tag_in_front_of_an_mp3_is_skipped() -> None:
    tag = b"ID3\x04\x00\x00\x00\x00\x10\x00" + bytes(2048)
    assert_is_tone(decode(tag + encoded("mp3", "libmp3lame", tone(rate=44_100), 44_100)))


def test_an_mp3_that_was_cut_at_its_start_is_found() -> None:
    assert_is_tone(decode(encoded("mp3", "libmp3lame", tone(2, 44_100), 44_100)[700:]), seconds=2)


@pytest.mark.parametrize(
    ("container", "codec"), [("webm", "libopus"), ("ogg", "libopus"), ("mp3", "libmp3lame"), ("flac", "flac")]
)
def test_of_a_file_that_was_cut_what_is_there_is_decoded(container: str, codec: str) -> None:
    whole = encoded(container, codec, tone(5, 48_000))
    audio = decode(whole[: len(whole) * 6 // 10])
    assert 2.0 < len(audio) / RATE < 3.8
    assert frequency(audio) == pytest.approx(440, abs=3)


@pytest.mark.parametrize("claimed", [0xFFFFFFFF, 0x7FFFFFFF, 0, 10])
def test_a_wav_with_a_wrong_size_is_read_to_its_end_or_its_claim(claimed: int) -> None:
    whole = wav(tone())
    streamed = whole[:4] + struct.pack("<I", claimed) + whole[8:40] + struct.pack("<I", claimed) + whole[44:]
    try:
        assert_is_tone(decode(streamed))
    except AudioError:
        assert claimed == 10  # five samples: too short, and said so


def test_a_header_that_claims_hours_costs_no_memory() -> None:
    data = wav_header(size=0xFFFFFFF0) + wav(tone())[44:]
    tracemalloc.start()
    try:
        audio = decode(data)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    assert_is_tone(audio)


def test_audio_over_the_limit_stops_being_decoded_at_the_limit() -> None:
    minutes = encoded("flac", "flac", np.zeros(20 * 60 * 8_000), 8_000)
    assert len(minutes) < 300_000
    tracemalloc.start()
    try:
        with pytest.raises(AudioTooLong, match="60 s"):
            decode(minutes)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_audio_of_exactly_the_limit_is_accepted() -> None:
    assert len(decode(wav(tone(2.0)), max_seconds=2.0)) == 2 * RATE
    with pytest.raises(AudioTooLong):
        decode(wav(tone(2.01)), max_seconds=2.0)


def test_more_raw_samples_than_allowed_are_refused() -> None:
    with pytest.raises(AudioTooLong, match="bytes"):
        decode(wav(tone(rate=192_000), 192_000), max_decoded_bytes=100_000)


def test_an_offset_is_taken_out_and_quiet_speech_stays_quiet() -> None:
    audio = decode(wav(0.25 + 0.001 * tone()))
    assert abs(audio.mean()) < 1e-4
    assert np.abs(audio).max() < 0.01


def test_float_samples_of_any_scale_end_within_one() -> None:
    audio = decode(float_wav(1000 * tone()))
    assert np.abs(audio).max() == pytest.approx(1, abs=1e-3)
    assert frequency(audio) == pytest.approx(440, abs=3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_samples_that_are_not_finite_are_refused(value: float, rate: int) -> None:
    samples = tone(rate=rate)
    samples[5000] = value
    with pytest.raises(AudioError, match="finite"):
        decode(float_wav(samples, rate=rate))


REFUSED = {
    "nothing": b"",
    "three bytes": b"\xff\xfb\x90",
    "text": b"This is a text, whatever its name says. " * 50,
    "text with a RIFF mark": b"RIFF\x00\x00\x00\x00WAVE and then only words" * 20,
    "JSON": b'{"audio": "none"}',
    "gzip of a WAV": gzip.compress(wav(tone())),
    "a playlist": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n",
    "a concat script": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "an SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    "a header alone": wav_header(),
    "0 Hz": wav_header(rate=0, size=3200) + bytes(3200),
    "1 Hz": wav_header(rate=1, size=64_000) + bytes(64_000),
    "4 GHz": wav_header(rate=0xFFFFFFF0, size=3200) + bytes(3200),
    "0 channels": wav_header(channels=0, size=3200) + bytes(3200),
    "17 channels": wav_header(channels=17, size=34 * 800) + bytes(34 * 800),
    "an unknown format tag": wav_header(kind=0x1234, size=3200) + bytes(3200),
    "no data chunk": wav_header()[:36],
    "5 ms": wav(tone()[:80]),
    "raw mu-law": bytes(np.random.default_rng(1).integers(0, 256, 16_000, dtype=np.uint8)),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(1000),
    "zeros": bytes(100_000),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_recording_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(AudioError) as refused:
        decode(REFUSED[name])
    assert len(str(refused.value)) > 20


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_never_heard_as_speech(seed: int) -> None:
    with pytest.raises(AudioError):
        decode(np.random.default_rng(seed).bytes(200_000))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp3", "libmp3lame"), ("ogg", "libopus"), ("mp4", "aac"), ("flac", "flac"), ("webm", "libopus")],
)
def test_a_damaged_file_gives_finite_audio_or_a_reason(container: str, codec: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(encoded(container, codec, tone(1, 48_000)))
    for place in rng.integers(0, len(data), 40):
        data[place] = rng.integers(0, 256)
    try:
        audio = decode(bytes(data))
    except AudioError:
        return
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1
