"""Real servers with the real SmolLM2: the transformers one, and vLLM where a Python that has it is at hand."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import torch
from fastapi import FastAPI
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from services.llm.settings import LlmSettings
from services.llm.spoken_turns import SpokenTurns
from services.llm.transformers_engine import TransformersEngine
from services.llm.transformers_server import create_app
from services.llm.worker import Worker
from services.runtime.http import serving
from services.runtime.lifecycle import Readiness
from services.runtime.metrics import Metrics
from textpro.bundle import Bundle
from textpro.config import BundleConfig, Layout
from textpro.language_model import resolve_llm
from textpro.projector import Projector
from textpro.prompt import ChatTemplate, Segment, embed

REPOSITORY = Path(__file__).parents[2]
CACHE = Path(os.environ.get("TEXTPRO_CACHE", "~/.cache/textpro")).expanduser()
WIDTH = 256
MakeBundle = Callable[..., Path]
ServeBundle = Callable[[Path], AbstractContextManager[httpx.Client]]


@pytest.fixture(scope="session")
def model_dir() -> Path:
    return resolve_llm("embedded", CACHE)


@pytest.fixture(scope="session")
def adapted(model_dir: Path) -> PeftModel:
    """SmolLM2 beside a small random LoRA, as training leaves it: not merged."""
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    torch.manual_seed(1)
    made = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.01)
    return made.eval()


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory, model_dir: Path, adapted: PeftModel) -> MakeBundle:
    """Bundles for SmolLM2 with a random projector and the adapter; the LLM service reads nothing of their Whisper."""

    def make(layout: Layout = "global", *, projector: bool = True) -> Path:
        path = tmp_path_factory.mktemp("bundle")
        (path / "encoder").mkdir()
        whisper = {"model_type": "whisper", "d_model": WIDTH, "encoder_layers": 4, "decoder_layers": 4}
        (path / "encoder" / "config.json").write_text(json.dumps({**whisper, "num_mel_bins": 80}))
        (path / "encoder" / "tokenizer.json").write_text("{}")
        (path / "encoder" / "model.safetensors").write_bytes(b"")
        BundleConfig(name="test", tap="decoder.2", layout=layout, llm=str(model_dir)).save(path / "textpro.json")
        if projector:
            random_projector().save(path / "projector.safetensors")
        adapted.save_pretrained(str(path / "adapter"))
        return path

    return make


def random_projector() -> Projector:
    torch.manual_seed(0)
    projector = Projector(WIDTH, 576)
    with torch.no_grad():
        projector.output.weight.mul_(0.5)
    return projector.eval()


@dataclass(frozen=True)
class Reference:
    """The LLM in this process, adapter beside it: what an engine must answer to a training sequence."""

    model: torch.nn.Module
    template: ChatTemplate
    tokenizer: object

    @torch.inference_mode()
    def greedy(self, segments: list[Segment], projector: Projector, n_tokens: int) -> tuple[str, list[float]]:
        """The greedy answer and its tokens' log-probabilities."""
        cache, ids, log_probabilities = DynamicCache(), [], []
        table = self.model.get_input_embeddings()
        pending = embed(segments, table, projector)
        while len(ids) < n_tokens:
            logits = self.model(inputs_embeds=pending[None], past_key_values=cache, use_cache=True).logits[0, -1]
            ids.append(int(logits.argmax()))
            log_probabilities.append(float(logits.log_softmax(-1)[ids[-1]]))
            if ids[-1] == self.tokenizer.eos_token_id:
                break
            pending = table(torch.tensor(ids[-1:]))
        return self.tokenizer.decode(ids, skip_special_tokens=True), log_probabilities


@pytest.fixture(scope="session")
def reference(model_dir: Path, adapted: PeftModel) -> Reference:
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    return Reference(adapted.get_base_model(), ChatTemplate(tokenizer), tokenizer)


@pytest.fixture(scope="session")
def engine(reference: Reference) -> Iterator[TransformersEngine]:
    with Worker(concurrency=4, queue=4) as worker:
        yield TransformersEngine(
            reference.model, reference.tokenizer, reference.template, worker, Metrics("llm"), max_tokens=256
        )


@pytest.fixture(scope="session")
def serve_app() -> Callable[[FastAPI], AbstractContextManager[str]]:
    return served


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The app on a port of its own, in a thread; gives its address."""
    started, address = threading.Event(), []

    async def run() -> None:
        stop = asyncio.Event()
        async with serving(app, "127.0.0.1", 0, drain_s=1) as port:
            address.extend([f"http://127.0.0.1:{port}", asyncio.get_running_loop(), stop])
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert started.wait(30), "the server did not start"
    url, loop, stop = address
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@pytest.fixture(scope="session")
def serve_bundle(engine: TransformersEngine, model_dir: Path) -> ServeBundle:
    """Serves a bundle with the engine of this process."""

    @contextmanager
    def serve(path: Path) -> Iterator[httpx.Client]:
        settings = LlmSettings(bundle=str(path), cache=CACHE)
        turns = SpokenTurns.load(settings, Bundle.load(path), model_dir)
        app = create_app(settings, turns, engine, Readiness(), Metrics("llm"))
        with served(app) as url, httpx.Client(base_url=url, timeout=120) as client:
            yield client

    return serve


@pytest.fixture(scope="session")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache in which the server processes share the merged LLM: half a gigabyte, gone with the session."""
    path = tmp_path_factory.mktemp("merged")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def transformers_client(make_bundle: MakeBundle, merged: Path) -> Iterator[httpx.Client]:
    with _process(make_bundle(), merged, {"TEXTPRO_LLM_ENGINE": "transformers"}) as client:
        yield client


@pytest.fixture(scope="session")
def vllm_client(make_bundle: MakeBundle, merged: Path) -> Iterator[httpx.Client]:
    """vLLM that trusts its clients: the tests send it rows for the interleaved layout too."""
    variables = {
        "TEXTPRO_LLM_ENGINE": "vllm",
        "TEXTPRO_LLM_ALLOW_PROMPT_EMBEDS": "true",
        "TEXTPRO_LLM_CONTEXT": "8192",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    with _process(make_bundle(), merged, variables) as client:
        yield client


@pytest.fixture(params=["transformers", pytest.param("vllm", marks=pytest.mark.vllm)])
def client(request: pytest.FixtureRequest) -> httpx.Client:
    """Either engine, behind the address it is served on."""
    return request.getfixturevalue(f"{request.param}_client")


@contextmanager
def _process(bundle: Path, cache: Path, variables: dict[str, str]) -> Iterator[httpx.Client]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TEXTPRO_")}
    chosen = {"TEXTPRO_LLM_BUNDLE": str(bundle), "TEXTPRO_LLM_PORT": str(port), "TEXTPRO_CACHE": str(cache)}
    log = cache / f"{variables['TEXTPRO_LLM_ENGINE']}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.llm"],
            cwd=REPOSITORY,
            env={**inherited, **chosen, **variables, "PYTHONPATH": str(REPOSITORY)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=180) as client:
            _wait_ready(client, process, log)
            yield client
    finally:
        # vLLM's engine is a process of its own, in the same group.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_ready(client: httpx.Client, process: subprocess.Popen, log: Path) -> None:
    for _ in range(1200):
        try:
            process.wait(0.25)
        except subprocess.TimeoutExpired:
            try:
                if client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                continue
        else:
            break
    pytest.fail(f"the server did not get ready; the end of its log:\n{log.read_text(errors='replace')[-4000:]}")
