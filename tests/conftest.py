"""What every test sees: which marked tests can run here."""

from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "textpro" / "bundles" / "embedded" / "textpro.json"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reasons = {
        "embedded": None if EMBEDDED.exists() else f"the trained models are not in {EMBEDDED.parent}",
        "vllm": None if find_spec("vllm") else "vLLM is not installed; `make test` installs its CPU build",
        "gpu": None if Path("/dev/nvidia0").exists() else "there is no NVIDIA GPU",
    }
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
