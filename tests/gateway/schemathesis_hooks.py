"""What the OpenAPI document can't say, told to schemathesis."""

import base64

import schemathesis
from hypothesis import strategies

from tests.gateway.conftest import hum, wav_of

LONG_ENOUGH = 3  # steps
MAX_SEED = 2**63 - 1

# A file that is sent is a recording.
recordings = strategies.integers(LONG_ENOUGH, 300).map(hum).map(wav_of)
schemathesis.openapi.format("binary", recordings)
schemathesis.openapi.format("byte", recordings.map(base64.b64encode).map(bytes.decode))


@schemathesis.hook
def filter_case(_: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """It takes bounds for doubles, and so a seed that is a little too large for one that is allowed."""
    seed = case.body.get("seed") if isinstance(case.body, dict) else None
    return not (isinstance(seed, int) and abs(seed) > MAX_SEED)
