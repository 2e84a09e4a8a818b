"""`python -m services.llm`: vLLM behind our middleware where it can run, else the transformers server."""

import asyncio
import importlib.util
import json
import logging
import os
import shlex
import sys
from pathlib import Path

from services.llm.settings import MODEL_NAME, LlmSettings
from services.runtime.logging import configure
from services.runtime.settings import SettingsError
from textpro.errors import TextProError

log = logging.getLogger(__name__)


def chosen_engine(settings: LlmSettings) -> str:
    """`vllm` or `transformers`. Raises SettingsError when vLLM is asked for and not installed."""
    installed = importlib.util.find_spec("vllm") is not None
    if settings.engine == "vllm" and not installed:
        raise SettingsError(
            "TEXTPRO_LLM_ENGINE is 'vllm', and vLLM is not installed for this Python; 'auto' does without"
        )
    if settings.engine != "auto":
        return settings.engine
    return "vllm" if installed and _has_cuda() else "transformers"


def vllm_command(settings: LlmSettings, model: Path, *, on_gpu: bool) -> list[str]:
    """The command line of vLLM's OpenAI server with prosody."""
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(model), "--served-model-name", MODEL_NAME]
    command += ["--host", settings.host, "--port", str(settings.port)]
    command += ["--enable-prompt-embeds", "--middleware", "services.llm.prosody.ProsodyMiddleware"]
    # Parts are joined as textpro.prompt joins them, whatever the chat template could take.
    command += ["--chat-template-content-format", "string"]
    # The same neutral sampling defaults and the same longest answer as the transformers engine.
    command += ["--generation-config", "vllm"]
    command += ["--override-generation-config", json.dumps({"max_new_tokens": settings.max_tokens})]
    # bfloat16 on a CPU makes small models answer nonsense; compiling there costs a minute for little.
    dtype = settings.dtype if on_gpu or settings.dtype != "auto" else "float32"
    command += ["--dtype", dtype] + ([] if on_gpu else ["--enforce-eager"])
    if settings.context is not None:
        command += ["--max-model-len", str(settings.context)]
    return command + shlex.split(settings.vllm_args)


def main() -> int:
    """0 after a clean stop, 1 when the model or a port can't be had, 2 for a setting that is wrong."""
    try:
        settings = LlmSettings.load()
        configure("llm", level=settings.log_level, format=settings.log_format)
        if chosen_engine(settings) == "vllm":
            _become_vllm(settings)
        else:
            from services.llm.transformers_server import serve

            asyncio.run(serve(settings))
    except SettingsError as error:
        return _complain(error, code=2)
    except (TextProError, OSError) as error:
        return _complain(error, code=1)
    return 0


def _complain(error: Exception, *, code: int) -> int:
    print(f"textpro llm: {error}", file=sys.stderr)
    return code


def _become_vllm(settings: LlmSettings) -> None:
    from services.llm.spoken_turns import SpokenTurns
    from textpro.bundle import Bundle
    from textpro.language_model import bundle_llm

    # Made here, once, so that vLLM finds a plain model directory.
    bundle = Bundle.load(settings.bundle)
    model = bundle_llm(bundle, settings.cache, name=settings.model)
    SpokenTurns.load(settings, bundle, model)  # what is wrong with them is said before vLLM starts, and in one line
    command = vllm_command(settings, model, on_gpu=_has_cuda())
    log.info("starting vLLM", extra={"command": shlex.join(command)})
    os.execv(command[0], command)


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    sys.exit(main())
