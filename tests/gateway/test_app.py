"""What the application shows of itself, and what it does not carry with it."""

import subprocess
import sys

import httpx
import pytest

from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings
from services.runtime.http import serving
from services.runtime.settings import SettingsError


def test_importing_the_gateway_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; import services.gateway.app, services.gateway.__main__;"
        "print([name for name in ('torch', 'transformers', 'ctranslate2', 'textpro.bundle') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_misspelt_variable_is_refused_and_the_right_one_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTPRO_MAX_SECOND", "5")
    with pytest.raises(SettingsError, match="TEXTPRO_MAX_SECONDS"):
        GatewaySettings.load()


def test_the_other_services_variables_are_none_of_its_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTPRO_ENCODER_THREADS", "2")
    monkeypatch.setenv("TEXTPRO_LLM_ENGINE", "vllm")
    monkeypatch.setenv("TEXTPRO_LLM_URL", "http://llm:8002")
    assert GatewaySettings.load().llm_url == "http://llm:8002"


def test_a_default_answer_longer_than_the_longest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTPRO_MAX_TOKENS_LIMIT", "100")
    with pytest.raises(SettingsError, match=r"TEXTPRO_MAX_TOKENS is 256: .*TEXTPRO_MAX_TOKENS_LIMIT, 100"):
        GatewaySettings.load()


@pytest.mark.anyio
async def test_the_shown_configuration_holds_no_secret(house, redis_url) -> None:
    async with house(redis_url=redis_url.replace("redis://", "redis://:hush@")) as here:
        config = (await here.http.get("/v1/config")).text
    assert '"max_seconds":60.0' in config
    assert "hush" not in config


def test_a_password_in_an_address_is_not_shown() -> None:
    shown = GatewaySettings(llm_url="https://me:hush@llm:8002/base").public()
    assert shown["llm_url"] == "https://**********@llm:8002/base"


@pytest.mark.parametrize(("variable", "value"), [("TEXTPRO_REDIS_URL", "host:6379"), ("TEXTPRO_LLM_URL", "llm:8002")])
def test_an_address_without_its_scheme_is_refused_before_anything_starts(monkeypatch, variable, value) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        GatewaySettings.load()


@pytest.mark.anyio
async def test_the_operators_endpoints_answer(house, recording) -> None:
    async with house() as here:
        await here.chat(recording())
        assert (await here.http.get("/healthz")).json() == {"status": "ok"}
        assert "POST /v1/chat" in (await here.http.get("/")).text
        metrics = (await here.http.get("/metrics")).text
    assert 'textpro_turns_total{outcome="answered",service="gateway"} 1.0' in metrics
    assert 'textpro_requests_total{operation="chat",outcome="ok",service="gateway"} 1.0' in metrics
    assert 'textpro_stage_seconds_count{service="gateway",stage="prefill"} 1.0' in metrics


@pytest.mark.anyio
async def test_an_encoder_and_an_llm_of_different_bundles_are_told_to_the_operator(house, recording, caplog) -> None:
    async with house() as here:

        async def named() -> bool:
            return "b2" in (await here.http.get("/readyz")).json()["dependencies"]["llm"]

        here.llm.config = {"wants": "pooled", "prosody": "on", "fingerprint": "b2"}
        await here.chat(recording())
        await here.until(named)
        report = await here.http.get("/readyz")
    assert report.status_code == 200
    assert "its bundle is b2, and the encoder's b1" in report.json()["dependencies"]["llm"]
    assert sum("its bundle is b2" in message for message in caplog.messages) == 1


@pytest.mark.anyio
async def test_the_documentation_describes_a_turn_with_its_fields_and_examples(house) -> None:
    async with house() as here:
        document = (await here.http.get("/openapi.json")).json()
    chat = document["paths"]["/v1/chat"]["post"]
    form = chat["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert {
        "audio",
        "session_id",
        "stream",
        "prosody",
        "prosody_from",
        "instructions",
        "max_tokens",
        "temperature",
        "seed",
    } == set(form)
    assert chat["responses"]["200"]["content"]["application/json"]["example"]["reply"]
    assert {"400", "404", "413", "429", "503", "504"} <= set(chat["responses"])


@pytest.mark.anyio
async def test_an_unknown_path_and_a_wrong_method_have_the_shape_of_every_error(house) -> None:
    async with house() as here:
        missing, wrong = await here.http.get("/v1/nothing"), await here.http.get("/v1/chat")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")


@pytest.mark.anyio
async def test_an_application_can_be_served_again_after_it_was_closed() -> None:
    app = create_app(GatewaySettings(encoder_url="127.0.0.1:1", llm_url="http://127.0.0.1:1"))
    for _ in range(2):
        async with (
            serving(app, "127.0.0.1", 0, drain_s=1) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
        ):
            assert (await http.get("/healthz")).status_code == 200
            assert (await http.post("/v1/chat", content=b"")).status_code == 400
