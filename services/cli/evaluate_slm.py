"""`textpro evaluate modality-gap` and `textpro evaluate paralinguistic`: what the LLM makes of speech."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli import hearing
from services.cli.count import count

if TYPE_CHECKING:  # the command line must stay instant
    from textpro.bundle import Bundle
    from textpro.evaluation.modality_gap import Asked
    from textpro.evaluation.results import Answers
    from textpro.slm import TextProSLM

SYSTEMS = ("text", "cascade", "textpro", "typed")
OF_BASE = ("text", "cascade")
FORMATS = ("continuation", "letter")
MEASURES = ("likelihood", "generated", "tone", "facts")
FORGETTING_TEXTS = 100


def add(measures: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds both to `textpro evaluate`."""
    gap = measures.add_parser("modality-gap", help="multiple choice as text and as speech (paper 4.2.2)")
    gap.add_argument(
        "--speech",
        type=Path,
        required=True,
        help="manifest.jsonl that `textpro synthesize` made of `textpro data quiz`",
    )
    gap.add_argument(
        "--system",
        nargs="+",
        choices=SYSTEMS,
        help="text: the text LLM reads the questions; cascade: it reads what was heard; textpro: the bundle hears "
        "them; typed: its LLM reads them (default: all that the bundle can be)",
    )
    gap.add_argument("--format", nargs="+", choices=FORMATS, default=FORMATS, help="(default: both)")
    gap.add_argument(
        "--forgetting", action="store_true", help="also the KL to the text LLM, on its own answers to typed questions"
    )
    gap.set_defaults(run=run_modality_gap)
    voice = measures.add_parser("paralinguistic", help="questions about the voice, and the exchange test (paper 4.2.3)")
    voice.add_argument("--turns", type=Path, required=True, help="folder that `textpro data paralinguistic` made")
    voice.add_argument("--facts", type=Path, metavar="MANIFEST", help="spoken questions: does their answer stay?")
    voice.add_argument(
        "--measure",
        nargs="+",
        choices=MEASURES,
        help="likelihood: is the right option the likeliest; generated: does the answer name it; tone: does the answer "
        "follow another clip's prosody; facts: does theirs stay (default: all, facts if there are --facts)",
    )
    voice.set_defaults(run=run_paralinguistic)
    for parser in (gap, voice):
        _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    hearing.configure(parser)
    parser.add_argument("--llm", help="another LLM than the bundle names")
    parser.add_argument("--llm-device", help="where it runs (default: where the encoder does)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="of the LLM")
    parser.add_argument("--name", help="what tables call it (default: the bundle's own name)")
    parser.add_argument("--limit", type=count, metavar="N", help="only so many questions, from the start")
    parser.add_argument("--seed", type=int, default=0, help="that of the bundle's training; tells runs apart in tables")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome there, for `textpro report`")


def run_modality_gap(args: argparse.Namespace) -> int:
    """Prints the tables of this run."""
    from textpro.bundle import Bundle
    from textpro.errors import BundleError
    from textpro.evaluation import report
    from textpro.evaluation.modality_gap import listen
    from textpro.evaluation.results import ResultsError

    bundle = Bundle.load(args.bundle)
    name = args.name or bundle.config.name
    systems = args.system or (SYSTEMS if bundle.has_projector else OF_BASE)
    if args.system and not bundle.has_projector and not set(args.system) <= set(OF_BASE):
        raise BundleError(f"{args.bundle} has no projector, so it can only be {' and '.join(OF_BASE)}")
    if args.forgetting and set(systems) <= set(OF_BASE):
        raise ResultsError(
            "--forgetting compares the bundle's own LLM with the text LLM: it needs a bundle with a projector, and "
            "textpro or typed where a --system is named"
        )
    heard = listen(args.speech, hearing.load(args), limit=args.limit)
    base = _slm(args, bundle, base=True) if args.forgetting or any(system in OF_BASE for system in systems) else None
    own = _slm(args, bundle) if any(system not in OF_BASE for system in systems) else None
    numbers: dict[str, dict[str, float]] = {}
    if args.forgetting and base is not None and own is not None:
        from textpro.evaluation.forgetting import forgetting

        texts = [one.question.question for one in heard[:FORGETTING_TEXTS]]
        numbers["KL to the text LLM, nats"] = {"kl": forgetting(base, own, texts)}
    answers = _answers(args, systems, heard, name, base, own)
    _finish(args, report.MODALITY_GAP, name, answers, numbers)
    return 0


def _answers(
    args: argparse.Namespace,
    systems: Sequence[str],
    heard: "Sequence[Asked]",
    name: str,
    base: "TextProSLM | None",
    own: "TextProSLM | None",
) -> "list[Answers]":
    from textpro.evaluation.modality_gap import Input, cases
    from textpro.evaluation.multiple_choice import decide
    from textpro.evaluation.results import CASCADE, TOPLINE, TYPED, Answers

    given: dict[str, tuple[str, TextProSLM | None, Input]] = {
        "text": (TOPLINE, base, "text"),
        "cascade": (CASCADE, base, "transcript"),
        "textpro": (name, own, "speech"),
        "typed": (f"{name}{TYPED}", own, "text"),
    }
    answers: list[Answers] = []
    for system in systems:
        called, slm, kind = given[system]
        if slm is not None:
            answers += [Answers(called, form, tuple(decide(slm, cases(heard, form, kind)))) for form in args.format]
    return answers


def run_paralinguistic(args: argparse.Namespace) -> int:
    """Prints the tables of this run."""
    from textpro.bundle import Bundle
    from textpro.data.shards import check_heard_by
    from textpro.evaluation import exchange, paralinguistic, report
    from textpro.evaluation.modality_gap import listen
    from textpro.evaluation.multiple_choice import decide
    from textpro.evaluation.results import Answers, Outcome, ResultsError

    measures = args.measure or MEASURES
    if "facts" in (args.measure or ()) and args.facts is None:
        raise ResultsError("--measure facts needs --facts, the manifest of spoken questions of knowledge")
    bundle = Bundle.load(args.bundle)
    check_heard_by(args.turns, bundle.encoder_fingerprint)
    name = args.name or bundle.config.name
    slm = _slm(args, bundle)
    cases = paralinguistic.cases(args.turns)[: args.limit]
    outcomes: dict[str, list[Outcome]] = {}
    if "likelihood" in measures:
        outcomes[report.LIKELIHOOD] = decide(slm, cases)
    if "generated" in measures:
        outcomes[report.GENERATED] = paralinguistic.say(slm, cases)
    if "tone" in measures:
        outcomes[report.TONE] = decide(slm, exchange.exchanged(cases))
    if "facts" in measures and args.facts is not None:
        voices = [case.prosody for case in cases if case.prosody is not None]
        heard = listen(args.facts, hearing.load(args), limit=args.limit)
        outcomes[report.FACTS] = exchange.facts(slm, heard, voices)
    answers = [Answers(name, form, tuple(found)) for form, found in outcomes.items() if found]
    if not answers:
        raise ResultsError(f"{args.turns} has no question for {', '.join(outcomes)}")
    _finish(args, report.PARALINGUISTIC, name, answers, {})
    return 0


def _slm(args: argparse.Namespace, bundle: "Bundle", *, base: bool = False) -> "TextProSLM":
    """The bundle's LLM with its projector; or, as `base`, the text LLM that it was made from."""
    import torch

    from services.encoder.settings import EncoderSettings
    from textpro.bundle import Bundle
    from textpro.slm import TextProSLM

    llm = args.llm
    if base:
        llm = llm or bundle.config.llm or "embedded"
        bundle = Bundle.load(bundle.encoder_path)  # a plain Whisper: neither projector nor adapter
    cache = EncoderSettings.load().cache
    torch.set_num_threads(args.threads)
    return TextProSLM.load(
        bundle, cache, llm=llm, dtype=getattr(torch, args.dtype), device=args.llm_device or args.device
    )


def _finish(
    args: argparse.Namespace,
    measure: str,
    name: str,
    answers: "Sequence[Answers]",
    numbers: Mapping[str, Mapping[str, float]],
) -> None:
    from textpro.evaluation import report, results

    run = results.Run(measure, args.seed, tuple(answers), name, numbers)
    for table in report.tables([run]).get(measure, []):
        print(table.markdown())
    if args.json is not None:
        results.write(args.json, run, bundle=args.bundle, limit=args.limit)
