from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from services.cli import main
from textpro.evaluation import report, results
from textpro.evaluation.bootstrap import StatisticsError
from textpro.evaluation.report import CHANCE, MODALITY_GAP, PARALINGUISTIC, PROBING, WER, Table, tables
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
    assert list(table.rows) == [TOPLINE, CASCADE, OURS, CHANCE]
    assert [cell.mean for cell in table.rows[OURS] if cell] == pytest.approx([75, 0])
    assert [cell.mean for cell in table.rows[CASCADE] if cell] == pytest.approx([25, 50])
    assert table.rows[TOPLINE][1] is None
    assert "4 questions." in table.note


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


@pytest.mark.parametrize("asked", [outcomes("110"), outcomes("1100", "house")])
def test_seeds_that_were_asked_other_questions_are_refused(asked: tuple[Outcome, ...]) -> None:
    with pytest.raises(ResultsError, match="TextPro, likelihood: seed 2 was not asked the 4 questions of seed 1"):
        tables([voice_run("TextPro", outcomes("1100"), 1), voice_run("TextPro", asked, 2)])


def test_other_questions_under_the_same_ids_are_not_compared() -> None:
    other = tuple(replace(outcome, task="house") for outcome in outcomes("1100"))
    with pytest.raises(StatisticsError, match="other test sets"):
        tables([voice_run("TextPro", outcomes("1100")), voice_run("Other", other)])


def test_chance_is_that_of_each_column_and_no_bar() -> None:
    asked = (*outcomes("11", "style"), *(replace(one, options=2) for one in outcomes("111111", "gender")))
    (table,) = tables([voice_run("TextPro", asked)])[PARALINGUISTIC]
    assert [cell.mean for cell in table.rows[CHANCE] if cell] == [50, 25, 37.5]
    assert "| chance | 50.0 | 25.0 | 37.5 |" in table.markdown()
    assert CHANCE not in {node.text for node in table.chart().iter("text")}


def test_every_attribute_counts_the_same_in_the_average() -> None:
    answers = Answers(OURS, "likelihood", (*outcomes("1" * 90, "style"), *outcomes("0" * 10, "age")))
    (table,) = tables([Run(PARALINGUISTIC, 0, (answers,))])[PARALINGUISTIC]
    assert table.columns == ("age", "style", "average of attributes")
    assert [cell.mean for cell in table.rows[OURS] if cell] == [0, 100, 50]


def test_an_attribute_that_a_system_was_not_asked_is_a_dash() -> None:
    both = Answers(OURS, "likelihood", (*outcomes("11", "style"), *outcomes("01", "age")))
    runs = [Run(PARALINGUISTIC, 0, (both, Answers("Other", "likelihood", outcomes("10", "style"))))]
    (table,) = tables(runs)[PARALINGUISTIC]
    assert table.rows["Other"][0] is None
    assert "| Other | – | 50.0 ± 50.0 | 50.0 ± 50.0 |" in table.markdown()
    assert "4 questions, Other 2." in table.note


def voice_run(system: str, answers: tuple[Outcome, ...], seed: int = 0) -> Run:
    return Run(PARALINGUISTIC, seed, (Answers(system, "likelihood", answers),))


def test_topline_and_cascade_come_first_then_textpro_then_the_others() -> None:
    named = ("Another", "TextPro", CASCADE, "TextPro 5:1", TOPLINE)
    run = Run(MODALITY_GAP, 0, tuple(Answers(name, "letter", outcomes("10")) for name in named))
    assert list(tables([run])[MODALITY_GAP][0].rows) == [TOPLINE, CASCADE, "TextPro", "Another", "TextPro 5:1", CHANCE]


def test_a_seed_that_is_there_twice_is_refused_with_its_file(tmp_path: Path) -> None:
    for name in ("gap", "gap-copy"):
        results.write(tmp_path / f"{name}.json", gap_run("1100"))
    with pytest.raises(ResultsError, match=r"gap\.json: TextPro global, continuation, seed 0 is in another"):
        tables(read_folder(tmp_path))


def test_forms_of_one_seed_may_lie_in_several_files() -> None:
    runs = [Run(PARALINGUISTIC, 1, (Answers(OURS, form, outcomes("10")),)) for form in ("generated", "likelihood")]
    assert [list(table.rows) for table in tables(runs)[PARALINGUISTIC]] == [[OURS, CHANCE], [OURS, CHANCE]]


def test_the_topline_counts_once_however_often_it_was_measured() -> None:
    note = tables([gap_run("1100"), gap_run("1111", seed=1)])[MODALITY_GAP][0].note
    assert f"{TOPLINE} 1, {CASCADE} 1, {OURS} 2" in note


def test_toplines_of_other_llms_are_refused() -> None:
    other = Run(MODALITY_GAP, 1, (Answers(TOPLINE, "continuation", outcomes("0000")),), source="other.json")
    with pytest.raises(ResultsError, match=r"other\.json: its Text topline \(continuation\) answered otherwise"):
        tables([gap_run("1100"), other])


def test_the_difference_to_textpro_is_over_the_questions_that_both_answered() -> None:
    runs = [voice_run("TextPro", (*outcomes("1" * 90, "style"), *outcomes("1" * 10, "age")))]
    runs += [voice_run("Other", (*outcomes("1" * 90, "style"), *outcomes("0" * 5, "age")), seed) for seed in (0, 1)]
    (table,) = tables(runs)[PARALINGUISTIC]
    assert table.columns[-1] == "difference to TextPro"
    assert table.rows["TextPro"][-1] is None
    difference = table.rows["Other"][-1]
    assert difference is not None
    assert (difference.mean, difference.low, difference.high) == pytest.approx((-50, -50, -50))


def test_what_one_training_typed_and_heard_is_compared_seed_by_seed() -> None:
    def runs(typed: str) -> list[Run]:
        heard = {"TextPro": outcomes("1" * 40), typed: outcomes("1" * 40)}
        missed = {"TextPro": outcomes("0" * 40), typed: outcomes("0" * 40)}
        asked = enumerate((heard, missed))
        return [Run(PARALINGUISTIC, s, tuple(Answers(n, "likelihood", o) for n, o in ran.items())) for s, ran in asked]

    own, other = (tables(runs(name))[PARALINGUISTIC][0].rows[name][-1] for name in ("TextPro, typed", "Other"))
    assert own is not None
    assert other is not None
    assert (own.low, own.high) == (0, 0)
    assert other.low < 0 < other.high


def test_without_textpro_or_without_others_there_is_no_difference() -> None:
    for name in ("TextPro", "Other"):
        (table,) = tables([voice_run(name, outcomes("10"))])[PARALINGUISTIC]
        assert "difference to TextPro" not in table.columns


def test_what_was_typed_and_differences_are_in_the_table_only() -> None:
    table = Table("t", ("accuracy", "difference to TextPro"), {"a": [None, None], "a, typed": [None, None]})
    shown = {node.text for node in table.chart().iter("text")}
    assert shown >= {"a", "accuracy"}
    assert not shown & {"a, typed", "difference to TextPro"}


def test_an_answer_without_a_label_is_wrong() -> None:
    assert not replace(outcomes("1")[0], chosen=None).hit


def test_numbers_are_averaged_over_runs() -> None:
    runs = [Run(PROBING, s, (), "ours", {"f0": {"accuracy": a}}) for s, a in enumerate((0.5, 0.7))]
    (table,) = tables(runs)[PROBING]
    assert "| ours | 60.0 ± 10.0 |" in table.markdown()
    assert tables([Run(WER, 0, (), "ours", {"all": {"wer": 0.125}})])[WER][0].rows["ours"][0].mean == 12.5


def test_a_seed_of_numbers_that_is_there_twice_is_refused() -> None:
    run = Run(WER, 0, (), "ours", {"all": {"wer": 0.1}})
    with pytest.raises(ResultsError, match="ours, all, seed 0"):
        tables([run, run])


def test_runs_with_other_settings_are_rows_of_their_own() -> None:
    common = {"engine": "textpro", "snr_db": None, "beam_size": 5}
    settings = [common, common | {"snr_db": 15.0}, common | {"engine": "pytorch"}]
    runs = [Run(WER, 0, (), "ours", {"all": {"wer": 0.1 * i}}, given) for i, given in enumerate(settings, 1)]
    runs.append(Run(WER, 0, (), "other", {"all": {"wer": 0.4}}, common | {"beam_size": 1}))
    (table,) = tables(runs)[WER]
    assert {name: round(row[0].mean) for name, row in table.rows.items() if row[0]} == {
        "ours, engine textpro": 10,
        "ours, engine textpro, snr_db 15.0": 20,
        "ours, engine pytorch": 30,
        "other": 40,
    }


def test_the_divergence_is_told_in_nats_with_three_digits() -> None:
    run = Run(MODALITY_GAP, 0, gap_run("1100").answers, OURS, {"KL": {"kl": 0.0793}})
    table = tables([run])[MODALITY_GAP][-1]
    assert f"| {OURS} | 0.079 |" in table.markdown()
    assert "nats" in {node.text for node in table.chart().iter("text")}


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    run = Run(PARALINGUISTIC, 3, gap_run("1010").answers, "x", {"a": {"kl": 0.5}}, {"engine": "textpro"})
    results.write(tmp_path / "sub" / "one.json", run, bundle="embedded")
    assert read(tmp_path / "sub" / "one.json") == run
    assert read_folder(tmp_path) == [run]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"measure": "wer"}',
        '{"measure": "x", "seed": 0, "answers": [{}]}',
        '{"measure": "x", "seed": 0, "answers": [{"system": "s", "form": "f", "outcomes": []}]}',
        '{"measure": "x", "seed": 0, "answers": [{"system": "s", "form": "f", "outcomes": [["a", "b", 0, 0, 0]]}]}',
        '{"measure": "x", "seed": 0, "answers": [{"system": "s", "form": "f", "outcomes": '
        '[["a", "b", 0, 0, 2], ["a", "b", 0, 1, 2]]}]}',
        '{"measure": "wer", "seed": 0, "results": {"all": 0.1}}',
        '{"measure": "wer", "seed": 0, "settings": null}',
    ],
)
def test_what_is_no_result_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(ResultsError, match=r"bad\.json"):
        read_folder(tmp_path)


def test_numbers_of_another_measure_are_refused_with_their_file() -> None:
    with pytest.raises(ResultsError, match=r"here\.json: f0 is no probing"):
        tables([Run(PROBING, 0, (), "ours", {"f0": {}}, source="here.json")])


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    results.write(tmp_path / "none.json", Run(PROBING, 0, (), "ours"))
    with pytest.raises(ResultsError, match=r"nothing to show in .*none\.json"):
        report.write(read_folder(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


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
    assert "| ours | 10.0 |" in text
    for name in (MODALITY_GAP, WER):
        assert f"({name}.svg)" in text
        assert ElementTree.parse(tmp_path / "made" / f"{name}.svg").getroot().tag.endswith("svg")
