import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from services.cli import main
from services.cli.plot import MAX_POINTS, read_metrics, thinned


def write(folder: Path, rows: list[dict[str, float]]) -> Path:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_run_is_drawn_with_a_line_for_each_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"step": i, "seconds": i, "ce": 3 / i, "kl": 1 / i, "lr": 1e-3, "norm": 1.0, "turns": i} for i in (1, 2, 3)]
    assert main(["plot", str(write(tmp_path, rows))]) == 0
    path = Path(capsys.readouterr().out.strip())
    document = ElementTree.fromstring(path.read_text())
    assert len(list(document.iter("{http://www.w3.org/2000/svg}polyline"))) == 4


def test_steps_that_were_done_again_replace_the_first_ones(tmp_path: Path) -> None:
    write(tmp_path, [{"step": s, "ce": c} for s, c in ((1, 9.0), (2, 8.0), (3, 7.0), (2, 6.0), (3, 5.0))])
    assert [(row["step"], row["ce"]) for row in read_metrics(tmp_path / "metrics.jsonl")] == [(1, 9), (2, 6), (3, 5)]


@pytest.mark.parametrize("content", [None, "", "nonsense\n", "{}\n"])
def test_what_is_no_run_is_an_error_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    assert main(["plot", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_long_runs_are_thinned_to_means() -> None:
    made = thinned([(float(i), float(i)) for i in range(10 * MAX_POINTS)])
    assert len(made) == MAX_POINTS
    assert made[0] == (4.5, 4.5)
