"""Our errors as gRPC's rich status and back: code, message, google.rpc.ErrorInfo (our `code`) and google.rpc.RetryInfo.

Server side `status_of(error)`, client side `error_of(rpc_error)`: the pair loses nothing a caller may act on.
"""

from typing import cast

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from services.contracts.errors import (
    BadRequest,
    Cancelled,
    DeadlineExceeded,
    NotFound,
    Overloaded,
    ServiceError,
    Unauthorized,
    Unavailable,
    body,
    outcome,
)
from textpro.errors import AudioError, AudioTooLong, BundleError, ProsodyError, TextProError

DOMAIN = "textpro"

_BY_REASON: dict[str, type[TextProError]] = {
    "audio_too_long": AudioTooLong,
    "invalid_audio": AudioError,
    "invalid_prosody": ProsodyError,
    "bundle_error": BundleError,
}
_BY_STATUS: dict[grpc.StatusCode, type[ServiceError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: BadRequest,
    grpc.StatusCode.UNAUTHENTICATED: Unauthorized,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def status_of(error: BaseException) -> grpc.Status:
    """The gRPC status of an error, by the table in errors.py; an unexpected error's message is not shown."""
    shown = body(error)["error"]
    status = Status(code=grpc.StatusCode[outcome(error).grpc].value[0], message=shown["message"])
    status.details.add().Pack(ErrorInfo(reason=shown["code"] or "", domain=DOMAIN))
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(round(retry_after_s * 1e9))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    return rpc_status.to_status(status)


def error_of(error: grpc.aio.AioRpcError) -> TextProError:
    """Our error again, from what a client caught; a status without our details gives the class nearest to its code."""
    status = rpc_status.from_call(cast(grpc.Call, error))  # it has the three methods that are read
    reason, retry_after_s = _details(status) if status else ("", None)
    message = error.details() or error.code().name
    if reason in _BY_REASON:
        return _BY_REASON[reason](message)
    kind = _BY_STATUS.get(error.code())
    return kind(message, code=reason or None, retry_after_s=retry_after_s) if kind else TextProError(message)


def _details(status: Status) -> tuple[str, float | None]:
    reason, retry_after_s = "", None
    info, retry = ErrorInfo(), RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    return reason, retry_after_s
