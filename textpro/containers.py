"""Which container some bytes are, told by their content and never by a name.

FFmpeg's own probing is too kind for a service: it takes playlists, which name other files, and finds frames in noise.
So the first bytes choose one demuxer, and formats without a signature (MPEG audio, ADTS) must show a chain of frames.
"""

from collections.abc import Callable, Iterator

MPEG_SEARCH_BYTES = 4096  # how far into the data the first frame may lie: a stream that was cut starts within a frame
MPEG_CHAIN = 3  # frames in a row that must agree; random bytes reach this about once in 10^12 offsets

# MPEG audio, ISO 11172-3 and 13818-3: kbit/s by index, for (MPEG-1, MPEG-2) of the layers II and III.
_LAYER_3 = (
    (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_LAYER_2 = ((32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384), _LAYER_3[1])
_MPEG_RATES = (44_100, 48_000, 32_000)
_RATE_DIVISOR = {3: 1, 2: 2, 0: 4}  # version bits: MPEG-1, MPEG-2, MPEG-2.5

Frame = tuple[int, tuple[int, ...]]  # length in bytes, what all frames of one stream have in common


def sniff(data: bytes) -> str | None:
    """The name of FFmpeg's demuxer for these bytes, or None when they are no audio container this project accepts."""
    body = data[_id3_length(data) :] if data[:3] == b"ID3" else data
    start, brand = body[:4], body[8:12]
    if start in (b"RIFF", b"RIFX", b"RF64", b"BW64") and brand == b"WAVE":
        return "wav"
    if start == b"FORM" and brand in (b"AIFF", b"AIFC"):
        return "aiff"
    if body[4:8] in (b"ftyp", b"moov", b"mdat"):
        return "mov"
    by_start = {
        b"fLaC": "flac",
        b"OggS": "ogg",
        b"\x1a\x45\xdf\xa3": "matroska",
        b".snd": "au",
        b"caff": "caf",
        b"riff": "w64",
        b"#!AM": "amr",
    }
    return by_start.get(start) or _sniff_frames(body)


def _id3_length(data: bytes) -> int:
    """Length of an ID3v2 tag: ten bytes and a size of four times seven bits."""
    if len(data) < 10:
        return 0
    size = data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9]
    return 10 + size


def _sniff_frames(data: bytes) -> str | None:
    for offset in _sync_offsets(data):
        for name, read in (("mp3", _mpeg_frame), ("aac", _adts_frame)):
            if _chained(data, offset, read):
                return name
    return None


def _sync_offsets(data: bytes) -> Iterator[int]:
    offset = data.find(0xFF, 0, MPEG_SEARCH_BYTES)
    while offset >= 0:
        yield offset
        offset = data.find(0xFF, offset + 1, MPEG_SEARCH_BYTES)


def _chained(data: bytes, offset: int, read: Callable[[bytes], Frame | None]) -> bool:
    signature = None
    for _ in range(MPEG_CHAIN):
        frame = read(data[offset : offset + 7])
        if frame is None or signature not in (None, frame[1]):
            return False
        signature = frame[1]
        offset += frame[0]
    return True


def _mpeg_frame(head: bytes) -> Frame | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3  # layer bits: 1 is III, 2 is II
    bitrate_index, rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer not in (1, 2) or rate_index == 3 or not 1 <= bitrate_index <= 14:
        return None
    rate = _MPEG_RATES[rate_index] // _RATE_DIVISOR[version]
    kbit_s = (_LAYER_3 if layer == 1 else _LAYER_2)[version != 3][bitrate_index - 1]
    samples = 576 if layer == 1 and version != 3 else 1152
    return samples // 8 * kbit_s * 1000 // rate + padding, (version, layer, rate)


def _adts_frame(head: bytes) -> Frame | None:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    rate_index = head[2] >> 2 & 15
    if length < 7 or rate_index > 12:
        return None
    return length, (head[1], head[2] >> 6, rate_index)
