"""voicebench, unmodified, talks with a gateway that has a voice, and judges it from its sound."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.demo import EXAMPLES
from tests.integration.conftest import Stack

pytestmark = pytest.mark.embedded
PATIENCE_S = 180


def test_it_answers_is_not_put_off_by_noise_and_stops_when_spoken_over(stack: Stack, tmp_path: Path) -> None:
    url = stack.add_gateway("speaking", TEXTPRO_SPEECH="espeak-ng").replace("http://", "ws://")
    command = [sys.executable, "-m", "voicebench", "run", str(EXAMPLES / "voicebench.yaml")]
    command += ["--url", f"{url}/v1/stream", "--format", "json", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    stack.kill("speaking")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "report.json").read_text())["summary"]
    assert (summary["turns_passed"], summary["spurious_responses"]) == (4, 0), done.stdout
