"""Makes distillation data: texts are spoken and heard by the encoder, and the untouched LLM answers them. Give the same
command again to go on with a run that stopped."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli import casting, hearing
from services.cli.count import count

if TYPE_CHECKING:  # the command line must stay instant
    from textpro.data.corpora.user_text import UserText
    from textpro.data.synthesis import Job
    from textpro.training.teachers import Teacher

SOURCES = ("GTQ_GTA", "ASRQ_ASRA", "ASRQ_GTA")


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro data distill`'s arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the turns and their prosody")
    texts = parser.add_mutually_exclusive_group(required=True)
    texts.add_argument("--sentences", type=count, metavar="N", help="so many of the project's own training sentences")
    texts.add_argument(
        "--text", type=Path, metavar="FILE", help="these: .jsonl as `textpro data import` writes, or lines"
    )
    parser.add_argument("--limit", type=count, metavar="N", help="only the first N of the texts")
    parser.add_argument("--seed", type=int, default=0, help="of sentences, voices and sampling")
    casting.configure(parser)
    parser.add_argument(
        "--source",
        choices=SOURCES,
        default="ASRQ_ASRA",
        help="whose text the student reads and whose the teacher answers: the true one (GT) or the encoder's (ASR)",
    )
    hearing.configure(parser)
    _configure_teacher(parser.add_argument_group("teacher"))


def _configure_teacher(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--llm", default="embedded", help="embedded, a directory or a hub name (default: %(default)s)")
    group.add_argument("--dtype", default="auto", help="its weights' type (default: as stored)")
    group.add_argument("--positions", type=count, default=8192, help="tokens in a padded batch (default: %(default)s)")
    group.add_argument("--teacher-url", metavar="URL", help="ask this OpenAI-compatible server instead, such as vLLM")
    group.add_argument("--teacher-model", metavar="NAME", help="the server's name of it (default: the first it has)")
    group.add_argument("--answers", type=Path, metavar="FILE", help="keep its answers here and ask for none twice")
    group.add_argument("--concurrency", type=count, default=32, help="requests under way (default: %(default)s)")
    group.add_argument("--max-tokens", type=count, default=256, help="of an answer; longer ones end at a sentence")
    group.add_argument("--temperature", type=float, default=0.0, help="(default: greedy)")


def run(args: argparse.Namespace) -> int:
    """Writes the turns, or the rest of a run that was interrupted."""
    from textpro.training.distill import distill

    texts = _texts(args)
    dropped = distill(texts, _jobs(args, texts), args.out, hearing.load(args), _teacher(args), source=args.source)
    report(args.out, dropped)
    return 0


def report(out: Path, dropped: "Counter[str]") -> None:
    """Says where the turns lie and what was left out."""
    print(out / "turns.jsonl")
    for reason, times in sorted(dropped.items()):
        print(f"dropped, {reason}: {times}")


def _texts(args: argparse.Namespace) -> "list[UserText]":
    from textpro.data.corpora import user_text
    from textpro.data.corpora.user_text import UserText
    from textpro.data.sentences import compose_split, read_lines

    if args.text is None:
        lines = compose_split(args.sentences, "train", args.seed, natural=True)
    elif args.text.suffix == ".jsonl":
        return list(user_text.read(args.text))[: args.limit]
    else:
        lines = read_lines(args.text)
    return [UserText(f"{number:06d}", line) for number, line in enumerate(lines[: args.limit])]


def _jobs(args: argparse.Namespace, texts: "Sequence[UserText]") -> "list[Job]":
    from textpro.data.synthesis import plan

    cast, sentences = casting.load(args), [text.text for text in texts]
    return list(
        plan(
            sentences,
            cast.voices,
            clips=len(texts),
            seed=args.seed,
            flite_share=cast.flite_share,
            deliveries=cast.styles,
            room_s=args.room,
        )
    )


def _teacher(args: argparse.Namespace) -> "Teacher":
    from services.encoder.settings import EncoderSettings
    from textpro.language_model import identity, resolve_llm
    from textpro.training.teachers import LocalTeacher, RememberedTeacher, Sampling, ServerTeacher

    sampling = Sampling(args.max_tokens, args.temperature, args.seed)
    if args.teacher_url:
        teacher = ServerTeacher(args.teacher_url, sampling, model=args.teacher_model, concurrency=args.concurrency)
    else:
        path = resolve_llm(args.llm, EncoderSettings.load().cache)
        teacher = LocalTeacher.load(
            path,
            sampling,
            name=identity(args.llm),
            device=args.device,
            dtype=args.dtype,
            positions=args.positions,
        )
    return RememberedTeacher(teacher, args.answers) if args.answers else teacher
