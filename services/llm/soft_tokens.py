"""Soft tokens on the wire: prosody vectors as clients send them, embedding rows as vLLM takes them.

Letters: N vectors, W Whisper width, R rows, D LLM width.
"""

import base64
import binascii
import io
import pickle
from typing import Any

import numpy as np
import torch
from torch import Tensor

from services.contracts.errors import BadRequest

MAX_VECTORS = 2048  # a minute of speech has a few hundred; the text part is bounded by the context


def read_prosody(part: dict[str, Any], width: int | None, place: str) -> Tensor:
    """The vectors of a `prosody` part: (N, W) float32. Raises BadRequest that names `place` and what is wrong.

    width: W of the bundle; None takes any (a bundle without projector knows none).
    """
    shape, data = part.get("shape"), part.get("data")
    if not isinstance(shape, list) or len(shape) != 2 or any(type(size) is not int or size < 1 for size in shape):
        raise _invalid(f"shape is {repr(shape)[:80]}; expected [1, W] or [N, W]", place)
    n, w = shape
    if n > MAX_VECTORS:
        raise _invalid(f"shape has {n} vectors; at most {MAX_VECTORS} are accepted", place)
    if width is not None and w != width:
        raise _invalid(f"vectors are {w} wide; this bundle's are {width}", place)
    raw = _base64(data, place)
    if len(raw) != n * w * 2:
        raise _invalid(f"data holds {len(raw)} bytes; shape {shape} in float16 takes {n * w * 2}", place)
    vectors = np.frombuffer(raw, dtype="<f2").astype(np.float32).reshape(n, w)
    if not np.isfinite(vectors).all():
        raise _invalid("data holds values that are not finite", place)
    return torch.from_numpy(vectors)


def write_rows(rows: Tensor) -> dict[str, str]:
    """vLLM's content part for embedding rows (R, D). Equal rows give equal bytes, so its prefix cache finds them."""
    buffer = io.BytesIO()
    torch.save(rows.detach().clone(), buffer)
    return {"type": "prompt_embeds", "data": base64.b64encode(buffer.getvalue()).decode()}


def read_rows(part: dict[str, Any], llm_width: int, max_rows: int, place: str) -> Tensor:
    """The rows of a `prompt_embeds` part: (R, D) float32. Raises BadRequest: a malformed tensor can hurt an engine."""
    raw = _base64(part.get("data"), place)
    try:
        rows = torch.load(io.BytesIO(raw), weights_only=True, map_location="cpu")
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, IndexError, ValueError, TypeError) as error:
        raise _invalid(f"data is no tensor saved by torch.save ({type(error).__name__})", place) from error
    if not isinstance(rows, Tensor) or rows.layout != torch.strided or not rows.is_floating_point():
        raise _invalid("data is not a dense tensor of floating point numbers", place)
    if rows.ndim != 2 or not 1 <= len(rows) <= max_rows or rows.shape[1] != llm_width:
        raise _invalid(f"the tensor is {tuple(rows.shape)}; expected (1 to {max_rows}, {llm_width})", place)
    if not rows.isfinite().all():
        raise _invalid("data holds values that are not finite", place)
    return rows.float()


def _base64(data: object, place: str) -> bytes:
    if not isinstance(data, str):
        raise _invalid("data is missing; expected a base64 text", place)
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid(f"data is not base64: {error}", place) from error


def _invalid(message: str, place: str) -> BadRequest:
    return BadRequest(f"{place}: {message}", param=place, code="invalid_prosody")
