"""Trains models of the papers: WhisperPro on a corpus with a manifest, the LLM on folders of turns. A run that stopped
goes on where it was when the same command is given again; a finished one only writes its bundle again."""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli import train_slm, training_run
from services.cli.count import count, whole
from textpro.errors import TrainingError

if TYPE_CHECKING:  # the command line must stay instant
    from transformers import PreTrainedTokenizerBase

    from textpro.training.batches import BatchPlan
    from textpro.training.whisperpro import FreshModel, Recipe
    from textpro.whisperpro import WhisperPro

SCRATCH = "scratch"
TOKENIZER_SENTENCES = 60_000
ALWAYS = 10**9
HEAD_WIDTH = 64  # of an attention head, in every Whisper


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro train`'s arguments: WhisperPro here, the two stages of the LLM in `train_slm`."""
    models = parser.add_subparsers(metavar="MODEL", required=True)
    whisperpro = models.add_parser("whisperpro", help="speech recognition plus mel reconstruction (paper 3.1)")
    whisperpro.add_argument("--manifest", type=Path, required=True, help="manifest.jsonl of the corpus")
    whisperpro.add_argument("--out", type=Path, required=True, help="folder for checkpoint, metrics and OUT/bundle")
    whisperpro.add_argument("--from", dest="source", default=SCRATCH, metavar="BUNDLE|scratch", help="where to start")
    whisperpro.add_argument("--name", default="whisperpro", help="the bundle's name")
    whisperpro.add_argument("--tokenizer", type=Path, help="its directory (default: learned from our sentences)")
    whisperpro.add_argument("--resume", type=Path, metavar="CHECKPOINT", help="another run's, to branch from")
    _configure_size(whisperpro.add_argument_group("size, from scratch only"))
    _configure_recipe(whisperpro.add_argument_group("recipe"))
    _configure_machine(whisperpro.add_argument_group("machine"))
    whisperpro.set_defaults(run=run)
    train_slm.configure(models)


def _configure_size(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--width", type=int, default=256, help=f"a multiple of {HEAD_WIDTH} (default: %(default)s)")
    group.add_argument("--encoder-layers", type=int, default=4, help="(default: %(default)s)")
    group.add_argument("--decoder-layers", type=int, default=4, help="(default: %(default)s)")


def _configure_recipe(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--steps", type=count, required=True, help="updates in all; the learning rate ends at zero")
    group.add_argument("--stop-after", type=count, metavar="STEP", help="stop early, the schedule unchanged")
    group.add_argument("--lr", type=float, help="peak learning rate (default: 1.2e-3 from scratch, else 1e-5)")
    group.add_argument("--warmup", type=int, default=400, help="steps to the peak (default: %(default)s)")
    group.add_argument("--decay", choices=("cosine", "line"), default="cosine", help="line is the paper's")
    group.add_argument("--tap", help="decoder.L or encoder.L (default: as it was; from scratch the decoder's middle)")
    group.add_argument("--mel", type=float, help="weight λ of the mel loss (default: 1.0; 0 with --decoder-clips)")
    group.add_argument("--mel-from", type=int, default=0, metavar="STEP", help="no mel loss before this step")
    group.add_argument("--mel-share", type=float, default=1.0, help="clips of a batch that it is computed on")
    group.add_argument("--ctc", type=float, help="weight of the auxiliary CTC (default: 0.5 from scratch, else 0)")
    group.add_argument(
        "--decoder-clips", type=int, default=0, metavar="N", help="freeze the encoder; encode N clips a process once"
    )
    group.add_argument("--above-tap", action="store_true", help="then train only layers that leave the prosody alone")
    group.add_argument("--batch-seconds", type=float, default=30.0, help="speech in a batch of one process")
    group.add_argument("--augmentation", choices=("full", "mild"), default="full", help="mild suits short runs")
    group.add_argument("--seed", type=whole, default=0)


def _configure_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16", help="of the weights in use")
    group.add_argument("--processes", type=count, default=1, help="processes on this machine, one a GPU or core")
    group.add_argument("--threads", type=count, default=1, help="CPU threads a process")
    group.add_argument("--workers", type=whole, default=0, help="processes that prepare batches, for each process")
    group.add_argument("--save-every", type=count, default=250, metavar="STEPS")


def run(args: argparse.Namespace) -> int:
    """Trains in this process, or under torchrun in several; then writes the bundle."""
    if "LOCAL_RANK" not in os.environ:  # torchrun's own word to its processes
        training_run.keep_settings(args, "whisperpro", [args.manifest])
        if args.source == SCRATCH:
            _make_tokenizer(args)
        if args.processes > 1:
            return training_run.under_torchrun(args)
    return _train(args)


def _train(args: argparse.Namespace) -> int:
    import torch

    from textpro.training import whisperpro

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)  # every process starts from the same weights
    model, tokenizer = _model(args)
    recipe = _recipe(args)
    files = (args.manifest, args.out)
    step = whisperpro.train(model, tokenizer, *files, recipe, resume=args.resume, stop_after=args.stop_after)
    is_first = os.environ.get("RANK", "0") == "0"
    if step < min(args.stop_after or args.steps, args.steps):
        return training_run.stopped(step, args.steps, visible=is_first)
    if is_first:
        _export(args, model, tokenizer, step, recipe.mel)
    return 0


def _model(args: argparse.Namespace) -> "tuple[WhisperPro, PreTrainedTokenizerBase]":
    import torch
    from transformers import PreTrainedTokenizerFast

    from textpro.bundle import Bundle, load_training
    from textpro.config import BundleConfig, ReconstructorConfig
    from textpro.training.whisperpro import fresh_whisper
    from textpro.whisperpro import WhisperPro

    if args.source != SCRATCH:
        bundle = Bundle.load(args.source)
        model, tokenizer = load_training(bundle if args.tap is None else bundle.tapped(args.tap))
    else:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(str(_tokenizer_path(args)))
        size = _size(args)
        tap = args.tap or f"decoder.{max(1, size.decoder_layers // 2)}"  # the middle, paper 3.1
        small = ReconstructorConfig(dropout=0.0, encoder_layers=1)
        config = BundleConfig(name=args.name, tap=tap, variable_length=True, reconstructor=small)
        layers = size.decoder_layers if config.tap_side == "decoder" else size.encoder_layers
        if config.prosody_layer > layers:
            raise TrainingError(f"--tap is {tap}; the {config.tap_side} has {layers} layers")
        model = WhisperPro(fresh_whisper(size, tokenizer), config, with_reconstructor=True)
    core = model.whisper.model
    if not torch.cuda.is_available():
        for part in (model.whisper.config, core.encoder.config, core.decoder.config):
            part._attn_implementation = "eager"  # the fastest on a CPU for clips this short
    return model, tokenizer


def _size(args: argparse.Namespace) -> "FreshModel":
    from textpro.training.whisperpro import FreshModel

    if args.width < HEAD_WIDTH or args.width % HEAD_WIDTH or min(args.encoder_layers, args.decoder_layers) < 1:
        raise TrainingError(
            f"--width is {args.width}, expected a multiple of {HEAD_WIDTH}; both parts need at least one layer"
        )
    return FreshModel(args.width, args.width // HEAD_WIDTH, args.encoder_layers, args.decoder_layers)


def _recipe(args: argparse.Namespace) -> "Recipe":
    from textpro.training.loop import Schedule
    from textpro.training.whisperpro import Recipe

    scratch = args.source == SCRATCH
    peak = args.lr if args.lr is not None else (1.2e-3 if scratch else 1e-5)
    mel = args.mel if args.mel is not None else (0.0 if args.decoder_clips else 1.0)
    ctc = args.ctc if args.ctc is not None else (0.5 if scratch and not args.decoder_clips else 0.0)
    return Recipe(
        Schedule(args.steps, peak, warmup_steps=args.warmup, shape=args.decay),
        mel=mel,
        mel_from=args.mel_from,
        mel_share=args.mel_share,
        ctc=ctc,
        ctc_until=ALWAYS,
        label_smoothing=0.05 if scratch else 0.0,
        decoder_clips=args.decoder_clips,
        above_tap=args.above_tap,
        dtype=args.dtype,
        save_every=args.save_every,
        log_every=25,
        workers=args.workers,
        plan=_plan(args),
    )


def _plan(args: argparse.Namespace) -> "BatchPlan":
    from textpro.training.augment import Augmentation
    from textpro.training.batches import BatchPlan

    plan = BatchPlan(seconds=args.batch_seconds, seed=args.seed)
    if args.source != SCRATCH:
        plan = replace(plan, bpe_dropout=0.0)  # it teaches to spell, which a trained model can
    if args.augmentation == "full":
        return plan
    mild = Augmentation(
        noise=0.5, snr_db=(5.0, 25.0), speed=0.15, tilt=0.05, masks=0.1, no_speech=0.02, gain_db=(-15.0, 0.0)
    )
    return replace(plan, long_padding=0.02, augmentation=mild)


def _tokenizer_path(args: argparse.Namespace) -> Path:
    return args.tokenizer or args.out / "tokenizer"


def _make_tokenizer(args: argparse.Namespace) -> None:
    path = _tokenizer_path(args)
    if (path / "tokenizer.json").exists():
        return
    if args.tokenizer is not None:
        raise TrainingError(f"{path} holds no tokenizer.json")
    from textpro.data.sentences import compose_split
    from textpro.training.tokenizer import train_tokenizer

    train_tokenizer(compose_split(TOKENIZER_SENTENCES, "train", 1)).save_pretrained(str(path))


def _export(
    args: argparse.Namespace, model: "WhisperPro", tokenizer: "PreTrainedTokenizerBase", step: int, mel: float
) -> None:
    from textpro import bundle

    made_from = {
        "corpus": str(args.manifest.parent.name),
        "start": bundle.Bundle.load(args.source).config.name if Path(args.source).is_dir() else args.source,
        "steps": str(step),
        "mel": str(mel),
    }
    # Batches hold utterances of their own length, whatever the start was trained on.
    config = replace(model.config, name=args.name, variable_length=True, made_from=made_from)
    made = bundle.save(args.out / "bundle", model.whisper, tokenizer, config, reconstructor=model.reconstructor)
    print(made.path)
