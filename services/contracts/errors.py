"""One tree of errors, one table from class to HTTP status, gRPC status and WebSocket close code, one body: OpenAI's."""

from dataclasses import dataclass
from typing import Any

from textpro.errors import AudioError, AudioTooLong, BundleError, ProsodyError, SynthesisError, TextProError


class ServiceError(TextProError):
    """Something a caller of a service is told. `param` names the request's field, `code` says it to programs."""

    code: str | None = None

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code or type(self).code
        self.retry_after_s = retry_after_s


class BadRequest(ServiceError):
    """The request can't be understood, or a field of it has a value that is not allowed."""


class PayloadTooLarge(ServiceError):
    code = "payload_too_large"


class Unauthorized(ServiceError):
    code = "invalid_api_key"


class NotFound(ServiceError):
    code = "not_found"


class SessionNotFound(NotFound):
    code = "session_not_found"


class Overloaded(ServiceError):
    """The house is full; try again after `retry_after_s`."""

    code = "overloaded"


class Unavailable(ServiceError):
    """A service this one depends on does not answer; try again after `retry_after_s`."""

    code = "unavailable"


class DeadlineExceeded(ServiceError):
    code = "deadline_exceeded"


class Cancelled(ServiceError):
    """The caller went away before there was an answer; nobody reads this one."""

    code = "cancelled"


class TakenOver(ServiceError):
    """Another connection goes on with what this one held."""

    code = "taken_over"


@dataclass(frozen=True)
class Outcome:
    """How an error class leaves the house. grpc: name of a grpc.StatusCode; websocket: close code."""

    http: int
    grpc: str
    websocket: int
    type: str
    code: str | None = None


# The first class that matches wins, so a subclass stands before its base.
TABLE: dict[type[Exception], Outcome] = {
    AudioTooLong: Outcome(413, "INVALID_ARGUMENT", 1009, "invalid_request_error", "audio_too_long"),
    AudioError: Outcome(400, "INVALID_ARGUMENT", 1007, "invalid_request_error", "invalid_audio"),
    ProsodyError: Outcome(400, "INVALID_ARGUMENT", 1007, "invalid_request_error", "invalid_prosody"),
    PayloadTooLarge: Outcome(413, "INVALID_ARGUMENT", 1009, "invalid_request_error"),
    Unauthorized: Outcome(401, "UNAUTHENTICATED", 3000, "authentication_error"),
    NotFound: Outcome(404, "NOT_FOUND", 1008, "invalid_request_error"),
    Overloaded: Outcome(429, "RESOURCE_EXHAUSTED", 1013, "rate_limit_error"),
    Unavailable: Outcome(503, "UNAVAILABLE", 1013, "service_unavailable_error"),
    DeadlineExceeded: Outcome(504, "DEADLINE_EXCEEDED", 1013, "timeout_error"),
    TakenOver: Outcome(409, "ABORTED", 1008, "invalid_request_error"),
    Cancelled: Outcome(499, "CANCELLED", 1001, "invalid_request_error"),
    BadRequest: Outcome(400, "INVALID_ARGUMENT", 1007, "invalid_request_error"),
    SynthesisError: Outcome(503, "UNAVAILABLE", 1013, "service_unavailable_error", "speech_unavailable"),
    BundleError: Outcome(500, "FAILED_PRECONDITION", 1011, "server_error", "bundle_error"),
    TextProError: Outcome(500, "INTERNAL", 1011, "server_error"),
}
INTERNAL = Outcome(500, "INTERNAL", 1011, "server_error", "internal_error")


def outcome(error: BaseException) -> Outcome:
    """The row of the table for an error; anything unknown is internal."""
    return next((row for kind, row in TABLE.items() if isinstance(error, kind)), INTERNAL)


def body(error: BaseException) -> dict[str, Any]:
    """OpenAI's error body. The message of an unexpected error is not shown: it may hold what nobody should see."""
    row = outcome(error)
    message = "internal error; the service's log has the details" if row is INTERNAL else str(error)
    code = getattr(error, "code", None) or row.code
    return {"error": {"message": message, "type": row.type, "param": getattr(error, "param", None), "code": code}}


def headers(error: BaseException) -> dict[str, str]:
    """`Retry-After` where the caller may try again."""
    seconds = getattr(error, "retry_after_s", None)
    return {"Retry-After": str(max(1, round(seconds)))} if seconds is not None else {}
