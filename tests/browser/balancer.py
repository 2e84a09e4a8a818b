"""What stands in front of several gateways: a connection goes to the first that takes it."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PIECE_BYTES = 64 * 1024


@asynccontextmanager
async def balancer(*ports: int) -> AsyncIterator[str]:
    """Its address. ports: of the gateways, on this machine, which need not be there all the time."""

    async def connected(reader: StreamReader, writer: StreamWriter) -> None:
        for port in ports:
            with suppress(OSError):
                there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_pour(reader, there_writer), _pour(there_reader, writer))
                return
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _pour(source: StreamReader, target: StreamWriter) -> None:
    """Until one of them ends, which ends the other."""
    with suppress(OSError):
        while piece := await source.read(PIECE_BYTES):
            target.write(piece)
            await target.drain()
    target.close()
