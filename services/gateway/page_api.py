"""The web page at `/`: its files, and what a browser may do with them."""

import os
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from textpro import __version__

FILES = Path(__file__).parent / "page"
HTML = "text/html"
# Everything comes from this gateway, nothing is written into the page, and nobody may frame it.
POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
HEADERS = {
    "Cache-Control": "no-cache",  # asked for again each time, and 304 by its ETag: two versions' modules never meet
    "Content-Security-Policy": "; ".join(POLICY),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PageFiles(StaticFiles):
    """Static files with the page's headers."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(HEADERS)
        return response


def install_page(app: FastAPI) -> None:
    """`/`, a page for browsers and JSON for others, and the page's files under `/page`."""
    files = PageFiles(directory=FILES)
    app.mount("/page", files, name="page")

    @app.get(
        "/",
        summary="What is here",
        tags=["operations"],
        responses={200: {"description": "The names of things, or the web page.", "content": {HTML: {}}}},
    )
    async def index(request: Request) -> Response:
        """With `Accept: text/html`, as browsers send it, the web page; else JSON."""
        if HTML in request.headers.get("accept", ""):
            response = await files.get_response("index.html", request.scope)
        else:
            names = {"chat": "POST /v1/chat", "openai": "/v1", "documentation": "/docs"}
            response = JSONResponse({"service": "TextPro", "version": __version__, **names})
        response.headers["Vary"] = "Accept"
        return response
