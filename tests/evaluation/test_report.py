from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from services.cli import main
from textpro.evaluation import results
from textpro.evaluation.bootstrap import StatisticsError
from textpro.evaluation.report import MODALITY_GAP, PARALINGUISTIC, PROBING, WER, tables
from textpro.evaluation.results import CASCADE, TOPLINE, Answers, Outcome, ResultsError, Run, read, read_folder

OURS = "TextPro global"


def outcomes(hits: str, task: str = "food") -> tuple[Outcome, ...]:
    """`101`: right, wrong, right, of four options."""
    return tuple(Outcome(f"{task}-{i}", task, 2, 2 if hit == "1" else 0, 4) for i, hit in enumerate(hits))


def gap_run(ours: str, seed: int = 0) -> Run:
    named = {OURS: ours, CASCADE: "1000", TOPLINE: "1101"}
    return Run(MODALITY_GAP, seed, tuple(Answers(n, "continuation", outcomes(hits)) for n, hits in named.items()))


def test_accuracy_and_gap_are_means_over_questions_and_seeds() -> None:
    table = tables([gap_run("1100"), gap_run("1111", seed=1)])[MODALITY_GAP][0]
    assert list(table.rows) == [TOPLINE, CASCADE, OURS]
    assert [cell.mean for cell in table.rows[OURS] if cell] == pytest.approx([75, 0])
    assert [cell.mean for cell in table.rows[CASCADE] if cell] == pytest.approx([25, 50])
    assert table.rows[TOPLINE][1] is None
    assert "4 questions; chance 25 %" in table.note


def test_the_gap_of_the_same_answers_is_zero_without_doubt() -> None:
    gap = tables([gap_run("1101")])[MODALITY_GAP][0].rows[OURS][1]
    assert gap is not None
    assert (gap.mean, gap.low, gap.high) == (0, 0, 0)


def test_the_gap_is_paired() -> None:
    alike, apart = (tables([gap_run(hits)])[MODALITY_GAP][0].rows[OURS][1] for hits in ("1100", "0110"))
    assert alike is not None
    assert apart is not None
    assert alike.mean == apart.mean == 25
    assert alike.high - alike.low < apart.high - apart.low


def test_a_topline_of_other_questions_is_refused() -> None:
    run = gap_run("11")
    with pytest.raises(StatisticsError, match="other questions"):
        tables([run])


def test_every_attribute_counts_the_same_in_the_average() -> None:
    answers = Answers(OURS, "likelihood", (*outcomes("1" * 90, "style"), *outcomes("0" * 10, "age")))
    (table,) = tables([Run(PARALINGUISTIC, 0, (answers,))])[PARALINGUISTIC]
    assert table.columns == ("age", "style", "average")
    assert [cell.mean for cell in table.rows[OURS] if cell] == [0, 100, 50]


def test_an_attribute_that_a_system_was_not_asked_is_a_dash() -> None:
    both = Answers(OURS, "likelihood", (*outcomes("11", "style"), *outcomes("01", "age")))
    runs = [Run(PARALINGUISTIC, 0, (both, Answers("Other", "likelihood", outcomes("10", "style"))))]
    (table,) = tables(runs)[PARALINGUISTIC]
    assert table.rows["Other"][0] is None
    assert "| Other | – | 50.0 ± 50.0 | 50.0 ± 50.0 |" in table.markdown()


def test_an_answer_without_a_label_is_wrong() -> None:
    assert not replace(outcomes("1")[0], chosen=None).hit


def test_numbers_are_averaged_over_runs() -> None:
    runs = [Run(PROBING, s, (), "ours", {"f0": {"accuracy": a}}) for s, a in enumerate((0.5, 0.7))]
    (table,) = tables(runs)[PROBING]
    assert "| ours | 60.0 ± 10.0 |" in table.markdown()
    assert tables([Run(WER, 0, (), "ours", {"all": {"wer": 0.125}})])[WER][0].rows["ours"][0].mean == 12.5


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    run = Run(PARALINGUISTIC, 3, gap_run("1010").answers, "x", {"a": {"kl": 0.5}})
    results.write(tmp_path / "sub" / "one.json", run, bundle="embedded")
    assert read(tmp_path / "sub" / "one.json") == run
    assert read_folder(tmp_path) == [run]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"measure": "wer"}', '{"measure": "x", "seed": 0, "answers": [{}]}']
)
def test_what_is_no_result_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(ResultsError, match=r"bad\.json"):
        read_folder(tmp_path)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="holds no results"):
        read_folder(tmp_path)


def test_the_report_holds_every_table_and_its_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results.write(tmp_path / "gap.json", gap_run("1100"))
    results.write(tmp_path / "wer.json", Run(WER, 0, (), "ours", {"all": {"wer": 0.1}}))
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "made")]) == 0
    text = (tmp_path / "made" / "report.md").read_text()
    assert text in capsys.readouterr().out
    assert "| Cascade | 25.0 ± " in text
    assert "| ours | 10.0 ± 0.0 |" in text
    for name in (MODALITY_GAP, WER):
        assert f"({name}.svg)" in text
        assert ElementTree.parse(tmp_path / "made" / f"{name}.svg").getroot().tag.endswith("svg")
