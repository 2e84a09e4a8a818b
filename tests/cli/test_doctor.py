import sys
from pathlib import Path

import pytest

from services.cli import doctor
from services.cli.doctor import Finding


def printed(findings: list[Finding], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = doctor.report(findings)
    return code, capsys.readouterr().out


def test_a_missing_vital_thing_is_named_with_its_remedy_and_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = printed([Finding(False, "bundle", "not there", "make it", vital=True)], capsys)
    assert code == 1
    assert "MISSING bundle" in said
    assert "get it: make it" in said
    assert "`textpro up` can't run: bundle" in said


def test_a_missing_extra_is_named_but_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = printed([Finding(False, "flite", "speaks", "apt-get install flite")], capsys)
    assert code == 0
    assert "absent  flite" in said


def test_the_remedy_of_what_is_there_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "get it" not in printed([Finding(True, "flite", "/usr/bin/flite", "apt-get install flite")], capsys)[1]


def test_this_machine_is_examined_down_to_the_llm() -> None:
    found = {finding.subject: finding for finding in doctor.examine()}
    assert found["python"].ok
    assert sys.executable in found["python"].detail
    assert {
        "encoder",
        "llm",
        "gateway",
        "train",
        "espeak-ng",
        "gpu",
        "settings",
        "bundle",
        "llm engine",
    } <= found.keys()


def test_a_bundle_directory_that_is_none_is_vital_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTPRO_ENCODER_BUNDLE", str(tmp_path))
    found = {finding.subject: finding for finding in doctor.examine()}["bundle"]
    assert found.vital
    assert not found.ok
    assert "is no bundle" in found.detail
