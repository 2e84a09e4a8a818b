"""Which engine starts, with which command, and what it says when it can't."""

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer, BloomConfig

from services.llm.__main__ import chosen_engine, vllm_command
from services.llm.settings import LlmSettings
from services.llm.spoken_turns import SpokenTurns
from services.llm.transformers_engine import TransformersEngine
from services.llm.worker import Worker
from services.runtime.metrics import Metrics
from services.runtime.settings import SettingsError
from textpro.bundle import Bundle
from textpro.errors import BundleError
from textpro.projector import Projector
from textpro.prompt import ChatTemplate

HAS_VLLM = importlib.util.find_spec("vllm") is not None


@pytest.mark.skipif(HAS_VLLM, reason="vLLM is installed here")
def test_without_vllm_the_transformers_engine_is_chosen_and_vllm_by_name_refused() -> None:
    assert chosen_engine(LlmSettings(engine="auto")) == "transformers"
    with pytest.raises(SettingsError, match="not installed"):
        chosen_engine(LlmSettings(engine="vllm"))


def test_vllm_is_started_with_prosody_and_the_operators_own_arguments_last() -> None:
    settings = LlmSettings(port=9, max_tokens=77, vllm_args="--tensor-parallel-size 2 --lora-modules 'a b'")
    command = vllm_command(settings, Path("/models/x"), on_gpu=True)
    assert command[command.index("--middleware") + 1] == "services.llm.prosody.ProsodyMiddleware"
    assert command[command.index("--chat-template-content-format") + 1] == "string"
    assert json.loads(command[command.index("--override-generation-config") + 1]) == {"max_new_tokens": 77}
    assert "--enable-prompt-embeds" in command
    assert command[-4:] == shlex.split(settings.vllm_args)


def test_on_a_cpu_the_weights_are_float32_unless_the_operator_says_otherwise() -> None:
    def dtype(settings: LlmSettings, *, on_gpu: bool) -> str:
        command = vllm_command(settings, Path("/models/x"), on_gpu=on_gpu)
        return command[command.index("--dtype") + 1]

    assert dtype(LlmSettings(), on_gpu=False) == "float32"
    assert dtype(LlmSettings(), on_gpu=True) == "auto"
    assert dtype(LlmSettings(dtype="bfloat16"), on_gpu=False) == "bfloat16"


def test_arguments_for_vllm_with_an_open_quote_are_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTPRO_LLM_VLLM_ARGS", "--lora-modules 'a b")
    with pytest.raises(SettingsError, match=r"TEXTPRO_LLM_VLLM_ARGS is .*: no closing quotation"):
        LlmSettings.load()


def test_an_llm_that_states_no_longest_prompt_is_served_with_the_context_that_is_set(
    hollow_bundle: Path, tiny_llm: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_llm, tmp_path / "llm")
    BloomConfig().save_pretrained(model)
    bundle = Bundle.load(hollow_bundle)
    with pytest.raises(BundleError, match="set TEXTPRO_LLM_CONTEXT"):
        SpokenTurns.load(LlmSettings(), bundle, model)
    assert SpokenTurns.load(LlmSettings(context=100), bundle, model).max_positions == 100


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A place to import a vLLM from that only says that it was started."""
    package = tmp_path / "packages" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    (package / "api_server.py").write_text("print('vLLM started')")
    for directory in (package, *package.parents[:2]):
        (directory / "__init__.py").touch()
    return tmp_path / "packages"


def test_what_vllm_could_not_serve_is_one_line_before_it_starts(
    hollow_bundle: Path, tiny_llm: Path, stand_in: Path
) -> None:
    def started() -> subprocess.CompletedProcess[str]:
        chosen = {"BUNDLE": hollow_bundle, "MODEL": tiny_llm, "ENGINE": "vllm"}
        return subprocess.run(
            [sys.executable, "-m", "services.llm"],
            env={
                **os.environ,
                **{f"TEXTPRO_LLM_{name}": str(value) for name, value in chosen.items()},
                "TEXTPRO_LOG_LEVEL": "error",
                "PYTHONPATH": os.pathsep.join([str(stand_in), *sys.path]),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    Projector(6, 32).save(hollow_bundle / "projector.safetensors")
    refused = started()
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("textpro llm: the projector of ")
    assert refused.stderr.count("\n") == 1
    Projector(6, 16).save(hollow_bundle / "projector.safetensors")
    assert started().stdout == "vLLM started\n"


def test_weights_that_the_engine_alone_reads_are_refused_with_their_place(tiny_llm: Path, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_llm, tmp_path / "llm")
    (model / "model.safetensors").rename(model / "first.safetensors")
    (model / "second.safetensors").write_bytes(b"cut short")
    places = {"model.embed_tokens.weight": "first.safetensors", "model.norm.weight": "second.safetensors"}
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    template = ChatTemplate(AutoTokenizer.from_pretrained(model))
    with pytest.raises(BundleError, match=f"{model} can't be read as an LLM .*SafetensorError"):
        TransformersEngine.load(LlmSettings(), model, template, Worker(concurrency=1, queue=1), Metrics("llm"))
