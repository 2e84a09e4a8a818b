"""The pictures of the page in docs/images, taken from a running gateway: `python -m tests.browser.screenshots URL`.

They show real answers, so the services behind the gateway should be those of `textpro up`.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright

ROOT = Path(__file__).parents[2]
IMAGES, EXAMPLES = ROOT / "docs" / "images", ROOT / "examples"
VIEWS: dict[str, dict[str, Any]] = {
    "page-light": {"viewport": {"width": 960, "height": 820}, "color_scheme": "light"},
    "page-dark": {"viewport": {"width": 960, "height": 820}, "color_scheme": "dark"},
    "page-phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light", "has_touch": True},
}
PATIENCE_MS = 120_000


async def converse(page: Any) -> None:
    """The same words in two moods, the second answered again without its tone, and a turn that is being spoken."""
    for n, mood in enumerate(("calm", "excited")):
        await page.locator("#file").set_input_files(EXAMPLES / f"tone-{mood}.wav")
        await page.locator(".turn").nth(n).locator(".answer[data-status=completed]").wait_for()
    turn = page.locator(".turn").nth(1)
    await turn.locator(".again summary").click()
    await turn.get_by_label("Tone").select_option("none")
    await turn.get_by_role("button", name="Answer").click()
    await turn.locator(".answer[data-status=completed]").nth(1).wait_for()
    await page.get_by_label("Hands-free").check()
    await page.locator("#activity", has_text="Hearing you").wait_for()
    await page.evaluate("new Promise((done) => setTimeout(done, 900))")  # for the waveform to grow


async def take(url: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    arguments = [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={EXAMPLES / 'capital-excited.wav'}",
    ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        for name, view in VIEWS.items():
            context = await browser.new_context(**view)
            page = await context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            await page.goto(url)
            await page.locator("#activity", has_text="Ready").wait_for()
            await converse(page)
            await page.screenshot(path=IMAGES / f"{name}.png")
            await context.close()
        await browser.close()


if __name__ == "__main__":
    asyncio.run(take(sys.argv[1]))
