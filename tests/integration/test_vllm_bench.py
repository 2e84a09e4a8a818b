"""`vllm bench serve`, unmodified, against the real gateway."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.cli.demo import EXAMPLES
from services.encoder.settings import EncoderSettings
from tests.integration.conftest import Stack
from textpro.language_model import resolve_llm

pytestmark = [pytest.mark.embedded, pytest.mark.vllm]
RECORDINGS = ("capital.wav", "sum.wav", "cats.wav")
MAX_TOKENS = 16
TIMEOUT_S = 300
# The command `vllm bench serve` without the program around it, which looks for the package's version under another name
# than that of the CPU build.
BENCH = """
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""


def bench(stack: Stack, out: Path, *arguments: str) -> dict[str, Any]:
    """What it measured, with one request for each recording, in its own words."""
    tokenizer = resolve_llm("embedded", EncoderSettings.load().cache)
    told = ("--save-result", "--save-detailed", "--result-dir", str(out), "--result-filename", "found.json")
    server = ("--base-url", str(stack.client.base_url), "--model", "textpro", "--tokenizer", str(tokenizer))
    load = ("--num-prompts", str(len(RECORDINGS)), "--max-concurrency", "2", "--seed", "1", "--disable-tqdm")
    command = [sys.executable, "-c", BENCH, *server, *load, *told, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((out / "found.json").read_text())


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The data set that needs no hub: a file that names recordings."""
    path = tmp_path_factory.mktemp("bench") / "recordings.jsonl"
    rows = ({"prompt": "", "audio": str(EXAMPLES / name)} for name in RECORDINGS)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    length = ("--custom-output-len", str(MAX_TOKENS))
    return ("--dataset-name", "custom_audio", "--dataset-path", str(path), "--disable-shuffle", *length)


def check(found: dict[str, Any]) -> None:
    assert (found["completed"], found["failed"]) == (len(RECORDINGS), 0), found["errors"]
    assert all(found["generated_texts"])
    assert all(0 < ttft < found["duration"] for ttft in found["ttfts"])
    assert found["request_throughput"] == pytest.approx(len(RECORDINGS) / found["duration"])
    assert found["total_output_tokens"] == sum(found["output_lens"])


def test_spoken_chat_completions_are_measured(stack: Stack, recordings: tuple[str, ...], tmp_path: Path) -> None:
    found = bench(
        stack,
        tmp_path,
        *("--backend", "openai-chat", "--endpoint", "/v1/chat/completions", "--temperature", "0"),
        *(*recordings, "--enable-multimodal-chat"),
    )
    check(found)
    assert "Paris" in found["generated_texts"][0]
    assert all(0 < n_tokens <= MAX_TOKENS for n_tokens in found["output_lens"])


def test_transcriptions_are_measured(stack: Stack, recordings: tuple[str, ...], tmp_path: Path) -> None:
    endpoint = ("--backend", "openai-audio", "--endpoint", "/v1/audio/transcriptions")
    found = bench(stack, tmp_path, *endpoint, *recordings)
    check(found)
    assert "capital of France" in found["generated_texts"][0]
    assert all(n_tokens > 3 for n_tokens in found["output_lens"])
