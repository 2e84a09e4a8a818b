"""Audio as Whisper sees it: mono float32 at 16 kHz, log-mel frames at 100 per second. Torch is not imported.

Letters: S samples, T mel frames, C channels.
"""

import io
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, groupby

import av
import numpy as np
from av import AudioFrame, AudioResampler, Packet
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from textpro.containers import sniff
from textpro.errors import AudioError, AudioTooLong

SAMPLE_RATE = 16_000
FULL_SCALE = 32_768
N_FFT = 400
HOP_LENGTH = 160
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_LENGTH
WINDOW_SECONDS = 30
FRAMES_PER_WINDOW = WINDOW_SECONDS * FRAMES_PER_SECOND
FRAMES_PER_STATE = 2  # the encoder's second convolution has stride 2

# What `decode` takes.
ACCEPTED = "WAV, FLAC, MP3, AAC, Ogg (Opus, Vorbis), WebM, MP4/M4A, AIFF, AU, CAF"
ACCEPTED_CODECS = ("pcm_", "flac", "mp3", "mp2", "aac", "alac", "opus", "libopus", "vorbis", "adpcm_", "amr", "gsm_ms")
MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz
MAX_CHANNELS = 8
MAX_SECONDS = 60.0  # of a recording, where nobody says otherwise
MAX_DECODED_BYTES = 256 * 2**20  # of raw samples; they pass by and are not kept
# Formats whose headers say all: FFmpeg's look at their samples would take most of the time.
SELF_DESCRIBING = frozenset({"wav", "w64", "aiff", "au"})
HEADER_ENOUGH = {"probesize": "4096"}  # bytes
ROUNDING_S = 1e-6  # of a sum over thousands of frames
CANCELLED = 0.1  # the mean of the channels under this share of the loudest one: they cancel each other


@lru_cache(maxsize=4)
def _mel_filters(n_mels: int) -> np.ndarray:
    from transformers.audio_utils import mel_filter_bank

    bank = mel_filter_bank(1 + N_FFT // 2, n_mels, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
    return np.ascontiguousarray(bank.T, dtype=np.float32)


@lru_cache(maxsize=1)
def _hann() -> np.ndarray:
    return np.hanning(N_FFT + 1)[:-1].astype(np.float32)


def log_mel(audio: np.ndarray, n_mels: int = 80) -> np.ndarray:
    """Whisper's log-mel spectrogram of an utterance of any length.

    audio: (S,) float32 in [-1, 1] at 16 kHz -> (n_mels, T) float32, T = S // 160; about -1 (floor) to 1.5.
    The floor is 8 (in log10 power) under the utterance's own peak, as in Whisper (paper app. B takes it over).
    """
    padded = np.pad(
        np.asarray(audio, dtype=np.float32), N_FFT // 2, mode="reflect" if len(audio) > N_FFT else "constant"
    )
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH][: len(audio) // HOP_LENGTH]
    spectrum = np.fft.rfft(frames * _hann(), axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    log = np.log10(np.maximum(_mel_filters(n_mels) @ power.T.astype(np.float32), 1e-10))
    return (np.maximum(log, log.max(initial=-10.0) - 8.0) + 4.0) / 4.0


def n_states(n_samples: int) -> int:
    """How many of Whisper's encoder states are of so many samples."""
    return -(-n_samples // (FRAMES_PER_STATE * HOP_LENGTH))


def decode(data: bytes, *, max_seconds: float = MAX_SECONDS, max_decoded_bytes: int = MAX_DECODED_BYTES) -> np.ndarray:
    """A recording of any common kind as Whisper hears it: the channels' mean, without offset, at 16 kHz.

    data: a whole file of one of the ACCEPTED kinds, told by its content; of a file that was cut, what is there
    -> (S,) float32 in [-1, 1], S >= N_FFT. What a header claims is not believed: memory grows with what was decoded.
    Raises AudioTooLong as soon as more than `max_seconds`, or more than `max_decoded_bytes` of raw samples, came out;
    AudioError for anything that can't be used.
    """
    if not data:
        raise AudioError(f"the audio is empty (0 bytes); accepted: {ACCEPTED}")
    demuxer = sniff(data)
    if demuxer is None:
        raise AudioError(f"the {len(data)} bytes are no audio in a known container; accepted: {ACCEPTED}")
    try:
        options = HEADER_ENOUGH if demuxer in SELF_DESCRIBING else {}
        source = io.BytesIO(data)
        with av.open(source, mode="r", format=demuxer, options=options, io_open=_refuse_other_files) as container:
            pieces = list(_resampled(_frames(container, max_seconds, max_decoded_bytes)))
    except (FFmpegError, ValueError, EOFError) as error:
        raise AudioError(f"the audio can't be read as {demuxer}: {_reason(error)}; accepted: {ACCEPTED}") from error
    return _clean(np.concatenate(pieces) if pieces else np.zeros(0, np.float32))


def pcm16_of(audio: np.ndarray) -> bytes:
    """audio: (S,) float in [-1, 1] -> PCM16, little endian; what is louder is cut off."""
    return np.clip(np.rint(audio * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype("<i2").tobytes()


def _refuse_other_files(url: str, flags: int, options: dict) -> io.BytesIO:
    raise AudioError(f"the audio names another file ({url[:80]!r}); it must hold its own samples")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, FFmpegError) else str(error)) or type(error).__name__


def _frames(container: InputContainer, max_seconds: float, max_decoded_bytes: int) -> Iterator[AudioFrame]:
    """The frames of the first audio stream, each checked before anything is made from it.

    A packet that can't be decoded is skipped; when more are broken than whole, the stream is not what it says.
    """
    stream = next((s for s in container.streams.audio if _is_accepted(s)), None)
    if stream is None:
        raise AudioError(
            "the file has no audio in a codec that is accepted: PCM, FLAC, MP3, AAC, ALAC, Opus, Vorbis, AMR"
        )
    seconds, decoded_bytes, whole, broken = 0.0, 0, 0, 0
    for packet in _packets(container, stream):
        try:
            frames = stream.codec_context.decode(packet)
        except FFmpegError:
            broken += 1
            continue
        whole += 1
        for frame in frames:
            _check_frame(frame)
            seconds += frame.samples / frame.sample_rate
            decoded_bytes += frame.samples * frame.layout.nb_channels * frame.format.bytes
            if seconds > max_seconds + ROUNDING_S:
                raise AudioTooLong(
                    f"the audio is longer than the {max_seconds:g} s that are accepted; send a shorter one"
                )
            if decoded_bytes > max_decoded_bytes:
                raise AudioTooLong(
                    f"the audio decodes to over {max_decoded_bytes} bytes; send a lower rate, or one channel"
                )
            yield frame
    if broken > whole:
        raise AudioError(f"{broken} of the {broken + whole} packets of the audio are broken; send a whole file")


def _packets(container: InputContainer, stream: AudioStream) -> Iterator[Packet]:
    """Demuxes until the end or the place where the file was cut."""
    try:
        yield from container.demux(stream)
    except FFmpegError:
        return


def _is_accepted(stream: AudioStream) -> bool:
    context = stream.codec_context
    return context is not None and context.name.startswith(ACCEPTED_CODECS)


def _check_frame(frame: AudioFrame) -> None:
    channels, rate = frame.layout.nb_channels, frame.sample_rate
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"the audio has {channels} channels; 1 to {MAX_CHANNELS} are accepted")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(f"the audio has a sample rate of {rate} Hz; {MIN_RATE} to {MAX_RATE} Hz are accepted")


def _resampled(frames: Iterable[AudioFrame]) -> Iterator[np.ndarray]:
    """Mono pieces (s,) at 16 kHz. A stream may change its format on the way: each stretch has its own resampler."""
    for _, stretch in groupby(frames, key=lambda frame: (frame.format.name, frame.layout.name, frame.sample_rate)):
        first = next(stretch)
        # Interleaved, because PyAV 18 reads past the planes of a planar frame of eight channels.
        resampler = AudioResampler(format="flt", layout=first.layout, rate=SAMPLE_RATE)
        pieces = []
        for frame in chain((first,), stretch, (None,)):
            if frame is not None:
                frame.pts = None  # broken time stamps must not become silence
            pieces += [out.to_ndarray() for out in resampler.resample(frame)]
        if pieces:
            yield _mono(np.concatenate(pieces, axis=1).reshape(-1, first.layout.nb_channels).T)


def _mono(channels: np.ndarray) -> np.ndarray:
    """(C, s) -> (s,): the mean, or the loudest channel where they cancel (a microphone wired in opposite phase)."""
    if len(channels) == 1:
        return channels[0]
    mean = channels.mean(axis=0, dtype=np.float64)
    loudness = channels.std(axis=1, dtype=np.float64)
    if mean.std() < CANCELLED * loudness.max():
        return channels[loudness.argmax()]
    return mean.astype(np.float32)


def _clean(audio: np.ndarray) -> np.ndarray:
    """Without its offset, and within ±1: float recordings may use any scale."""
    if not len(audio):
        raise AudioError("the audio holds no samples that can be decoded; send a whole file")
    if len(audio) < N_FFT:
        length_ms, needed_ms = 1000 * len(audio) / SAMPLE_RATE, 1000 * N_FFT // SAMPLE_RATE
        raise AudioError(f"the audio is {length_ms:.0f} ms long; at least {needed_ms} ms are needed")
    if not np.isfinite(audio).all():
        raise AudioError("the audio holds samples that are not finite numbers (NaN or infinity); send finite samples")
    centred = audio - audio.mean(dtype=np.float64)
    return (centred / max(1.0, float(np.abs(centred).max()))).astype(np.float32)
