"""What `textpro train` does around every training: its processes, the settings a run goes on with, and how it stops."""

import argparse
import hashlib
import json
import signal
import sys
from collections.abc import Iterable, Set
from pathlib import Path

from textpro.errors import TrainingError

METRICS = "metrics.jsonl"  # there from its first update on
STOPPED = 128 + signal.SIGTERM  # as a shell says it
SAVING_S = 1800
"""How long the processes may take to finish an update and save; torchrun kills them after 30 s unless it is told."""
# What may differ when a run goes on. It changes neither the turns of an update nor its result, but for rounding; only
# WhisperPro's batches are each process's own.
MACHINE = {
    "processes",
    "threads",
    "workers",
    "save_every",
    "positions",
    "recompute",
    "stop_after",
    "run",
    "argv",
    "out",
    "name",
}


def keep_settings(
    args: argparse.Namespace, stage: str, data: Iterable[Path], *, may_change: Set[str] = MACHINE
) -> None:
    """Writes the settings of a run to OUT/command.json, and a digest of the files that it learns from. Raises
    TrainingError for one that has begun with others: its result would be neither's. What a run's version did not note
    yet, it may go on with."""
    settings = {k: str(v) for k, v in vars(args).items() if k not in may_change}
    settings |= {"stage": stage, "data": _digest(data)}
    path = args.out / "command.json"
    has_begun = path.exists() and (args.out / METRICS).exists()
    before = settings | (json.loads(path.read_text()) if has_begun else {})
    if changed := sorted(k for k, value in settings.items() if before[k] != value):
        differences = ", ".join(f"{k} was {before[k]} and is {settings[k]}" for k in changed)
        raise TrainingError(f"{args.out} holds another run ({differences}); choose another --out")
    args.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2) + "\n")


def _digest(files: Iterable[Path]) -> str:
    """What is not there is found missing later, by its own error."""
    total = hashlib.sha256()
    for file in files:
        if file.is_file():
            with file.open("rb") as opened:
                total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()[:16]


def under_torchrun(args: argparse.Namespace) -> int:
    """Runs the command in `args.processes` processes, which a signal to this one reaches; returns its exit code."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException

    launch = ["--standalone", f"--nproc-per-node={args.processes}", f"--shutdown-timeout={SAVING_S}"]
    try:
        run.main([*launch, "-m", "services.cli", *args.argv])
    except SignalException as stop:
        return 128 + stop.sigval
    return 0


def stopped(step: int, steps: int, *, visible: bool) -> int:
    """The exit code of a run that SIGTERM ended; tells of it in one process."""
    if visible:
        print(f"stopped after update {step} of {steps}; the same command goes on", file=sys.stderr)
    return STOPPED
