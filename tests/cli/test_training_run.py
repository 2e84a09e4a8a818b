"""A run goes on with the settings it began with, whichever model it trains."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from services.cli import main
from services.cli.training_run import keep_settings
from textpro.errors import TrainingError

WHISPERPRO = ["train", "whisperpro", "--manifest", "nowhere.jsonl"]
ALIGN = ["train", "align", "--turns", "nowhere", "--bundle", "nowhere"]


def begin(out: Path, **settings: str) -> None:
    out.mkdir(exist_ok=True)
    (out / "command.json").write_text(json.dumps(settings))
    (out / "metrics.jsonl").touch()


@pytest.mark.parametrize(
    ("command", "began"),
    [
        ([*WHISPERPRO, "--steps", "9"], {"steps": "5"}),
        ([*WHISPERPRO, "--steps", "9", "--mel", "2"], {"mel": "None"}),
        ([*ALIGN, "--steps", "9"], {"stage": "whisperpro"}),
        ([*ALIGN, "--steps", "9", "--conversation", "2", "--processes", "4"], {"processes": "2"}),
    ],
    ids=["steps", "a loss", "another model", "processes that share conversations"],
)
def test_a_run_does_not_go_on_with_other_settings(
    command: list[str], began: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path, **began)
    assert main([*command, "--out", str(tmp_path)]) == 1
    ((name, value),) = began.items()
    assert f"holds another run ({name} was {value} and is " in capsys.readouterr().err
    assert json.loads((tmp_path / "command.json").read_text()) == began


def test_a_command_that_began_no_run_may_be_corrected(tmp_path: Path) -> None:
    for manifest in ("wrong", "right"):
        keep_settings(Namespace(out=tmp_path, manifest=manifest), "whisperpro", [])
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(TrainingError, match="manifest was right and is wrong"):
        keep_settings(Namespace(out=tmp_path, manifest="wrong"), "whisperpro", [])


def test_a_run_does_not_go_on_with_other_data_of_the_same_name(tmp_path: Path) -> None:
    data = tmp_path / "turns.jsonl"
    data.write_text("a\n")
    keep_settings(Namespace(out=tmp_path), "align", [data])
    (tmp_path / "metrics.jsonl").touch()
    keep_settings(Namespace(out=tmp_path), "align", [data])
    data.write_text("b\n")
    with pytest.raises(TrainingError, match=r"data was [0-9a-f]+ and is "):
        keep_settings(Namespace(out=tmp_path), "align", [data])


def test_a_run_goes_on_whose_version_noted_less(tmp_path: Path) -> None:
    begin(tmp_path, steps="5")
    keep_settings(Namespace(out=tmp_path, steps=5, decay="line", processes=2), "align", [])
    noted = json.loads((tmp_path / "command.json").read_text())
    assert {name: noted[name] for name in ("steps", "decay", "stage")} == {
        "steps": "5",
        "decay": "line",
        "stage": "align",
    }
    (tmp_path / "command.json").unlink()
    keep_settings(Namespace(out=tmp_path, steps=6), "whisperpro", [])
