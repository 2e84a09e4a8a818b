"""Starts the encoder, the LLM and the gateway on this machine and keeps them up until Ctrl-C. When one of them dies,
all stop and the exit code is 1. Their settings are environment variables (`textpro config`)."""

import argparse
import asyncio
import socket
import sys
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace

from services.cli.supervisor import Bounds, Child, Echo, Supervisor, while_ready
from textpro.errors import TextProError

COLOURS = (36, 35, 33, 32, 34)
STOP_MARGIN_S = 10.0


class PortTaken(TextProError):
    """An address that a service is to listen on is in use."""


@dataclass(frozen=True)
class Addresses:
    """Where the three services listen."""

    host: str
    port: int
    encoder_http_port: int
    encoder_grpc_port: int
    llm_port: int
    encoder_host: str = "127.0.0.1"
    llm_host: str = "127.0.0.1"

    @property
    def gateway_url(self) -> str:
        """Where clients go."""
        return f"http://{_near(self.host, self.port)}"


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro up`'s arguments."""
    parser.set_defaults(run=run)
    add_service_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="show no log lines of the services")


def add_service_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command that starts services understands. A port of 0 takes a free one."""
    parser.add_argument("--host", help="address that all listen on (default: each its own setting, 127.0.0.1)")
    parser.add_argument("--port", type=_port, help="the gateway's port (default: 8000)")
    parser.add_argument(
        "--encoder-port", type=_port, dest="encoder_http_port", help="the encoder's HTTP port (default: 8001)"
    )
    parser.add_argument("--encoder-grpc-port", type=_port, help="the encoder's gRPC port (default: 50051)")
    parser.add_argument("--llm-port", type=_port, help="the LLM's port (default: 8002)")
    parser.add_argument("--bundle", help="the bundle that the encoder and the LLM serve (default: embedded)")
    parser.add_argument("--wait", type=float, default=900.0, metavar="SECONDS", help="longest wait for readiness")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**16:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected 0 to 65535")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Serves until SIGINT, SIGTERM or SIGHUP; 0 then, 1 when a service died."""
    addresses = claim(chosen_addresses(args))
    supervisor = Supervisor(children(addresses, args.bundle), printer(args.quiet), bounds(args.wait))
    asyncio.run(while_ready(supervisor, lambda: _greet(addresses.gateway_url)))
    print("textpro: stopped", file=sys.stderr)
    return 0


def chosen_addresses(args: argparse.Namespace) -> Addresses:
    """The services' own settings, overruled by the command line."""
    from services.encoder.settings import EncoderSettings
    from services.gateway.settings import GatewaySettings
    from services.llm.settings import LlmSettings

    gateway, encoder, llm = GatewaySettings.load(), EncoderSettings.load(), LlmSettings.load()
    ports = (gateway.port, encoder.http_port, encoder.grpc_port, llm.port)
    addresses = Addresses(gateway.host, *ports, encoder_host=encoder.host, llm_host=llm.host)
    given = {f.name: getattr(args, f.name) for f in fields(Addresses) if getattr(args, f.name, None) is not None}
    if "host" in given:
        given |= {"encoder_host": args.host, "llm_host": args.host}
    return replace(addresses, **given)


def claim(addresses: Addresses) -> Addresses:
    """Replaces every port 0 by a free one. Raises PortTaken, naming the option to change, when a port is in use."""
    ports = {f.name: getattr(addresses, f.name) for f in fields(Addresses) if f.name.endswith("port")}
    hosts = {"port": addresses.host, "llm_port": addresses.llm_host}
    held: list[socket.socket] = []
    try:
        for name, port in ports.items():
            held.append(_bind(hosts.get(name, addresses.encoder_host), port, name))
            ports[name] = held[-1].getsockname()[1]
    finally:
        for taken in held:
            taken.close()
    return replace(addresses, **ports)


def _bind(host: str, port: int, name: str) -> socket.socket:
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    # As the servers do: a port in TIME_WAIT, left by the last run, counts as free.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((host, port))
        probe.listen(1)
    except OSError as error:
        probe.close()
        option = "--" + name.replace("encoder_http", "encoder").replace("_", "-")
        raise PortTaken(
            f"{_place(host, port)} can't be used ({error.strerror}); choose another with {option}, 0 for a free one"
        ) from error
    return probe


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _near(host: str, port: int) -> str:
    """The place as a client on this machine says it."""
    return _place({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)


def children(addresses: Addresses, bundle: str | None = None) -> list[Child]:
    """The three services; the gateway last, for it needs the others and is stopped first."""
    log_format = _log_format()
    chosen = {"TEXTPRO_ENCODER_BUNDLE": bundle, "TEXTPRO_LLM_BUNDLE": bundle} if bundle else {}

    def service(name: str, place: str, env: Mapping[str, str | int]) -> Child:
        command = [sys.executable, "-m", f"services.{name}"]
        texts = {key: str(value) for key, value in env.items()}
        return Child(name, command, {"TEXTPRO_LOG_FORMAT": log_format, **texts}, f"http://{place}/readyz")

    encoder_place = _near(addresses.encoder_host, addresses.encoder_http_port)
    llm_place = _near(addresses.llm_host, addresses.llm_port)
    encoder = {
        "TEXTPRO_ENCODER_HOST": addresses.encoder_host,
        "TEXTPRO_ENCODER_HTTP_PORT": addresses.encoder_http_port,
        "TEXTPRO_ENCODER_GRPC_PORT": addresses.encoder_grpc_port,
    }
    llm = {"TEXTPRO_LLM_HOST": addresses.llm_host, "TEXTPRO_LLM_PORT": addresses.llm_port}
    gateway = {
        "TEXTPRO_HOST": addresses.host,
        "TEXTPRO_PORT": addresses.port,
        "TEXTPRO_ENCODER_URL": _near(addresses.encoder_host, addresses.encoder_grpc_port),
        "TEXTPRO_LLM_URL": f"http://{llm_place}",
    }
    return [
        service("encoder", encoder_place, encoder | chosen),
        service("llm", llm_place, llm | chosen),
        service("gateway", _near(addresses.host, addresses.port), gateway),
    ]


def bounds(ready_s: float) -> Bounds:
    """Time to stop: what a service may take to drain, and a margin."""
    from services.gateway.settings import GatewaySettings

    return Bounds(ready_s, GatewaySettings.load().drain_s + STOP_MARGIN_S)


def _log_format() -> str:
    from services.gateway.settings import GatewaySettings

    chosen = GatewaySettings.load().log_format
    # The services write to a pipe; it is our standard error that a person or a collector reads.
    return ("text" if sys.stderr.isatty() else "json") if chosen == "auto" else chosen


def printer(quiet: bool = False) -> Echo:
    """Prints a service's line to standard error behind its name, in colour on a terminal."""
    colour = sys.stderr.isatty()

    def echo(name: str, line: str) -> None:
        label = f"{name:<8}│"
        if colour:
            label = f"\x1b[{COLOURS[zlib.crc32(name.encode()) % len(COLOURS)]}m{label}\x1b[0m"
        with suppress(OSError):  # the services go on when their reader left (`| head`, a closed terminal)
            print(label, line, file=sys.stderr, flush=True)

    return (lambda _name, _line: None) if quiet else echo


async def _greet(url: str) -> None:
    print(f"textpro is up: {url} (Ctrl-C stops it)", flush=True)
    await asyncio.Event().wait()  # until a signal or a death ends it
