"""Shows every setting of the three services: its variable, the value in force, what it means."""

import argparse
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the command line must stay instant
    from pydantic.fields import FieldInfo

    from services.runtime.settings import ServiceSettings

WIDTH = 100


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro config`'s arguments."""
    parser.set_defaults(run=run)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="defaults and meanings, as in docs/operations.md")
    form.add_argument("--json", action="store_true", help="the values in force, as JSON")


def run(args: argparse.Namespace) -> int:
    """Prints; fails, naming the variable, when the environment holds a value that a service would refuse."""
    classes = settings_classes()
    if args.markdown:
        print("\n".join(f"### {name}\n\n{settings.document()}" for name, settings in classes.items()), end="")
    elif args.json:
        print(json.dumps({name: settings.load().public() for name, settings in classes.items()}, indent=2))
    else:
        print("\n".join(_section(name, settings) for name, settings in classes.items()))
    return 0


def settings_classes() -> "dict[str, type[ServiceSettings]]":
    """Service -> its settings class."""
    from services.encoder.settings import EncoderSettings
    from services.gateway.settings import GatewaySettings
    from services.llm.settings import LlmSettings

    return {"gateway": GatewaySettings, "encoder": EncoderSettings, "llm": LlmSettings}


def _section(name: str, settings: "type[ServiceSettings]") -> str:
    loaded = settings.load()
    values: dict[str, Any] = loaded.public()
    rows = [name]
    for field, variable in zip(settings.model_fields, settings.variables(), strict=True):
        changed = " (set)" if getattr(loaded, field) != _default(settings.model_fields[field]) else ""
        meaning = " ".join((settings.model_fields[field].description or "").split())
        rows.append(f"  {variable} = {'' if values[field] is None else values[field]}{changed}")
        rows += textwrap.wrap(meaning, WIDTH, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(rows) + "\n"


def _default(field: "FieldInfo") -> object:
    value = field.get_default(call_default_factory=True, validated_data={})
    return value.expanduser() if isinstance(value, Path) else value
