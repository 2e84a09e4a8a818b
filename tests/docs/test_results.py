"""README's table of systems says what the kept results say; the experiments name what ships."""

import re
from pathlib import Path

import pytest

from textpro.bundle import Bundle
from textpro.evaluation.report import AVERAGE, modality_gap, paralinguistic
from textpro.evaluation.results import read_folder

ROOT = Path(__file__).resolve().parents[2]
NAMES = {
    "the text LLM, reading them": "Text topline",
    "cascade: Whisper and the text LLM": "Cascade",
    "TextPro 5:1, a token of prosody for every five of text": "TextPro 5:1",
}
ROW = re.compile(r"^\| (?P<name>[^|]+) \| (?P<quiz>[\d.]+) % \| (?:(?P<voice>[\d.]+) % )?\|$", re.MULTILINE)


def test_the_readme_quotes_the_kept_results() -> None:
    runs = read_folder(ROOT / "docs" / "results" / "miniature")
    quiz = modality_gap(runs)[0].rows
    (likelihood,) = (table for table in paralinguistic(runs) if "likelihood" in table.title)
    voice, mean = likelihood.rows, likelihood.columns.index(AVERAGE)
    rows = list(ROW.finditer((ROOT / "README.md").read_text().replace("**", "")))
    assert len(rows) == 8
    for row in rows:
        name = NAMES.get(row["name"], row["name"])
        system = name if name in quiz else name.removeprefix("TextPro ")
        accuracy = quiz[system][0]
        assert accuracy is not None
        assert float(row["quiz"]) == round(accuracy.mean, 1)
        average = voice[system][mean] if system in voice else None
        assert (row["voice"] and float(row["voice"])) == (average and round(average.mean, 1))


@pytest.mark.embedded
def test_the_experiments_name_the_tap_that_ships() -> None:
    section = (ROOT / "docs" / "experiments.md").read_text().partition("## What ships today")[2].partition("\n## ")[0]
    assert re.findall(r"`((?:en|de)coder\.\d+)`", section) == [Bundle.load("embedded").config.tap]
