"""Log lines: JSON for a collector, text for a person."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from services.runtime.logging import configure, request_id


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_that_is_not_for_a_terminal_is_one_json_object_with_its_request(root: logging.Logger) -> None:
    stream = io.StringIO()
    configure("encoder", stream=stream)
    token = request_id.set("abc")
    root.info("batch decoded\nhere", extra={"batch": 4})
    request_id.reset(token)
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert found["message"] == "batch decoded\nhere"
    assert (found["service"], found["level"], found["request_id"], found["batch"]) == ("encoder", "info", "abc", 4)


def test_text_shows_the_fields_and_the_traceback(root: logging.Logger) -> None:
    stream = io.StringIO()
    configure("encoder", format="text", stream=stream)
    try:
        raise ValueError("broken")
    except ValueError:
        root.exception("failed", extra={"batch": 4})
    assert "failed  batch=4" in stream.getvalue()
    assert "ValueError: broken" in stream.getvalue()


def test_lines_under_the_level_are_not_written(root: logging.Logger) -> None:
    stream = io.StringIO()
    configure("encoder", level="warning", stream=stream)
    root.info("quiet")
    assert stream.getvalue() == ""
