"""One tree, one table: every error has its way out, over HTTP and over gRPC and back."""

import grpc
import pytest

from services.contracts.errors import (
    INTERNAL,
    TABLE,
    BadRequest,
    DeadlineExceeded,
    Overloaded,
    ServiceError,
    SessionNotFound,
    Unauthorized,
    Unavailable,
    body,
    headers,
    outcome,
)
from services.contracts.status import error_of, status_of
from textpro.errors import AudioError, AudioTooLong, BundleError, ProsodyError, TextProError


def over_the_wire(error: BaseException) -> TextProError:
    """What a client makes of the status a server makes of `error`."""
    status = status_of(error)
    trailing = grpc.aio.Metadata(*status.trailing_metadata)
    return error_of(grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailing, details=status.details))


def descendants(kind: type) -> set[type]:
    return {kind, *(below for child in kind.__subclasses__() for below in descendants(child))}


def test_every_row_is_reached_and_names_a_status_that_exists() -> None:
    for kind, row in TABLE.items():
        assert outcome(kind("message")) is row
        assert row.grpc in grpc.StatusCode.__members__


def test_every_error_of_the_tree_but_the_roots_has_a_row_of_its_own_family() -> None:
    for kind in descendants(ServiceError) - {ServiceError}:
        assert outcome(kind("message")) is not TABLE[TextProError]


def test_the_body_has_the_openai_shape() -> None:
    assert body(BadRequest("too loud", param="volume")) == {
        "error": {"message": "too loud", "type": "invalid_request_error", "param": "volume", "code": None}
    }
    assert body(AudioTooLong("long"))["error"]["code"] == "audio_too_long"


def test_an_unexpected_errors_message_stays_inside() -> None:
    assert outcome(KeyError("secret")) is INTERNAL
    assert "secret" not in str(body(KeyError("secret")))
    assert "secret" not in status_of(KeyError("secret")).details


def test_retry_after_is_whole_seconds_and_at_least_one() -> None:
    assert headers(Overloaded("full", retry_after_s=0.2)) == {"Retry-After": "1"}
    assert headers(BadRequest("no")) == {}


@pytest.mark.parametrize(
    "error",
    [
        AudioError("not audio"),
        AudioTooLong("94.2 s"),
        ProsodyError("no"),
        BundleError("none"),
        BadRequest("what?"),
        Unauthorized("who?"),
        Overloaded("full", retry_after_s=1.25),
        Unavailable("gone", retry_after_s=2),
        DeadlineExceeded("late"),
    ],
)
def test_an_error_survives_grpc_with_class_message_code_and_time_to_retry(error: TextProError) -> None:
    found = over_the_wire(error)
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert outcome(found) == outcome(error)
    assert getattr(found, "code", None) == getattr(error, "code", None)
    assert getattr(found, "retry_after_s", None) == getattr(error, "retry_after_s", None)


def test_a_status_of_grpc_itself_becomes_the_nearest_error() -> None:
    lost = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="refused"
    )
    assert isinstance(error_of(lost), Unavailable)
    odd = grpc.aio.AioRpcError(grpc.StatusCode.DATA_LOSS, grpc.aio.Metadata(), grpc.aio.Metadata())
    assert type(error_of(odd)) is TextProError


def test_a_missing_session_is_told_by_its_code() -> None:
    assert over_the_wire(SessionNotFound("s1")).code == "session_not_found"  # pyright: ignore[reportAttributeAccessIssue]
