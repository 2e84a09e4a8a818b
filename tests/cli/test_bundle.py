"""`textpro bundle`; the mean itself is tested in tests/textpro/test_averaging.py."""

import shutil
from pathlib import Path

import pytest

from services.cli import main
from textpro.bundle import Bundle


@pytest.mark.embedded
def test_a_mean_is_written_where_it_was_said_and_its_path_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "average", str(tmp_path / "mean"), "embedded:2", "embedded:1"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'mean'}\n"
    shipped = Bundle.load("embedded")
    made_from = f"embedded {shipped.fingerprint} × 2, embedded {shipped.fingerprint} × 1"
    assert Bundle.load(tmp_path / "mean").config.made_from == {"mean": made_from}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["HOLLOW:1"], "two bundles or more; there are 1"),
        (["HOLLOW:1", "HOLLOW:0"], "is 0; expected a positive number"),
        (["HOLLOW:1", "HOLLOW:much"], "expected BUNDLE:WEIGHT"),
        (["HOLLOW:1", "HOLLOW"], "expected BUNDLE:WEIGHT"),
    ],
)
def test_parts_that_have_no_mean_are_refused_in_one_line(
    hollow_bundle: Path, tmp_path: Path, parts: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [part.replace("HOLLOW", str(hollow_bundle)) for part in parts]
    assert main(["bundle", "average", str(tmp_path / "mean"), *named]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_directory_that_exists_is_not_written_to(
    hollow_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "average", str(tmp_path), f"{hollow_bundle}:1", f"{hollow_bundle}:1"]) == 1
    assert "exists already; name a new directory" in capsys.readouterr().err


def test_an_export_is_whole_or_not_there(hollow_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = ["bundle", "export", str(hollow_bundle), "--out", str(tmp_path / "new" / "made")]
    copy = shutil.copytree

    def interrupted(*args: object) -> None:
        copy(*args)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", interrupted)
        assert main(export) == 130
    assert not list((tmp_path / "new").iterdir())
    assert main(export) == 0
    assert Bundle.load(tmp_path / "new" / "made").fingerprint == Bundle.load(hollow_bundle).fingerprint
