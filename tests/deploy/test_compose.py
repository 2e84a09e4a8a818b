"""docker-compose.yml, alone and with the GPU file: valid, and its environment is one that the services accept."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.encoder.settings import EncoderSettings
from services.gateway.settings import GatewaySettings
from services.llm.settings import LlmSettings
from services.runtime.settings import ServiceSettings

SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "encoder": EncoderSettings,
    "llm": LlmSettings,
}


@pytest.fixture(params=SETTINGS)
def service(request: pytest.FixtureRequest) -> str:
    return request.param


def image_environment(root: Path, compose: dict[str, Any], service: str) -> dict[str, str]:
    """TEXTPRO_… that the image's stage sets by itself."""
    build = compose["services"][service]["build"]
    text = (root / build["dockerfile"]).read_text().replace("\\\n", " ")
    stages = re.split(r"^(?=FROM )", text, flags=re.MULTILINE)
    wanted = f" AS {build['target']}\n" if "target" in build else "\n"
    stage = next(stage for stage in reversed(stages) if wanted in stage.partition("\n")[0] + "\n")
    return dict(re.findall(r"\b(TEXTPRO_\w+)=(\S+)", stage))


@pytest.fixture
def settings(root: Path, compose: dict[str, Any], service: str, monkeypatch: pytest.MonkeyPatch) -> ServiceSettings:
    """The settings the service would read in its container."""
    given = compose["services"][service]["environment"]
    inside = image_environment(root, compose, service) | {
        key: value for key, value in given.items() if value is not None
    }
    with monkeypatch.context() as environment:
        for name in outside():
            environment.delenv(name)
        for name, value in inside.items():
            environment.setenv(name, str(value))
        return SETTINGS[service].load()


def outside() -> list[str]:
    return [name for name in os.environ if name.startswith("TEXTPRO_")]


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.gpu.yml"])
def test_the_compose_specification_allows_it(judge: Callable[..., str], name: str) -> None:
    judge("check-jsonschema", "--builtin-schema", "vendor.compose-spec", name)


def test_every_variable_set_for_a_service_is_a_setting_of_it(compose: dict[str, Any], service: str) -> None:
    given = [key for key in compose["services"][service]["environment"] if key.startswith("TEXTPRO_")]
    assert given
    assert set(given) <= SETTINGS[service].variables().keys()


def test_a_service_accepts_its_environment_and_listens_to_the_network(settings: ServiceSettings) -> None:
    assert settings.public()["host"] == "0.0.0.0"


def test_the_default_needs_no_model_hub(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["encoder"]["environment"]["TEXTPRO_ENCODER_BUNDLE"] == "embedded"
    assert services["llm"]["environment"]["TEXTPRO_LLM_BUNDLE"] == "embedded"
    assert services["llm"]["environment"]["TEXTPRO_LLM_MODEL"] is None


def test_without_the_gpu_file_no_gpu_is_asked_for_and_with_it_two_services_ask(compose: dict[str, Any]) -> None:
    asking = {name for name, service in compose["services"].items() if "deploy" in service}
    engine = compose["services"]["llm"]["environment"]["TEXTPRO_LLM_ENGINE"]
    device = compose["services"]["encoder"]["environment"]["TEXTPRO_ENCODER_DEVICE"]
    expected = {"transformers": (set(), "cpu"), "vllm": ({"encoder", "llm"}, "cuda")}
    assert (asking, device) == expected[engine]


def test_the_gateway_looks_for_its_neighbours_where_they_listen(compose: dict[str, Any]) -> None:
    gateway = compose["services"]["gateway"]["environment"]
    ports = {
        "encoder": EncoderSettings.model_fields["grpc_port"].default,
        "llm": LlmSettings.model_fields["port"].default,
        "redis": 6379,
    }
    for name, port in ports.items():
        address = gateway[f"TEXTPRO_{name.upper()}_URL"]
        assert re.fullmatch(rf"(\w+:///?)?{name}:{port}(/0)?", address)
        assert str(port) in compose["services"][name]["expose"]


def test_what_a_service_depends_on_exists_and_says_when_it_is_healthy(root: Path, compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for dependency, terms in service.get("depends_on", {}).items():
            other = compose["services"][dependency]
            assert terms == {"condition": "service_healthy"}, f"{name} -> {dependency}"
            in_image = "build" in other and "HEALTHCHECK" in (root / other["build"]["dockerfile"]).read_text()
            assert "healthcheck" in other or in_image, dependency


def test_what_is_mounted_exists_and_every_volume_is_declared(root: Path, compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (root / source).exists() if source.startswith(".") else source in compose["volumes"], volume


def test_a_build_names_a_stage_of_its_dockerfile(root: Path, compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        if target := service.get("build", {}).get("target"):
            assert f" AS {target}\n" in (root / service["build"]["dockerfile"]).read_text()


def test_a_container_is_given_longer_to_stop_than_its_service_takes_to_drain(
    compose: dict[str, Any], service: str, settings: ServiceSettings
) -> None:
    assert int(compose["services"][service]["stop_grace_period"].removesuffix("s")) > settings.drain_s


def test_ports_are_opened_on_this_machine_only(compose: dict[str, Any]) -> None:
    opened = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert opened
    assert all(port.startswith("127.0.0.1:") for port in opened)


def test_images_from_elsewhere_are_pinned(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        if "build" not in service:
            assert re.search(r":v?\d+\.\d+", service["image"]), service["image"]
