"""The endpoints an operator asks of every service: /healthz, /readyz, /metrics, /v1/config."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from services.runtime.lifecycle import Readiness
from services.runtime.metrics import CONTENT_TYPE, Metrics


def operations(readiness: Readiness, metrics: Metrics, config: Callable[[], dict[str, Any]]) -> APIRouter:
    """A router with the four endpoints; `config` gives what /v1/config shows and must hold no secret."""
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", summary="The process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz", summary="The process takes requests", responses={503: {"description": "not yet, or no more"}}
    )
    async def readyz() -> JSONResponse:
        return JSONResponse(readiness.report(), 200 if readiness.is_ready else 503)

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def scrape() -> Response:
        metrics.ready(readiness.is_ready)
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    @router.get("/v1/config", summary="The settings in force; secrets are masked")
    async def show_config() -> dict[str, Any]:
        return config()

    return router
