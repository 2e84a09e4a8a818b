"""The `textpro` command. Each command is a module whose `configure(parser)` adds its arguments and names, as `run`, the
function that takes them and returns the exit code. What is heavy is imported only then."""

import argparse
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "up": "start the encoder, the LLM and the gateway on this machine",
    "chat": "send recordings to a running gateway and show what comes back",
    "listen": "talk with a running gateway, by a recording or a microphone",
    "demo": "start everything, ask recorded questions in several tones, stop",
    "synthesize": "make a corpus of synthetic speech",
    "data": "make training data: import corpora, distil, ask about voices",
    "train": "train a WhisperPro, or an LLM to hear its prosody",
    "plot": "draw a training run's metrics",
    "evaluate": "measure a bundle",
    "report": "write the tables and charts of measurements",
    "bundle": "describe, export or average bundles",
    "config": "show every setting of the three services",
    "doctor": "say what is installed, what is missing and how to get it",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0 done, 1 failed, 2 called wrongly."""
    argv = sys.argv[1:] if argv is None else argv
    args = build_parser().parse_args(argv)
    args.argv = list(argv)
    from textpro.errors import TextProError

    try:
        return args.run(args)
    except TextProError as error:
        print(f"textpro: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"textpro: {error}; `textpro doctor` says what to install", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output left (`textpro config | head`); what is still buffered has nowhere to go.
        sys.stderr.close()
        return 141
    except OSError as error:
        print(f"textpro: {_reason(error)}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; costs no import of a service or of the model."""
    parser = argparse.ArgumentParser(prog="textpro", description="A voice assistant that hears how something is said.")
    parser.add_argument("--version", action="version", version=f"textpro {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, sentence in COMMANDS.items():
        module = importlib.import_module(f"services.cli.{name}")
        command = commands.add_parser(name, help=sentence, description=(module.__doc__ or sentence).strip())
        module.configure(command)
    return parser


def _reason(error: OSError) -> str:
    """One line: the file, where the error names one, and what went wrong."""
    said = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return said if error.filename is None else f"{error.filename}: {said}"


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("textpro")
    except metadata.PackageNotFoundError:  # run from a checkout that was not installed
        return "(not installed)"
