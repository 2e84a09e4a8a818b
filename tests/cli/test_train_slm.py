"""Both stages from the command line, on a tiny LLM."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from services.cli import main
from textpro.bundle import Bundle
from textpro.data.shards import RUN_FILE
from textpro.data.turns import DISTILLATION, Turn, TurnsWriter, place

COMMON = ["--steps", "4", "--global-batch", "4", "--dtype", "float32", "--save-every", "2", "--lr", "1e-2"]


@pytest.fixture
def turns(tmp_path: Path) -> Path:
    prosody = {f"c{i}": torch.randn(3, 6) for i in range(8)}
    made = [Turn(f"t{i}", DISTILLATION, "Hi!" * (i + 1), "Hello.", prosody=place(0, f"c{i}")) for i in range(8)]
    made[2:4] = [replace(turn, prosody=None) for turn in made[2:4]]  # typed
    TurnsWriter(tmp_path / "turns").add(0, made, prosody)
    return tmp_path / "turns"


def command(stage: str, bundle: Path, llm: Path, turns: Path, out: Path, *more: str) -> list[str]:
    where = ["--bundle", str(bundle), "--llm", str(llm), "--turns", f"{turns}:1.5", "--out", str(out)]
    return ["train", stage, *where, *COMMON, *more]


def test_align_then_joint_make_a_bundle_with_projector_and_adapter(
    hollow_bundle: Path, turns: Path, tiny_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("align", hollow_bundle, tiny_llm, turns, tmp_path / "a", "--layout", "interleaved")) == 0
    aligned = Bundle.load(capsys.readouterr().out.strip())
    assert aligned.describe()["has"] == ["projector"]
    assert aligned.config.layout == "interleaved"
    lora = ("--lora-rank", "2", "--alpha", "0.5", "--name", "made")
    joint = command("joint", aligned.path, tiny_llm, turns, tmp_path / "b", *lora)
    assert main(joint) == 0
    bundle = Bundle.load(tmp_path / "b" / "bundle")
    assert bundle.describe()["has"] == ["projector", "adapter"]
    assert (bundle.config.name, bundle.config.layout, bundle.config.llm) == ("made", "interleaved", str(tiny_llm))
    assert bundle.config.made_from["align"] == bundle.config.made_from["lora"] == "4 updates of 4 turns"
    fingerprint = bundle.fingerprint
    assert main(joint) == 0  # a finished run only writes its bundle again
    assert Bundle.load(bundle.path).fingerprint == fingerprint


def test_a_bundle_of_all_weights_keeps_them_when_less_is_asked_for(
    hollow_bundle: Path, turns: Path, tiny_llm: Path, tmp_path: Path
) -> None:
    full = command("joint", hollow_bundle, tiny_llm, turns, tmp_path / "full", "--full")
    assert main(full) == 0
    fingerprint = Bundle.load(tmp_path / "full" / "bundle").fingerprint
    assert main([*full, "--stop-after", "2"]) == 0
    assert (tmp_path / "full" / "bundle" / "llm" / "model.safetensors").is_file()
    assert Bundle.load(tmp_path / "full" / "bundle").fingerprint == fingerprint


def test_an_llm_is_found_again_from_another_folder(
    hollow_bundle: Path, turns: Path, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_llm.parent)
    assert main(command("align", hollow_bundle, Path(tiny_llm.name), turns, tmp_path / "a")) == 0
    assert Bundle.load(tmp_path / "a" / "bundle").config.llm == str(tiny_llm.resolve())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--alpha", "2"], "alpha is 2.0"),
        (["--tau", "0"], "tau is 0.0"),
        (["--turns", "x:inf"], "the weight of x is inf"),
        (["--turns", "x:-0.5"], "the weight of x is -0.5"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(
    given: list[str],
    message: str,
    hollow_bundle: Path,
    turns: Path,
    tiny_llm: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*command("align", hollow_bundle, tiny_llm, turns, tmp_path / "a"), *given]) == 1
    assert message in capsys.readouterr().err


def test_turns_are_read_by_workers_whatever_way_processes_start_by(
    hollow_bundle: Path, turns: Path, tiny_llm: Path, tmp_path: Path
) -> None:
    spawning = "import multiprocessing, sys; multiprocessing.set_start_method('forkserver'); "
    align = command("align", hollow_bundle, tiny_llm, turns, tmp_path / "a", "--workers", "1")
    run = f"{spawning}from services.cli import main; sys.exit(main({align!r}))"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_run_goes_on_with_its_own_settings_only(
    hollow_bundle: Path, turns: Path, tiny_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    align = command("align", hollow_bundle, tiny_llm, turns, tmp_path / "a")
    assert main([*align, "--stop-after", "2"]) == 0
    assert main([*align, "--seed", "1"]) == 1
    assert "seed was 0 and is 1" in capsys.readouterr().err
    assert main([*align, "--positions", "100"]) == 0
    assert main(command("align", tmp_path / "a" / "bundle", tiny_llm, turns, tmp_path / "a")) == 1
    assert "choose another --out" in capsys.readouterr().err


def test_all_weights_shared_by_two_processes_train_as_by_one(
    hollow_bundle: Path, turns: Path, tiny_llm: Path, tmp_path: Path
) -> None:
    full = ("--full", "--alpha", "0.5", "--positions", "150")
    assert main(command("joint", hollow_bundle, tiny_llm, turns, tmp_path / "one", *full)) == 0
    two = command("joint", hollow_bundle, tiny_llm, turns, tmp_path / "two", *full, "--processes", "2")
    for stop in (["--stop-after", "2"], []):
        done = subprocess.run([sys.executable, "-m", "services.cli", *two, *stop], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "two").glob("checkpoint-*")] == ["checkpoint-4"]
    for name in ("llm/model.safetensors", "projector.safetensors"):
        one, shared = (load_file(tmp_path / out / "bundle" / name) for out in ("one", "two"))
        assert one.keys() == shared.keys()
        for key, value in one.items():
            torch.testing.assert_close(shared[key], value, rtol=1e-4, atol=1e-5, msg=key)
    # Both log the mean over all turns, though each process met its own; the two were stopped half-way.
    one, shared = (
        [json.loads(line)["ce_chat"] for line in (tmp_path / out / "metrics.jsonl").read_text().splitlines()]
        for out in ("one", "two")
    )
    assert [sum(shared) / 2] == pytest.approx(one, rel=1e-3)


def hear(turns: Path, encoder: str) -> None:
    (turns / RUN_FILE).write_text(json.dumps({"settings": {"encoder": encoder}, "shards": 1, "dropped": {}}))


def test_turns_that_another_encoder_heard_are_refused(
    hollow_bundle: Path, turns: Path, tiny_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hear(turns, "another@decoder.1")
    asked = ["evaluate", "paralinguistic", "--turns", str(turns), "--bundle", str(hollow_bundle)]
    for refused in (command("align", hollow_bundle, tiny_llm, turns, tmp_path / "a"), asked):
        assert main(refused) == 1
        assert "heard by the encoder another@decoder.1" in capsys.readouterr().err
    hear(turns, Bundle.load(hollow_bundle).encoder_fingerprint)
    assert main(command("align", hollow_bundle, tiny_llm, turns, tmp_path / "a", "--stop-after", "1")) == 0


def test_a_projector_stays_with_the_llm_that_it_was_trained_with(
    hollow_bundle: Path, turns: Path, tiny_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rate = ("--lr", "0", "--stop-after", "1")
    assert main(command("joint", hollow_bundle, tiny_llm, turns, tmp_path / "lora", "--lora-rank", "2")) == 0
    trained = tmp_path / "lora" / "bundle"
    assert main(command("joint", trained, tiny_llm, turns, tmp_path / "full", "--full")) == 1
    assert "was trained with an adapter; go on without --full" in capsys.readouterr().err
    for start, out in ((trained, "after"), (hollow_bundle, "fresh")):
        assert main(command("align", start, tiny_llm, turns, tmp_path / out, *rate)) == 0
    after, fresh, old = (
        load_file(path / "projector.safetensors")
        for path in (tmp_path / "after" / "bundle", tmp_path / "fresh" / "bundle", trained)
    )
    for name, value in fresh.items():
        torch.testing.assert_close(after[name], value)
    assert not torch.allclose(old["output.weight"], fresh["output.weight"])
