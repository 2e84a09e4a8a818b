"""docs/training.md: its formats are the code's, its flags and variables are all described, its arithmetic is right."""

import inspect
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.docs.test_documents import COMMANDS, TRAINING, between_markers
from textpro.config import BundleConfig
from textpro.data import turns
from textpro.data.turns import Turn

TEXT = TRAINING.read_text()
RECIPE = TRAINING.parents[1] / "runs" / "paper.sh"
LEARNED_FROM = ("data distill", "data paralinguistic", "train align", "train joint")
SIZES = {  # N, E, L, layers, d, f, V
    "3B": (3.086e9, 0.311e9, 77.1e6, 36, 2_048, 11_008, 151_936),
    "7B": (7.616e9, 1.090e9, 233.1e6, 28, 3_584, 18_944, 152_064),
}
GPUS, POSITIONS, ANSWER_SHARE = 8, 8_192, 0.8
FLOPS = GPUS * 0.35 * 989e12
REAL_TIMES = 50


def rows(name: str) -> list[list[str]]:
    """The body of a marked table."""
    lines = between_markers(TEXT, name).group(2).strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def number(cell: str) -> float:
    return float(cell.replace("≈", "").replace(",", ""))


def columns(name: str) -> list[list[float]]:
    """What the last two columns of a table say, 3B and 7B."""
    return [[number(row[i]) for row in rows(name)] for i in (-2, -1)]


def epoch() -> tuple[float, float]:
    """Turns, and the positions of all of them."""
    found = [(number(row[3]), number(row[4])) for row in rows("turns")]
    return sum(n for n, _ in found), sum(n * positions for n, positions in found)


def test_the_examples_of_turns_are_turns(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```jsonl\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / turns.TURNS_FILE).write_text(example)
    assert len(turns.read(tmp_path)) == 2
    assert all(list(json.loads(line)) == list(inspect.signature(Turn).parameters) for line in example.splitlines())


def test_every_key_of_a_turn_and_of_a_bundle_is_described() -> None:
    for part, described in ((Turn, "## 3. Turns"), (BundleConfig, "### A bundle")):
        section = TEXT.partition(described)[2].partition("\n#")[0]
        first_cells = " ".join(re.findall(r"^\| (.*?) \|", section, re.MULTILINE))
        assert not [field.name for field in fields(part) if f"`{field.name}`" not in first_cells]


def test_every_flag_of_what_makes_turns_and_learns_from_them_is_described() -> None:
    section = TEXT.partition("## 3. Turns")[2].partition("### A bundle")[0]
    shown = set(re.findall(r"--[a-z-]+", section))
    assert not {command: missing for command in LEARNED_FROM if (missing := COMMANDS[command] - shown)}


def test_every_variable_of_the_paper_s_recipe_is_described() -> None:
    chosen = set(re.findall(r"^([A-Z_]+)=\$\{\1", RECIPE.read_text(), re.MULTILINE)) - {"TEXTPRO"} | {"LLM"}
    described = re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \|", TEXT, re.MULTILINE)
    assert {name for cell in described for name in re.findall(r"[A-Z_]+", cell)} == chosen


def test_the_turns_are_their_hours_over_the_seconds_of_a_clip() -> None:
    for name, hours, seconds, count, *_ in rows("turns"):
        assert number(hours) * 3600 / number(seconds) == pytest.approx(number(count), rel=0.01), name
    assert sum(number(row[1]) for row in rows("turns")) == pytest.approx(989.6)
    n_turns, positions = epoch()
    assert f"Together {n_turns:,.0f} turns and T = {positions / 1e6:.1f} million positions" in TEXT
    assert f"{2 * n_turns / 1024:,.0f} updates" in TEXT


def test_the_memory_adds_up() -> None:
    for (n, e, layer, layers, d, f, vocabulary), said in zip(SIZES.values(), columns("memory"), strict=True):
        parts = [
            16 * n / GPUS,
            8 * e,
            12 * layer,
            2 * d * layers * POSITIONS,
            (30 * d + 8 * f) * POSITIONS,
            16 * vocabulary * ANSWER_SHARE * POSITIONS,
        ]
        assert said == pytest.approx([part / 1e9 for part in (*parts, sum(parts))], abs=0.051)


def test_the_hours_add_up() -> None:
    _, positions = epoch()
    for (n, *_), said in zip(SIZES.values(), columns("hours"), strict=True):
        stages = [k * n * 2 * positions / FLOPS / 3600 for k in (6, 8)]
        spoken, asked = 295 / (REAL_TIMES * GPUS), 695 / (REAL_TIMES * GPUS)
        answered = 157_806 * 0.04 / GPUS / 3600
        parts = [36_400 * 0.15 / 3600, asked, 2 * spoken, answered, *stages, 1.0]
        assert said[:-1] == pytest.approx(parts, abs=0.051)
        assert said[-1] == pytest.approx(sum(said[:-1]))
