"""What somebody at the page does and sees."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.browser.balancer import balancer
from tests.gateway.conftest import PATIENCE_S, House, free_port, hum, wav_of

pytestmark = pytest.mark.anyio
PHONE = {"width": 360, "height": 740}
DROP = """([name, data]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([Uint8Array.from(data)], name));
  document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""
# Whoever is quicker than the browser's word of the opening: what is chosen once that word has come.
REOPEN_AND_CHOOSE = """(details, tone) => new Promise((resolve) => {
  const select = details.querySelector('select');
  details.addEventListener('toggle', () => resolve(select.value), { once: true });
  details.querySelector('summary').click();
  select.value = tone;
})"""
SCROLLS_SIDEWAYS = """() => [document.scrollingElement, document.querySelector('#conversation')]
  .some((element) => element.scrollWidth > element.clientWidth)"""


def url(house: House) -> str:
    return str(house.http.base_url)


async def test_who_speaks_hands_free_sees_the_words_and_the_answer(house: Callable[..., Any], visit: Any) -> None:
    async with house() as here, visit(url(here)) as visitor:
        await visitor.hands_free()
        await visitor.is_doing("Hearing you")
        await visitor.sees(".said .words", "number")
        await visitor.sees(".answer .words", "You said: number")
        await visitor.sees(".answer .times", "first word")
        await visitor.hands_free(False)
        assert await visitor.page.locator(".said .how").first.inner_text() == "spoken · tone heard"
        assert await visitor.page.locator(".answer .badge").first.inner_text() == "eager"
        assert await visitor.page.locator(".bar span").count() >= 3


async def test_who_holds_the_button_is_heard_as_long_as_it_is_held(house: Callable[..., Any], visit: Any) -> None:
    async with house() as here, visit(url(here)) as visitor:
        await visitor.page.locator("#talk").hover()
        await visitor.page.mouse.down()
        await visitor.is_doing("Hearing you")
        await visitor.has_spoken()
        await visitor.page.mouse.up()
        await visitor.sees(".answer .words", "You said: number")
        assert visitor.kinds()[-2:] == ["input_audio_buffer.commit", "response.create"]
        assert await visitor.page.locator("#talk").get_attribute("aria-pressed") == "false"


async def test_speech_over_an_answer_stops_it(house: Callable[..., Any], visit: Any) -> None:
    async with house() as here, visit(url(here)) as visitor:
        here.llm.gate.clear()  # the answer never ends by itself
        await visitor.hands_free()
        await visitor.sees(".answer[data-status=streaming] .words", "You said:")
        await visitor.sees(".answer[data-status=interrupted] .problem", "interrupted")
        await asyncio.wait_for(here.llm.aborted.wait(), PATIENCE_S)
        await visitor.hands_free(False)


async def test_the_same_words_are_answered_without_their_tone_and_in_another_s(
    house: Callable[..., Any], visit: Any
) -> None:
    async with house() as here, visit(url(here)) as visitor:
        page = visitor.page
        for steps in (100, 200):
            await page.evaluate(DROP, [f"{steps}.wav", list(wav_of(hum(steps)))])
            await visitor.is_answered(f"You said: number {steps}.")
        own = here.llm.requests[-1]["messages"]
        again = page.locator(".turn").nth(1).locator(".again")
        for n, tone in ((2, "No tone, the words alone"), (3, "The tone of “number 100”")):
            await again.locator("summary").click()
            await again.get_by_label("Tone").select_option(label=tone)
            await again.get_by_role("button", name="Answer").click()
            answer = page.locator(".turn").nth(1).locator(".answer[data-status=completed]")
            await answer.nth(n - 1).wait_for()
        without, borrowed = (request["messages"] for request in here.llm.requests[-2:])
        heard = await page.locator(".turn").nth(1).locator(".answer .how").all_inner_texts()
        left, middle, right = await page.locator(".turn").nth(1).locator(".answer").all()
        places = [await answer.bounding_box() for answer in (left, middle, right)]
    assert len(own) == len(without) == len(borrowed) == 3
    assert without[-1]["content"] == "number 200"
    assert borrowed[-1]["content"][0]["data"] == own[0]["content"][0]["data"] != own[-1]["content"][0]["data"]
    assert heard == [
        "heard your tone · not remembered",
        "heard the words alone · not remembered",
        "heard the tone of “number 100”",
    ]
    assert places[0]["y"] == places[1]["y"]
    assert places[0]["x"] < places[1]["x"]


async def test_a_tone_chosen_as_the_form_opens_stays_chosen(house: Callable[..., Any], visit: Any) -> None:
    async with house() as here, visit(url(here)) as visitor:
        await visitor.page.evaluate(DROP, ["100.wav", list(wav_of(hum(100)))])
        await visitor.is_answered("You said: number 100.")
        again = visitor.page.locator(".again")
        await again.locator("summary").click()
        await again.get_by_label("Tone").select_option(label="Its own tone")
        await again.locator("summary").click()
        assert await again.evaluate(REOPEN_AND_CHOOSE, "own") == "own"


async def test_a_broken_file_is_told_and_nothing_is_lost(house: Callable[..., Any], visit: Any) -> None:
    async with house() as here, visit(url(here)) as visitor:
        await visitor.type("First")
        await visitor.is_answered("You said: First.")
        await visitor.page.get_by_label("Message", exact=True).fill("a draft")
        await visitor.page.evaluate(DROP, ["broken.wav", list(b"no sound at all")])
        await visitor.sees("#notices", "“broken.wav” can’t be read as sound.")
        files = [{"name": "good.wav", "mimeType": "audio/wav", "buffer": wav_of(hum(150))}]
        await visitor.page.locator("#file").set_input_files(files)
        await visitor.is_answered("You said: number 150.")
        assert await visitor.answers() == ["You said: First.", "You said: number 150."]
        assert await visitor.page.get_by_label("Message", exact=True).input_value() == "a draft"


async def test_a_recording_that_is_too_long_is_not_sent(house: Callable[..., Any], visit: Any) -> None:
    async with house(max_seconds=2) as here, visit(url(here)) as visitor:
        await visitor.page.evaluate(DROP, ["long.wav", list(wav_of(hum(300)))])
        await visitor.sees("#notices", "“long.wav” is 3.0 s long; at most 2 s are taken.")
        assert "conversation.item.create" not in visitor.kinds()


async def test_what_the_encoder_refuses_can_be_sent_again(house: Callable[..., Any], visit: Any) -> None:
    async with house() as here, visit(url(here)) as visitor:
        here.encoder.error = RuntimeError("the encoder is ill")
        await visitor.page.evaluate(DROP, ["a.wav", list(wav_of(hum(100)))])
        await visitor.page.locator(".turn[data-status=failed]").wait_for()
        here.encoder.error = None
        await visitor.page.get_by_role("button", name="Send again").click()
        await visitor.is_answered("You said: number 100.")


@asynccontextmanager
async def gateway(port: int, house: House, **settings: str) -> AsyncIterator[str]:
    """A gateway's process and its address; it is killed at the end."""
    chosen = settings | {"PORT": str(port), "ENCODER_URL": f"127.0.0.1:{house.encoder.port}", "LLM_URL": house.llm.url}
    environment = os.environ | {f"TEXTPRO_{name}": value for name, value in chosen.items()}
    command = (sys.executable, "-m", "services.gateway")
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while "listening" not in (await process.stderr.readline()).decode():
                assert process.returncode is None
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.communicate()


def forget_the_loss(visitor: Any) -> None:
    """Takes what a browser says itself of a connection that breaks off out of the visitor's troubles."""
    lost = ("ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "/v1/realtime?resume_token=")
    visitor.troubles[:] = [text for text in visitor.troubles if not any(part in text for part in lost)]


async def test_the_page_goes_on_at_the_next_gateway_with_all_that_was_said(
    house: Callable[..., Any], visit: Any, redis_url: str
) -> None:
    ports = free_port(), free_port()
    async with house() as here, AsyncExitStack() as lives, balancer(*ports) as address:
        first = await lives.enter_async_context(AsyncExitStack())
        for stack, port in ((first, ports[0]), (lives, ports[1])):
            await stack.enter_async_context(gateway(port, here, REDIS_URL=redis_url))
        async with visit(address) as visitor:
            await visitor.type("Before")
            await visitor.is_answered("You said: Before.")
            here.llm.gate.clear()
            await visitor.type("Meanwhile")
            await visitor.sees(".answer[data-status=streaming] .words", "You said:")
            await first.aclose()
            here.llm.gate.set()
            await visitor.is_answered("You said: Meanwhile.")
            await visitor.type("After")
            await visitor.is_answered("You said: After.")
            whole = await visitor.page.locator(".answer[data-status=completed] .words").all_inner_texts()
            assert whole == ["You said: Before.", "You said: Meanwhile.", "You said: After."]
            assert len(here.llm.requests[-1]["messages"]) == 5
            forget_the_loss(visitor)


async def test_the_page_outlives_a_gateway_that_is_alone(house: Callable[..., Any], visit: Any) -> None:
    port = free_port()
    async with house() as here, AsyncExitStack() as visiting:
        async with gateway(port, here) as address:
            visitor = await visiting.enter_async_context(visit(address))
            await visitor.type("Before")
            await visitor.is_answered("You said: Before.")
        await visitor.is_doing("Reconnecting")
        await visitor.type("Meanwhile")
        async with gateway(port, here):
            await visitor.is_answered("You said: Meanwhile.")
            await visitor.sees("#notices", "begun anew")
            await visitor.type("After")
            await visitor.is_answered("You said: After.")
            remembered = len(here.llm.requests[-1]["messages"])
        assert remembered == 3
        assert await visitor.answers() == ["You said: Before.", "You said: Meanwhile.", "You said: After."]
        forget_the_loss(visitor)


class SpeakingServer:
    """Answers whatever is typed with five seconds of sound, all at once, as a server with a voice does."""

    def __init__(self) -> None:
        self.socket: Any = None
        self.taken: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def __call__(self, socket: Any) -> None:
        self.socket = socket
        socket.on_message(lambda message: self._answer(json.loads(message)))
        self.tell("session.created", session={})

    def tell(self, kind: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **fields}))

    def _answer(self, event: dict[str, Any]) -> None:
        self.taken.put_nowait(event)
        if event["type"] == "conversation.item.create":
            self.tell("conversation.item.done", item={**event["item"], "status": "completed"})
        elif event["type"] == "response.create":
            part = {"response_id": "r", "item_id": "i"}
            sound = base64.b64encode(bytes(24_000 * 2)).decode()
            self.tell("response.created", response={"id": "r", "metadata": event["response"]["metadata"]})
            self.tell("response.output_item.added", response_id="r", item={"id": "i", "type": "message"})
            self.tell("response.output_audio_transcript.delta", **part, delta="A long story.")
            for _ in range(5):
                self.tell("response.output_audio.delta", **part, delta=sound)
            self.tell("response.done", response={"id": "r", "status": "completed"})

    async def was_told(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while (event := await self.taken.get())["type"] != kind:
                continue
            return event


async def test_speech_over_the_server_s_voice_stops_it_and_says_what_was_heard(
    house: Callable[..., Any], visit: Any
) -> None:
    server = SpeakingServer()
    async with house() as here, visit(url(here), server) as visitor:
        await visitor.page.get_by_label("Voice").check()
        await visitor.type("Tell me")
        await visitor.is_answered("A long story.")
        server.tell("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
        told = await server.was_told("conversation.item.truncate")
        await visitor.sees(".answer[data-status=interrupted] .problem", "interrupted")
    assert told["item_id"] == "i"
    assert 0 <= told["audio_end_ms"] < 5000


async def test_the_gateway_s_own_voice_is_heard_and_stops_when_it_is_told(
    house: Callable[..., Any], visit: Any
) -> None:
    async with house(speech="espeak-ng", speech_lead_s=30) as here, visit(url(here)) as visitor:
        await visitor.page.get_by_label("Voice").check()
        await visitor.type("a long story " * 10)
        await visitor.sees(".answer[data-status=completed] .times", "first sound")
        await visitor.page.keyboard.press("Escape")
        await visitor.sees(".answer[data-status=interrupted] .problem", "interrupted")
        (told,) = [event for event in visitor.sent if event["type"] == "conversation.item.truncate"]
        await visitor.type("And then?")
        await visitor.is_answered("You said: And then?.")
        said = [m["content"] for m in here.llm.requests[-1]["messages"] if m["role"] == "assistant"]
    assert told["audio_end_ms"] < 5000
    assert all(len(text) < len("a long story " * 10) for text in said)


async def test_where_the_gateway_has_no_voice_the_page_says_nothing_of_it(
    house: Callable[..., Any], visit: Any
) -> None:
    async with house() as here, visit(url(here)) as visitor:
        await visitor.page.get_by_label("Voice").check()
        await visitor.type("Hello")
        await visitor.is_answered("You said: Hello.")
        assert not await visitor.page.locator("#notices").inner_text()


async def test_on_a_phone_nothing_is_wider_than_the_screen(house: Callable[..., Any], visit: Any) -> None:
    async with house() as here, visit(url(here), viewport=PHONE, has_touch=True) as visitor:
        assert not await visitor.page.evaluate(SCROLLS_SIDEWAYS)
        await visitor.type("Supercalifragilisticexpialidocious" * 5)
        await visitor.sees(".answer .times", "total")
        await visitor.page.evaluate(DROP, ["a-rather-long-name" * 5 + ".wav", list(wav_of(hum(100)))])
        await visitor.is_answered("number 100")
        await visitor.page.evaluate(DROP, ["broken" * 20 + ".wav", list(b"x")])
        await visitor.sees("#notices", "can’t be read")
        await visitor.page.locator(".again summary").first.click()
        assert not await visitor.page.evaluate(SCROLLS_SIDEWAYS)
        for selector in ("#talk", "#send", "#message", "#dock", ".switch", ".save"):
            box = await visitor.page.locator(selector).bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= PHONE["width"]
            assert box["y"] + box["height"] <= PHONE["height"]


async def test_the_keyboard_is_enough(house: Callable[..., Any], visit: Any) -> None:
    async with house() as here, visit(url(here)) as visitor:
        keyboard = visitor.page.keyboard
        await keyboard.press("Tab")
        assert await visitor.page.evaluate("document.activeElement.textContent") == "Skip to the message box"
        await keyboard.press("Enter")
        await keyboard.type("Hello")
        await keyboard.press("Enter")
        await visitor.is_answered("You said: Hello.")
        here.llm.gate.clear()
        await visitor.type("Stop me")
        await visitor.is_doing("Answering")
        await keyboard.press("Escape")
        await visitor.sees(".answer[data-status=interrupted] .words", "You said:")
        here.llm.gate.set()
        await visitor.page.evaluate("document.activeElement.blur()")
        await keyboard.down(" ")
        await visitor.has_spoken()
        await keyboard.up(" ")
        await visitor.sees(".answer .words", "You said: number")


async def test_every_control_has_a_name_and_a_screen_reader_is_told(house: Callable[..., Any], visit: Any) -> None:
    async with house() as here, visit(url(here)) as visitor:
        await visitor.type("Hello")
        await visitor.is_answered("You said: Hello.")
        told = await visitor.page.locator("[aria-live=polite]").inner_text()
        unnamed = await visitor.page.evaluate(
            """() => [...document.querySelectorAll('button, input, select, summary')]
              .filter(({ ariaLabel, labels, textContent }) => !(ariaLabel || labels?.length || textContent))
              .map((control) => control.outerHTML)"""
        )
    assert unnamed == []
    assert [line for line in told.splitlines() if line] == ["Connected.", "You: Hello", "TextPro: You said: Hello."]


async def test_the_conversation_can_be_saved(house: Callable[..., Any], visit: Any) -> None:
    saved = {}
    async with house() as here, visit(url(here)) as visitor:
        await visitor.type("Hello")
        await visitor.is_answered("You said: Hello.")
        for kind in ("text", "JSON"):
            async with visitor.page.expect_download() as download:
                await visitor.page.get_by_role("button", name=f"Save as {kind}").click()
            saved[kind] = (await (await download.value).path()).read_text()
    assert saved["text"] == "You: Hello\nTextPro: You said: Hello.\n"
    (turn,) = json.loads(saved["JSON"])["turns"]
    assert turn["answers"][0]["timing_ms"]["total"] > 0
