"""What every test sees: which marked tests can run here."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "textpro" / "bundles" / "embedded" / "textpro.json"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reasons = {
        "embedded": None if EMBEDDED.exists() else f"the trained models are not in {EMBEDDED.parent}",
        "vllm": None
        if os.environ.get("TEXTPRO_TEST_VLLM_PYTHON")
        else "TEXTPRO_TEST_VLLM_PYTHON names no Python with vLLM",
        "gpu": None if Path("/dev/nvidia0").exists() else "there is no NVIDIA GPU",
    }
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
