"""Makes what models are trained on, from published corpora and from text."""

import argparse
import importlib

# Each is a module services/cli/data_NAME.py with its own `configure(parser)`, as the commands themselves are.
ACTIONS = {
    "import": "read a published corpus into a manifest, or into texts for distillation",
    "distill": "speak texts and have the LLM answer what was heard",
    "paralinguistic": "ask about the voices of a labelled corpus",
    "questions": "print the questions about a voice that a user would say",
    "quiz": "print questions of everyday knowledge",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro data`'s actions."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, sentence in ACTIONS.items():
        module = importlib.import_module(f"services.cli.data_{name}")
        action = actions.add_parser(name, help=sentence, description=(module.__doc__ or sentence).strip())
        module.configure(action)
