"""The web page as files: how they are served, and what they hold. tests/browser has it in a browser."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.gateway.page_api import FILES

ROOT = Path(__file__).parents[2]
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
MODULES = sorted(FILES.glob("*.mjs"))
TESTS = sorted((Path(__file__).parent / "page").glob("*.test.mjs"))
NODE_S = 120


@pytest.mark.anyio
async def test_a_browser_gets_the_page_and_others_the_index(house: Callable[..., Any]) -> None:
    async with house() as here:
        page = await here.http.get("/", headers=BROWSER)
        index = await here.http.get("/")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<!doctype html>" in page.text
    assert index.json()["service"] == "TextPro"
    assert page.headers["Vary"] == index.headers["Vary"] == "Accept"


@pytest.mark.anyio
async def test_every_file_is_served_with_its_type_and_the_page_s_policy(house: Callable[..., Any]) -> None:
    types = {".mjs": "javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
    async with house() as here:
        for path in FILES.iterdir():
            response = await here.http.get(f"/page/{path.name}")
            assert response.status_code == 200
            assert types[path.suffix] in response.headers["Content-Type"]
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/", "/page/main.mjs"])
async def test_what_a_browser_has_is_not_sent_again(house: Callable[..., Any], path: str) -> None:
    async with house() as here:
        first = await here.http.get(path, headers=BROWSER)
        second = await here.http.get(path, headers=BROWSER | {"If-None-Match": first.headers["ETag"]})
    assert (second.status_code, second.content) == (304, b"")


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/page/nothing.mjs", "/page/../page_api.py", "/page/%2e%2e/page_api.py", "/page/"])
async def test_other_paths_are_not_found_and_say_so_as_everywhere(house: Callable[..., Any], path: str) -> None:
    async with house() as here:
        response = await here.http.get(path)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


def test_the_page_has_nothing_that_its_policy_forbids() -> None:
    html = (FILES / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", html)
    for path in FILES.iterdir():
        assert not re.search(r"""["'(]\s*https?://(?!www\.w3\.org/)""", path.read_text()), path.name


def test_whatever_the_page_names_is_there() -> None:
    names = set(re.findall(r'(?:src|href)="page/([^"]+)"', (FILES / "index.html").read_text()))
    for module in MODULES:
        names |= set(re.findall(r"""(?:from|URL\() ?'(?:\./)?([\w-]+\.mjs)'""", module.read_text()))
    assert names <= {path.name for path in FILES.iterdir()}
    unused = {path.name for path in FILES.iterdir()} - names - {"index.html"}
    assert not unused


def test_the_wheel_carries_the_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["services"]
    packed = {path for pattern in patterns for path in (ROOT / "services").glob(pattern)}
    assert set(FILES.iterdir()) <= packed


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_what_is_behind_it(scheme: str) -> None:
    light, _, dark = (FILES / "base.css").read_text().partition("prefers-color-scheme: dark")
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", light if scheme == "light" else dark))
    grounds = {
        "paper": ("ink", "muted", "accent", "hearing", "eager", "answering"),
        "surface": ("ink", "muted", "accent", "hearing", "eager"),
        "sunk": ("ink", "muted"),
        "warm": ("ink",),
        "accent": ("on-accent",),
    }
    for ground, texts in grounds.items():
        for text in texts:
            assert contrast(colours[text], colours[ground]) >= 4.5, f"{text} on {ground}"
    assert contrast(colours["calm"], colours["paper"]) >= 3


def contrast(one: str, other: str) -> float:
    """Of two colours, as WCAG 2 defines it."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed; `make programs` installs it")
@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parent / "page").glob("*.test.mjs")), ids=lambda path: path.name
)
def test_the_modules_without_a_browser(path: Path) -> None:
    done = subprocess.run(["node", "--test", str(path)], capture_output=True, text=True, timeout=NODE_S, check=False)
    assert done.returncode == 0, done.stdout
