"""The checked-in gRPC code."""

from services.contracts.generate import drift


def test_the_checked_in_code_is_what_the_proto_gives() -> None:
    assert drift() == []
