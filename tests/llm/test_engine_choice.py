"""Which engine starts, and with which command."""

import importlib.util
import json
import shlex
from pathlib import Path

import pytest

from services.llm.__main__ import chosen_engine, vllm_command
from services.llm.settings import LlmSettings
from services.runtime.settings import SettingsError

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
