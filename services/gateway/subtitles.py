"""Segments as subtitles: SubRip and WebVTT."""

from collections.abc import Iterable

from services.contracts.transcriptions import Segment

MS = 1000


def srt(segments: Iterable[Segment]) -> str:
    """SubRip: numbered blocks, a comma before the milliseconds."""
    return "".join(
        f"{number}\n{_time(segment.start, ',')} --> {_time(segment.end, ',')}\n{_line(segment)}\n\n"
        for number, segment in enumerate(segments, 1)
    )


def vtt(segments: Iterable[Segment]) -> str:
    """WebVTT, with its marks escaped."""
    escaped = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
    return "WEBVTT\n\n" + "".join(
        f"{_time(segment.start, '.')} --> {_time(segment.end, '.')}\n{_line(segment).translate(escaped)}\n\n"
        for segment in segments
    )


def _line(segment: Segment) -> str:
    """An empty line would end the block."""
    return " ".join(segment.text.split())


def _time(seconds: float, point: str) -> str:
    whole, ms = divmod(round(seconds * MS), MS)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{ms:03}"
