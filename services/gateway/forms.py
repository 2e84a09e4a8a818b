"""Bodies of requests as they are sent: forms with one file, or bytes."""

from dataclasses import dataclass

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from services.contracts.errors import BadRequest, Cancelled

MAX_FIELDS = 16
MAX_FIELD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Form:
    """A form's one file, if it has it, and its fields in their order."""

    file: bytes | None
    fields: list[tuple[str, str]]


def is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def read_body(request: Request) -> bytes:
    """Raises Cancelled when the caller hangs up meanwhile."""
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise _hung_up() from error


async def read_form(request: Request, file_name: str) -> Form:
    """A form that may have one file, `file_name`. Raises BadRequest, Cancelled."""
    try:
        form = await _parsed(request, file_name)
    except ClientDisconnect as error:
        raise _hung_up() from error
    file: UploadFile | None = None
    fields: list[tuple[str, str]] = []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) != (name == file_name):
            kind = "a file" if isinstance(value, UploadFile) else "text"
            raise BadRequest(f"{name!r} came as {kind}; the recording goes into the file {file_name!r}", param=name)
        if isinstance(value, UploadFile):
            file = value
        else:
            fields.append((name, value))
    return Form(None if file is None else await file.read(), fields)


async def _parsed(request: Request, file_name: str) -> FormData:
    charset = parse_options_header(request.headers["content-type"])[1].get(b"charset", b"utf-8")
    if charset.lower() not in (b"utf-8", b"utf8"):  # any codec of Python's would be taken, also one that is no encoding
        raise BadRequest(f"the form's charset is {charset.decode('latin-1')[:40]!r}; send UTF-8", param="charset")
    parser = MultiPartParser(
        request.headers, request.stream(), max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
    )
    parser.spool_max_size = 0  # no bound but the body's: audio is never written to a disk, not even for a moment
    try:
        return await parser.parse()
    except MultiPartException as error:
        message = f"the form can't be read: {error.message}; expected one file, {file_name!r}, and short fields"
        raise BadRequest(message) from error


def _hung_up() -> Cancelled:
    return Cancelled("the caller hung up while it sent its request")
