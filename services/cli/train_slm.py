"""`textpro train align` and `textpro train joint`: the two stages that teach an LLM to hear prosody (paper 3.2)."""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli import training_run
from services.cli.count import count, whole
from textpro.errors import TrainingError

if TYPE_CHECKING:  # the command line must stay instant
    from accelerate import Accelerator

    from textpro.bundle import Bundle
    from textpro.slm import TextProSLM
    from textpro.training.stage import Stage
    from textpro.training.turn_batches import TurnBatches, TurnSource

Trained = tuple[int, Callable[[Path], None] | None]  # the update it reached, and what writes the LLM
DEFAULT_LR = {"align": 1e-3, "lora": 2e-4, "full": 1e-5}  # the paper's are lost from our copy


def configure(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds both stages to `textpro train`."""
    align = stages.add_parser("align", help="stage 1: the projector alone, in front of a frozen LLM")
    joint = stages.add_parser("joint", help="stage 2: the projector and the LLM, through LoRA or all weights")
    for parser, lr in ((align, "1e-3"), (joint, "2e-4; 1e-5 with --full")):
        parser.add_argument(
            "--bundle",
            default="embedded",
            help="its encoder made the turns; go on from its projector (align: unless its LLM was trained too)",
        )
        parser.add_argument("--llm", metavar="NAME", help="embedded, a directory or a hub name (default: the bundle's)")
        parser.add_argument(
            "--turns",
            action="append",
            required=True,
            metavar="FOLDER[:WEIGHT]",
            help="may be repeated; each of its turns comes WEIGHT times in an epoch (default: 1)",
        )
        parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, metrics and OUT/bundle")
        parser.add_argument("--name", help="the new bundle's name (default: the old one's)")
        _configure_recipe(parser.add_argument_group("recipe"), lr)
        _configure_machine(parser.add_argument_group("machine"))
        parser.set_defaults(run=run, full=False, lora_rank=None)
    weights = joint.add_mutually_exclusive_group()
    weights.add_argument(
        "--lora-rank", type=count, default=16, metavar="R", help="of a fresh adapter (default: %(default)s)"
    )
    weights.add_argument(
        "--full", action="store_true", help="train all weights of the LLM; several processes share them"
    )


def _configure_recipe(group: argparse._ArgumentGroup, lr: str) -> None:
    length = group.add_mutually_exclusive_group(required=True)
    length.add_argument("--epochs", type=float, help="passes over all turns; the paper makes 2 in each stage")
    length.add_argument("--steps", type=count, help="updates in all; the learning rate ends at zero")
    group.add_argument("--stop-after", type=count, metavar="STEP", help="stop early, the schedule unchanged")
    group.add_argument("--lr", type=float, help=f"peak learning rate (default: {lr})")
    group.add_argument("--warmup", type=int, default=0, help="steps to the peak (default: %(default)s, the paper's)")
    group.add_argument("--decay", choices=("line", "cosine"), default="line", help="line is the paper's")
    group.add_argument("--global-batch", type=count, default=64, metavar="TURNS", help="an update (the paper's: 1,024)")
    group.add_argument("--alpha", type=float, default=0.0, help="share of KL in the distilled turns' loss (default: 0)")
    group.add_argument("--tau", type=float, default=1.0, help="temperature of KL (default: %(default)s)")
    group.add_argument(
        "--conversation",
        type=count,
        default=1,
        metavar="TURNS",
        help="join up to so many of an update's turns to conversations (default: each turn is one)",
    )
    group.add_argument(
        "--exchange",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the distilled turns get another clip's prosody: facts are the same in any voice (default: none)",
    )
    group.add_argument("--layout", choices=("global", "interleaved"), help="(default: the bundle's)")
    group.add_argument("--max-answer", type=count, default=512, metavar="TOKENS", help="longer ones are cut")
    group.add_argument("--seed", type=whole, default=0)


def _configure_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16", help="of the weights in use")
    group.add_argument("--processes", type=count, default=1, help="processes on this machine, one a GPU or core")
    group.add_argument("--threads", type=count, default=1, help="CPU threads a process")
    group.add_argument("--workers", type=whole, default=0, help="processes that prepare turns, for each process")
    group.add_argument("--positions", type=count, default=4096, help="of a forward pass; updates are made of several")
    group.add_argument("--recompute", action="store_true", help="gradient checkpointing: less memory, a third slower")
    group.add_argument("--save-every", type=count, default=200, metavar="STEPS")


def run(args: argparse.Namespace) -> int:
    """Trains in this process, or under torchrun in several; then writes the bundle."""
    if "LOCAL_RANK" not in os.environ:  # torchrun's own word to its processes
        # How long conversations are depends on how many processes must share them evenly.
        free = training_run.MACHINE - ({"processes"} if args.conversation > 1 else set())
        from textpro.data.turns import TURNS_FILE

        turns = [_source(text).folder / TURNS_FILE for text in args.turns]
        training_run.keep_settings(args, _kind(args), turns, may_change=free)
        if args.processes > 1:
            return training_run.under_torchrun(args)
    import torch
    from accelerate import Accelerator

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)  # every process starts from the same weights
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    try:
        return _train(args, accelerator)
    finally:
        accelerator.end_training()


@dataclass
class _Job:
    """What the stages work on."""

    args: argparse.Namespace
    accelerator: "Accelerator"
    bundle: "Bundle"
    llm: str
    base: Path
    slm: "TextProSLM"
    batches: "TurnBatches"
    stage: "Stage"

    @property
    def last(self) -> int:
        return min(self.args.stop_after or self.stage.schedule.steps, self.stage.schedule.steps)


def _train(args: argparse.Namespace, accelerator: "Accelerator") -> int:
    job = _prepare(args, accelerator)
    step, save_llm = {"align": _align, "lora": _lora, "full": _full}[_kind(args)](job)
    if step < job.last:
        return training_run.stopped(step, job.stage.schedule.steps, visible=accelerator.is_main_process)
    _export(job, step, save_llm)
    return 0


def _kind(args: argparse.Namespace) -> str:
    return "full" if args.full else "lora" if args.lora_rank is not None else "align"


def _prepare(args: argparse.Namespace, accelerator: "Accelerator") -> _Job:
    from services.encoder.settings import EncoderSettings
    from textpro.bundle import Bundle
    from textpro.data.shards import check_heard_by
    from textpro.language_model import resolve_llm
    from textpro.training.projector import attach_projector
    from textpro.training.student import check_place
    from textpro.training.turn_batches import TurnBatches, TurnPlan

    bundle = Bundle.load(args.bundle)
    check_place(bundle, args.out / "bundle")
    if _kind(args) == "lora" and bundle.llm_path is not None:
        raise TrainingError(f"all weights of {bundle.path}'s LLM were trained; go on with --full")
    if _kind(args) == "full" and bundle.adapter_path is not None:
        raise TrainingError(f"{bundle.path}'s projector was trained with an adapter; go on without --full")
    sources = [_source(text) for text in args.turns]
    for source in sources:
        check_heard_by(source.folder, bundle.encoder_fingerprint)
    llm = args.llm or bundle.config.llm or "embedded"
    if llm != "embedded" and Path(llm).expanduser().is_dir():
        llm = str(Path(llm).expanduser().resolve())  # the bundle is served from anywhere
    base = resolve_llm(llm, EncoderSettings.load().cache)
    slm = _student(args, bundle, (bundle.llm_path if args.full else None) or base)
    plan = TurnPlan(args.global_batch, args.positions, args.max_answer, args.seed, args.conversation, args.exchange)
    rank, world = accelerator.process_index, accelerator.num_processes
    batches = TurnBatches(sources, slm, plan, with_teacher=args.alpha > 0, rank=rank, world=world)
    # A projector that an LLM learned together with is none for the untouched one, which stage 1 is about.
    fits = _kind(args) != "align" or (bundle.adapter_path is None and bundle.llm_path is None)
    attach_projector(slm, batches, bundle.projector_path if fits else None)
    return _Job(args, accelerator, bundle, llm, base, slm, batches, _stage(args, batches))


def _student(args: argparse.Namespace, bundle: "Bundle", path: Path) -> "TextProSLM":
    import torch

    from textpro.training.student import load_student

    return load_student(
        path,
        layout=args.layout or bundle.config.layout,
        ratio=bundle.config.interleave_ratio,
        dtype=None if args.full else getattr(torch, args.dtype),
        recompute=args.recompute,
    )


def _stage(args: argparse.Namespace, batches: "TurnBatches") -> "Stage":
    from textpro.training.loop import Schedule
    from textpro.training.stage import Stage

    steps = args.steps
    if steps is None:
        steps = max(1, round(args.epochs * batches.turns_per_epoch / args.global_batch))
    peak = args.lr if args.lr is not None else DEFAULT_LR[_kind(args)]
    schedule = Schedule(steps, peak, warmup_steps=args.warmup, shape=args.decay)
    return Stage(schedule, args.alpha, args.tau, save_every=args.save_every, workers=args.workers)


def _source(text: str) -> "TurnSource":
    from textpro.training.turn_batches import TurnSource

    folder, _, weight = text.rpartition(":")
    try:
        share = float(weight) if folder else None
    except ValueError:  # a folder with a colon in its name
        share = None
    return TurnSource(Path(text)) if share is None else TurnSource(Path(folder), share)


def _align(job: _Job) -> Trained:
    from textpro.training.align import align

    job.slm.to(job.accelerator.device)
    step = align(job.slm, job.batches, job.args.out, job.stage, job.accelerator, stop_after=job.args.stop_after)
    return step, None


def _lora(job: _Job) -> Trained:
    from textpro.training.joint import add_lora, joint_lora, save_adapter

    adapter = add_lora(job.slm, rank=job.args.lora_rank, saved=job.bundle.adapter_path)
    job.slm.to(job.accelerator.device)
    where = (job.batches, job.args.out, job.stage, job.accelerator)
    step = joint_lora(job.slm, adapter, *where, stop_after=job.args.stop_after)
    return step, lambda path: save_adapter(adapter, path / "adapter", base=job.llm)


def _full(job: _Job) -> Trained:
    import torch

    from textpro.training.joint import joint_full, save_llm
    from textpro.training.sharded import whole_weights

    teacher = _student(job.args, job.bundle, job.base) if job.args.alpha > 0 else None
    where = (job.batches, job.args.out, job.stage, job.accelerator)
    dtype = getattr(torch, job.args.dtype)
    step = joint_full(job.slm, teacher, *where, dtype=dtype, stop_after=job.args.stop_after)
    weights = whole_weights(job.slm.llm, job.accelerator) if step >= job.last else {}
    return step, lambda path: save_llm(job.slm, weights, path / "llm")


def _export(job: _Job, step: int, save_llm: "Callable[[Path], None] | None") -> None:
    from textpro.training.projector import WhitenedProjector
    from textpro.training.sharded import whole_weights
    from textpro.training.student import save_student

    assert job.slm.projector is not None
    weights = whole_weights(job.slm.projector, job.accelerator)
    if not job.accelerator.is_main_process:
        return
    old, kind = job.bundle.config, _kind(job.args)
    turns = ", ".join(f"{_source(text).folder.name} × {_source(text).weight:g}" for text in job.args.turns)
    made_from = {"encoder": old.name, "turns": turns, kind: f"{step} updates of {job.args.global_batch} turns"}
    config = replace(
        old,
        name=job.args.name or old.name,
        layout=job.slm.layout,
        llm=job.llm,
        made_from=old.made_from | made_from,
    )
    made = save_student(job.bundle, job.args.out / "bundle", config, WhitenedProjector.restored(weights), save_llm)
    print(made.path)
