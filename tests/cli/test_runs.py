"""The pipelines of runs/ with a `textpro` that only notes how it was called: the parser takes every call."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from services.cli import build_parser
from textpro.data.corpora import CORPORA

RUNS = Path(__file__).resolve().parents[2] / "runs"
COMMON = RUNS / "paper.sh"  # what the two scripts of the paper share; it wants a model's name
SCRIPTS = sorted(set(RUNS.glob("*.sh")) - {COMMON})
PAPER = [RUNS / "textpro-3b.sh", RUNS / "textpro-7b.sh"]
FOLDERS = {name.upper().replace("-", "_"): name for name in CORPORA}  # variable -> corpus
LONGEST_S = 300
LONG = (["data", "import"], ["data", "distill"], ["train"], ["evaluate"])

# Notes its arguments, prints two lines and leaves behind what later lines of a script count or look for.
STUB = """#!/usr/bin/env bash
set -euo pipefail
note=$(mktemp "$NOTES/$(date +%s.%N).XXXXXX")
printf '%s\\0' "$@" >"$note"
if [[ "$*" == ${FAILS:-} ]]; then echo "no voice" >&2; exit 1; fi
for ((i = 1; i < $#; i++)); do
  next=$((i + 1))
  if [ "${!i}" = --out ]; then
    mkdir -p "${!next}/bundle"
    touch "${!next}/bundle/textpro.json"
    for _ in {1..40}; do echo '{"text": "Who?"}'; done | tee "${!next}/manifest.jsonl" >"${!next}/texts.jsonl"
  elif [ "${!i}" = --json ]; then
    touch "${!next}"
  fi
done
printf 'one\\ntwo\\n'
"""


@dataclass(frozen=True)
class Ran:
    """A script's calls of textpro in their order, and how it ended."""

    calls: list[list[str]]
    code: int
    said: str


def ran(script: Path, folder: Path, **environment: str) -> Ran:
    """Runs a script whose corpora are empty folders and whose machine has two GPUs."""
    stub, notes = folder / "textpro", folder / "notes"
    stub.write_text(STUB)
    stub.chmod(0o755)
    notes.mkdir(exist_ok=True)
    corpora = {variable: str(folder / "corpora" / name) for variable, name in FOLDERS.items()}
    for corpus in corpora.values():
        Path(corpus).mkdir(parents=True, exist_ok=True)
    own = {"TEXTPRO": str(stub), "NOTES": str(notes), "OUT": str(folder / "out"), "GPUS": "2"}
    done = subprocess.run(
        [str(script)],
        env={**os.environ, **corpora, **own, **environment},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    calls = [note.read_text().split("\0")[:-1] for note in sorted(notes.iterdir())]
    return Ran(calls, done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Ran]:
    """A script -> how it ran; each runs once."""
    return cache(lambda script: ran(script, tmp_path_factory.mktemp(script.stem)))


@pytest.fixture
def paper(run_of: Callable[[Path], Ran]) -> Ran:
    return run_of(PAPER[0])


@pytest.mark.parametrize("path", [*SCRIPTS, COMMON], ids=lambda path: path.name)
def test_a_script_is_bash_and_may_be_run(path: Path) -> None:
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    assert os.access(path, os.X_OK)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_command_of_a_script_parses(path: Path, run_of: Callable[[Path], Ran]) -> None:
    run = run_of(path)
    assert run.code == 0, run.said
    assert run.calls
    for call in run.calls:
        build_parser().parse_args(call)  # exits where it does not


@pytest.mark.parametrize("path", [RUNS / "embedded.sh", RUNS / "sweeps.sh"], ids=lambda path: path.name)
def test_all_that_a_script_measures_is_in_its_report_under_a_name_and_seed_of_its_own(
    path: Path, run_of: Callable[[Path], Ran], tmp_path: Path
) -> None:
    run = ran(path, tmp_path, SEEDS="0 1") if path.stem == "sweeps" else run_of(path)
    (folder,) = [call[1] for call in run.calls if call[0] == "report"]
    measured = [build_parser().parse_args(call) for call in run.calls if call[0] == "evaluate"]
    assert {args.json.parent for args in measured} == {Path(folder)}
    for measure in ("run_wer", "run_probing"):
        rows = [(args.name, args.seed) for args in measured if args.run.__name__ == measure]
        assert rows
        assert len(set(rows)) == len(rows)


def test_the_paper_s_recipe_reads_every_corpus_of_its_table(paper: Ran) -> None:
    assert {call[2] for call in paper.calls if call[:2] == ["data", "import"]} == set(CORPORA)


def test_the_paper_s_recipe_trains_both_stages_on_all_turns(paper: Ran) -> None:
    writers = (["data", "distill"], ["data", "paralinguistic"])
    made = {call[call.index("--out") + 1] for call in paper.calls if call[:2] in writers}
    learned = {folder for folder in made if not folder.endswith("/test-turns")}
    assert len(learned) == 2 * (len(CORPORA) - 1)  # a part for each GPU; LibriSpeech is WhisperPro's alone
    for stage in ("align", "joint"):
        (call,) = [call for call in paper.calls if call[:2] == ["train", stage]]
        args = build_parser().parse_args(call)
        assert set(args.turns) == learned
        assert (args.epochs, args.global_batch, args.decay, args.warmup, args.alpha) == (2, 1024, "line", 0, 0)
        assert args.full == (stage == "joint")


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.name)
def test_the_paper_s_recipe_distils_from_the_llm_that_it_trains(path: Path, run_of: Callable[[Path], Ran]) -> None:
    llms = {call[call.index("--llm") + 1] for call in run_of(path).calls if "--llm" in call}
    assert llms == {f"Qwen/Qwen2.5-{path.stem[-2:].upper()}-Instruct"}


def test_the_paper_s_recipe_names_every_corpus_that_is_missing(tmp_path: Path) -> None:
    done = ran(PAPER[0], tmp_path, SAVEE="/nowhere/SAVEE", TESS="/nowhere/TESS")
    assert done.code == 1
    assert not done.calls
    assert "SAVEE: there is no folder /nowhere/SAVEE; docs/corpora.md says" in done.said
    assert "TESS: there is no folder /nowhere/TESS" in done.said


@pytest.mark.parametrize("gpus", ["3", "32"])
def test_the_paper_s_recipe_refuses_gpus_that_can_not_share_its_updates(gpus: str, tmp_path: Path) -> None:
    done = ran(PAPER[0], tmp_path, GPUS=gpus)
    assert (done.code, done.calls) == (1, [])
    assert f"GPUS is {gpus}; expected 1, 2, 4, 8 or 16" in done.said


def test_the_paper_s_recipe_makes_nothing_twice(tmp_path: Path) -> None:
    first = ran(PAPER[0], tmp_path)
    again = ran(PAPER[0], tmp_path).calls[len(first.calls) :]
    assert again
    assert not [call for call in again if any(call[: len(start)] == start for start in LONG)]


def test_the_paper_s_recipe_stops_where_a_gpu_s_part_fails(tmp_path: Path) -> None:
    done = ran(PAPER[0], tmp_path, FAILS="data distill*/00.jsonl *")
    assert done.code == 1
    assert "GPU 0 failed: " in done.said
    assert "no voice" in done.said
    assert not [call for call in done.calls if call[:2] == ["train", "align"]]


@pytest.mark.parametrize("kept", [{"gap", "voice"}, {"gap", "voice", "exchange"}], ids=["some", "all"])
def test_the_miniature_measures_only_what_nobody_has(kept: set[str], tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    for kind in kept:
        (results / f"{kind}-global-1.json").touch()
    done = ran(RUNS / "miniature.sh", tmp_path, RESULTS=str(results), SEEDS="1", SYSTEMS="global")
    assert done.code == 0, done.said
    joint = [call for call in done.calls if call[:2] == ["train", "joint"]]
    made = {f"{call[call.index('--out') + 1]}/bundle" for call in joint}
    measured = [call for call in done.calls if call[0] == "evaluate" and not call[-1].endswith("base.json")]
    missing = {"gap", "voice", "exchange"} - kept
    assert {Path(call[call.index("--json") + 1]).stem.split("-")[0] for call in measured} == missing
    assert {call[call.index("--bundle") + 1] for call in measured} <= made
    assert bool(made) == bool(missing)
