"""Any training that SIGTERM interrupts ends, when it is started again, with the weights of an uninterrupted one."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from services.cli import main
from services.cli.training_run import STOPPED
from textpro.bundle import Bundle

LINE_S = 300.0
"""The first line of metrics, which comes after 10 or 25 updates, is waited for so long."""
STEPS = {"whisperpro": 50, "align": 100, "joint": 100, "joint --full": 100}


@pytest.fixture
def whisperpro(corpus: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> list[str]:
    """What WhisperPro's training from scratch is told."""
    tokenizer.save_pretrained(str(tmp_path / "tokenizer"))
    size = ["--width", "64", "--encoder-layers", "1", "--decoder-layers", "2", "--batch-seconds", "4"]
    where = ["--manifest", str(corpus), "--tokenizer", str(tmp_path / "tokenizer")]
    return [*where, *size]


@pytest.fixture
def slm(hollow_bundle: Path, tiny_llm: Path, chats: Path, voices: Path) -> list[str]:
    """What both stages of the LLM are told."""
    where = ["--bundle", str(hollow_bundle), "--llm", str(tiny_llm), "--turns", str(chats), "--turns", str(voices)]
    return [*where, "--global-batch", "4", "--alpha", "0.5"]


def interrupt(command: list[str], out: Path) -> int:
    """Runs the command in a process of its own, which is told to stop once it logged; the update it stopped after."""
    argv = [sys.executable, "-m", "services.cli", *command, "--out", str(out)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        wait_for_metrics(process, out / "metrics.jsonl")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=LINE_S)
    assert process.returncode == STOPPED, said
    assert "Traceback" not in said
    told = re.search(r"stopped after update (\d+) of \d+; the same command goes on", said)
    assert told is not None, said
    return int(told[1])


def wait_for_metrics(process: subprocess.Popen[str], path: Path) -> None:
    """Its end is waited for a moment at a time: a training that died writes nothing more."""
    moment_s = 0.02
    for _ in range(round(LINE_S / moment_s)):
        try:
            process.wait(moment_s)
        except subprocess.TimeoutExpired:
            if path.is_file() and path.stat().st_size:
                return
        else:
            break
    process.kill()
    pytest.fail(f"no metrics were written; the process said:\n{process.communicate()[1][-2000:]}")


@pytest.mark.parametrize("stage", STEPS)
def test_an_interrupted_training_goes_on_to_the_weights_of_an_uninterrupted_one(
    stage: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    settings = request.getfixturevalue("whisperpro" if stage == "whisperpro" else "slm")
    length = ["--steps", str(STEPS[stage]), "--save-every", "1000", "--warmup", "0", "--lr", "1e-3"]
    command = ["train", *stage.split(), *settings, *length]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert main([*command, "--out", str(whole)]) == 0
    reached = interrupt(command, halves)
    assert 0 < reached < STEPS[stage]
    assert int(load_file(halves / "checkpoint.safetensors")["at"]) == reached
    assert not (halves / "bundle").exists()
    assert main([*command, "--out", str(halves)]) == 0
    one, other = (load_file(out / "checkpoint.safetensors") for out in (whole, halves))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(other[name], value), name
    assert Bundle.load(halves / "bundle").fingerprint == Bundle.load(whole / "bundle").fingerprint


def test_processes_that_are_told_to_stop_together_with_their_workers_save_what_they_reached(
    slm: list[str], tmp_path: Path
) -> None:
    several = ["--processes", "2", "--workers", "1", "--steps", "100000", "--save-every", "100000"]
    reached = interrupt(["train", "align", *slm, *several], tmp_path / "run")
    assert int(load_file(tmp_path / "run" / "checkpoint.safetensors")["at"]) == reached
