"""README.md is kept by running it: its commands against the three services, its map against the repository."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.cli.up import Addresses, claim

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
EMBEDDED = ROOT / "textpro" / "bundles" / "embedded"
MOMENTS = ("first_token", "total")  # in timing_ms, and no stages
READY_S, BLOCK_S, STOP_S = 300, 600, 60
LEFT_OUT = re.compile(r"<!-- not run: (.+) -->")
# In two halves, so that this file does not hold what it looks for.
FOREIGN = ("/wo" + "rk/", "../sha" + "red", "H2" + "00")


@dataclass(frozen=True)
class Block:
    """A ```bash block. left_out: the reason that stands over it, if it is not run."""

    line: int
    text: str
    left_out: str | None

    @property
    def is_make(self) -> bool:
        """`make demo` and `make test`, which would run these tests again."""
        return all(line.startswith("make ") for line in self.text.splitlines())


def blocks() -> list[Block]:
    lines = README.read_text().splitlines()
    found = []
    for start, line in enumerate(lines):
        if line == "```bash":
            end = lines.index("```", start)
            above = next((text for text in reversed(lines[:start]) if text.strip()), "")
            reason = LEFT_OUT.fullmatch(above.strip())
            found.append(Block(start + 1, "\n".join(lines[start + 1 : end]), reason[1] if reason else None))
    return found


RUN = [block for block in blocks() if not block.is_make and block.left_out is None]


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_every_command_is_run_but_those_that_say_why_not() -> None:
    assert len(RUN) >= 5
    assert all(block.left_out for block in blocks() if block not in RUN and not block.is_make)


def test_the_table_of_folders_has_every_folder_and_no_other() -> None:
    table = README.read_text().partition("## Where things are")[2]
    listed = re.findall(r"^\| `([^`/]+)/` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted({name.split("/")[0] for name in tracked() if "/" in name})


@pytest.mark.parametrize("path", [README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name)
def test_every_link_leads_to_a_file(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
    targets = [(path.parent / link).resolve() for link in links if "://" not in link]
    # The trained models are added to the sources when they are trained.
    expected = [target for target in targets if EMBEDDED not in target.parents or (EMBEDDED / "textpro.json").exists()]
    assert not [str(target.relative_to(ROOT)) for target in expected if not target.exists()]


def test_no_file_mentions_the_place_where_it_was_written() -> None:
    guilty = []
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if b"\0" not in content:
            guilty += [(name, word) for word in FOREIGN if word.encode() in content]
    assert not guilty


@pytest.fixture(scope="module")
def addresses() -> Iterator[Addresses]:
    """The three services, as `textpro up` starts them, on free ports."""
    chosen = claim(Addresses("127.0.0.1", 0, 0, 0, 0))
    ports = {
        "--port": chosen.port,
        "--encoder-port": chosen.encoder_http_port,
        "--encoder-grpc-port": chosen.encoder_grpc_port,
        "--llm-port": chosen.llm_port,
        "--wait": READY_S,
    }
    options = [f"{name}={value}" for name, value in ports.items()]
    command = [sys.executable, "-m", "services.cli", "up", "--quiet", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        greeting = up.stdout.readline()  # it comes when all are ready; nothing comes when one dies
        try:
            assert greeting.startswith("textpro is up"), up.communicate(timeout=STOP_S)[1]
            yield chosen
        finally:
            up.terminate()
            up.communicate(timeout=STOP_S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run: what they write stays out of the sources."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


def adapted(text: str, addresses: Addresses) -> str:
    """The block with this Python and these ports in place of those of a newcomer."""
    textpro = f"{sys.executable} -m services.cli"
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{addresses.port}")
    text = text.replace("127.0.0.1:8001", f"127.0.0.1:{addresses.encoder_http_port}")
    commands = {
        "textpro chat": f"{textpro} chat --url {addresses.gateway_url}",
        "textpro listen": f"{textpro} listen --url {addresses.gateway_url}",
        "textpro": textpro,
        "python": sys.executable,
    }
    # In one pass: this Python's own path may hold what is looked for.
    return re.sub(r"\.venv/bin/(textpro chat|textpro listen|textpro|python)", lambda found: commands[found[1]], text)


@pytest.mark.embedded
@pytest.mark.parametrize("block", RUN, ids=lambda block: f"line {block.line}")
def test_a_block_does_what_it_says(block: Block, addresses: Addresses, folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", adapted(block.text, addresses)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=BLOCK_S,
        check=False,
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    if "/v1/chat?stream=true" in block.text:
        check_events(done.stdout)
    elif "/v1/chat" in block.text:
        check_turn(json.loads(done.stdout))
    elif "/v1/encode" in block.text:
        heard = json.loads(done.stdout)
        assert heard["text"]
        assert heard["prosody"]["shape"][0] == 1


def check_turn(turn: dict[str, Any]) -> None:
    """Heard, answered, and accounted for."""
    assert turn["transcript"], turn
    assert turn["reply"], turn
    stages = {name: ms for name, ms in turn["timing_ms"].items() if name not in MOMENTS}
    assert sum(stages.values()) == pytest.approx(turn["timing_ms"]["total"])


def check_events(stream: str) -> None:
    """The transcript, the pieces, the whole."""
    events = [event.split("\n") for event in stream.strip().split("\n\n")]
    names = [lines[0].removeprefix("event: ") for lines in events]
    contents = [json.loads(lines[1].removeprefix("data: ")) for lines in events]
    assert [names[0], *{*names[1:-1]}, names[-1]] == ["transcript", "delta", "done"]
    check_turn(contents[-1])
    assert "".join(content["text"] for content in contents[1:-1]) == contents[-1]["reply"]
