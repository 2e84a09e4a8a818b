"""Settings: what the environment may say, and what a person is told when it says something else."""

from typing import ClassVar

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.encoder.settings import EncoderSettings
from services.runtime.settings import ServiceSettings, SettingsError


class KitchenSettings(ServiceSettings):
    """A service of the test."""

    model_config = SettingsConfigDict(env_prefix="TEXTPRO_KITCHEN_")
    foreign: ClassVar[tuple[str, ...]] = ("TEXTPRO_KITCHEN_URL",)

    ovens: int = Field(default=2, ge=1)
    """Ovens that may be hot | at once."""

    key: SecretStr = Field(default=SecretStr(""), max_length=6)
    """Opens the door."""


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTPRO_KITCHEN_OVENS", "5")
    monkeypatch.setenv("TEXTPRO_CACHE", "~/elsewhere")
    settings = KitchenSettings.load()
    assert settings.ovens == 5
    assert settings.cache.is_absolute()
    assert settings.cache.name == "elsewhere"


def test_a_mistyped_variable_is_refused_and_the_right_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTPRO_KITCHEN_OVNES", "5")
    with pytest.raises(SettingsError, match=r"TEXTPRO_KITCHEN_OVNES is set.*did you mean TEXTPRO_KITCHEN_OVENS\?"):
        KitchenSettings.load()


def test_a_value_out_of_bounds_is_refused_by_the_variables_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTPRO_KITCHEN_OVENS", "0")
    with pytest.raises(SettingsError, match=r"TEXTPRO_KITCHEN_OVENS is '0': input should be greater"):
        KitchenSettings.load()


def test_a_secret_is_not_repeated_in_a_complaint_or_shown_in_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTPRO_KITCHEN_KEY", "sesame")
    assert "sesame" not in str(KitchenSettings.load().public())
    monkeypatch.setenv("TEXTPRO_KITCHEN_KEY", "sesame seed")
    with pytest.raises(SettingsError, match="TEXTPRO_KITCHEN_KEY is set to a value that is not allowed") as caught:
        KitchenSettings.load()
    assert "sesame" not in str(caught.value)


def test_variables_of_other_services_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTPRO_KITCHEN_URL", "http://127.0.0.1")
    monkeypatch.setenv("TEXTPRO_GARDEN_SIZE", "3")
    assert KitchenSettings.load().ovens == 2


def test_the_document_has_a_row_for_every_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = KitchenSettings.document().splitlines()
    assert "| `TEXTPRO_KITCHEN_OVENS` | `2` | Ovens that may be hot \\| at once. |" in rows
    assert "| `TEXTPRO_KITCHEN_KEY` |  | Opens the door. |" in rows
    assert len(rows) == 2 + len(KitchenSettings.variables())


def test_every_field_of_the_encoder_has_its_sentence() -> None:
    assert all(field.description for field in EncoderSettings.variables().values())
