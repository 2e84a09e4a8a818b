"""What every process's settings share: environment variables only, unknown keys refused, one sentence under each field.

class EncoderSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="TEXTPRO_ENCODER_")
    foreign = ("TEXTPRO_ENCODER_URL",)

    queue: int = 64
    '''Requests that may wait; one more is refused.'''

settings = EncoderSettings.load()
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from textpro.errors import TextProError

_CREDENTIALS = re.compile(r"(?<=//)[^/@\s]+(?=@)")


class SettingsError(TextProError):
    """The environment sets a key nobody reads, or a value that is not allowed; the message names the variable."""


class ServiceSettings(BaseSettings):
    """Base of the one settings class of a process; built once in `main` by `load()` and passed down.

    `foreign` holds the beginnings of variables that share the prefix and belong to another process.
    """

    model_config = SettingsConfigDict(
        env_prefix="TEXTPRO_", extra="forbid", frozen=True, populate_by_name=True, use_attribute_docstrings=True
    )
    foreign: ClassVar[tuple[str, ...]] = ()

    cache: Path = Field(default=Path("~/.cache/textpro"), validation_alias="TEXTPRO_CACHE")
    """Directory for what is made once and reused, such as converted models."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", validation_alias="TEXTPRO_LOG_LEVEL"
    )
    """Lines under this level are not written."""

    log_format: Literal["auto", "text", "json"] = Field(default="auto", validation_alias="TEXTPRO_LOG_FORMAT")
    """`auto` writes text to a terminal and JSON lines otherwise."""

    drain_s: float = Field(default=20.0, gt=0, le=600, validation_alias="TEXTPRO_DRAIN_S")
    """After SIGTERM, requests that are already in may take this long, in seconds, to finish."""

    @classmethod
    def load(cls) -> Self:
        """Settings from the environment. Raises SettingsError for a key nobody reads and for a value out of bounds."""
        cls._refuse_unknown(os.environ)
        try:
            settings = cls()
        except ValidationError as error:
            raise SettingsError("; ".join(cls._complaint(item) for item in error.errors())) from error
        return settings.model_copy(update={"cache": settings.cache.expanduser()})

    @classmethod
    def variables(cls) -> dict[str, FieldInfo]:
        """Environment variable -> field, in the order of the class."""
        prefix = cls.model_config.get("env_prefix", "")
        return {
            field.validation_alias if isinstance(field.validation_alias, str) else f"{prefix}{name}".upper(): field
            for name, field in cls.model_fields.items()
        }

    @classmethod
    def document(cls) -> str:
        """A Markdown table of every variable: its name, its default, its sentence."""
        rows = ["| Variable | Default | Meaning |", "| --- | --- | --- |"]
        for variable, field in cls.variables().items():
            meaning = " ".join((field.description or "").split()).replace("|", "\\|")
            rows.append(f"| `{variable}` | {_shown(field)} | {meaning} |")
        return "\n".join(rows) + "\n"

    def public(self) -> dict[str, Any]:
        """Every value as JSON, for /v1/config; secrets, and passwords in addresses, are masked."""
        values = self.model_dump(mode="json")
        return {
            name: _CREDENTIALS.sub("**********", value) if isinstance(value, str) else value
            for name, value in values.items()
        }

    @classmethod
    def _refuse_unknown(cls, environ: Mapping[str, str]) -> None:
        prefix = cls.model_config.get("env_prefix", "").upper()
        own = cls.variables()
        shared = ServiceSettings.variables()
        for key in environ:
            name = key.upper()
            if not name.startswith(prefix) or name in own or name in shared or name.startswith(cls.foreign):
                continue
            near = difflib.get_close_matches(name, own, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(own)}"
            raise SettingsError(f"{key} is set, and no setting of this service has that name; {hint}")

    @classmethod
    def _complaint(cls, item: ErrorDetails) -> str:
        place = str(item["loc"][0]) if item["loc"] else ""
        variable = dict(zip(cls.model_fields, cls.variables(), strict=True)).get(place, place)
        if not place or item["type"] == "missing":
            return f"{variable} is not set, and has no default" if place else item["msg"]
        field = cls.variables().get(variable)
        # A secret, and an address that may hold a password, are not repeated where they can be read.
        private = field is not None and "Secret" in str(field.annotation)
        value = "set to a value that is not allowed" if private or "@" in str(item["input"]) else repr(item["input"])
        reason = item["msg"].removeprefix("Value error, ")
        return f"{variable} is {value}: {reason[0].lower()}{reason[1:]}"


def _shown(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, SecretStr):
        value = "set" if value.get_secret_value() else ""
    return "" if value is None or value == "" else f"`{value}`"
