"""Log lines: text for a person at a terminal, JSON for a collector; both carry the request they belong to.

Fields travel as `extra`: `log.info("batch decoded", extra={"batch": 4})`. Nothing logs audio, transcripts or vectors.
"""

import json
import logging
import re
import sys
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal, TextIO

request_id: ContextVar[str] = ContextVar("request_id", default="")

_SAFE_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,128}")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "request_id", "color_message"}


def begin_request(given: str = "") -> str:
    """Sets this context's request id: the caller's, if it is harmless in a log, else a new one. Returns it."""
    request_id.set(given if _SAFE_ID.fullmatch(given) else uuid.uuid4().hex)
    return request_id.get()


class _Stamp(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, service, logger, message, request_id, extra fields, traceback."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if getattr(record, "request_id", ""):
            line["request_id"] = getattr(record, "request_id", "")
        line |= _fields(record)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """`12:30:01.250 info    encoder  batch decoded  batch=4 ms=31.5  [request id]`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).isoformat(sep=" ", timespec="milliseconds")[11:]
        parts = [f"{clock} {record.levelname.lower():<7} {self._service:<8} {record.getMessage()}"]
        parts += [" ".join(f"{key}={value}" for key, value in _fields(record).items())]
        parts += [f"[{request}]" if (request := getattr(record, "request_id", "")) else ""]
        line = "  ".join(part for part in parts if part)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(
    service: str,
    *,
    level: str = "info",
    format: Literal["auto", "text", "json"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Send every logger's lines of this process to one stream (standard error); called once, in `main`."""
    to = stream or sys.stderr
    text = format == "text" or (format == "auto" and to.isatty())
    handler = logging.StreamHandler(to)
    handler.addFilter(_Stamp())
    handler.setFormatter(TextLines(service) if text else JsonLines(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # uvicorn's access log repeats what the metrics count; third-party chatter is kept to what needs a person.
    for name in ("uvicorn.access", "uvicorn.error", "httpx", "httpcore", "urllib3", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)
