"""The gateway is what its OpenAPI document says: schemathesis sends what is allowed and what is not."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.contracts.completions import MAX_MESSAGES

pytestmark = pytest.mark.anyio
HERE = Path(__file__).parent
PATIENCE_S = 300


async def test_requests_are_answered_as_the_document_says(house: Callable[..., Any]) -> None:
    async with house() as here:
        here.llm.max_turns = MAX_MESSAGES
        document = str(here.http.base_url.join("/openapi.json"))
        config = ("--config-file", str(HERE / "schemathesis.toml"))
        command = (sys.executable, "-m", "schemathesis.cli", *config, "run", document)
        output = asyncio.subprocess.PIPE
        tried = await asyncio.create_subprocess_exec(*command, cwd=HERE.parents[1], stdout=output, stderr=output)
        try:
            said, complaints = await asyncio.wait_for(tried.communicate(), PATIENCE_S)
        finally:
            if tried.returncode is None:
                tried.kill()
    assert tried.returncode == 0, (said + complaints).decode()
