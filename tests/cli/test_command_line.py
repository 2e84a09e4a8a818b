import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli import COMMANDS, build_parser, main


def textpro(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


def test_help_names_every_command() -> None:
    said = build_parser().format_help()
    assert all(f"  {name} " in said or f"  {name}\n" in said for name in COMMANDS)


def test_help_imports_neither_the_model_nor_a_web_framework() -> None:
    script = (
        "import sys, contextlib, io\n"
        "from services.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['train', 'whisperpro', '--help'])\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pydantic', 'fastapi', 'httpx', 'grpc'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("command", [[], ["no-such-command"], ["train", "whisperpro"], ["chat"]])
def test_a_wrong_command_line_exits_with_2_and_the_usage(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2
    assert "usage: textpro" in capsys.readouterr().err


def test_an_error_is_one_line_on_standard_error_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert main(["bundle", "describe", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("textpro: ")
    assert "expected a Whisper" in said
    assert said.count("\n") == 1


def test_a_file_that_is_not_there_is_one_line_with_its_name_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none.txt")
    assert main(["synthesize", "--sentences", missing, "--clips", "1", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"textpro: {missing}: No such file or directory\n"


def test_a_full_disk_that_names_no_file_is_still_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    assert main(["plot", str(tmp_path), "--out", "/dev/full"]) == 1
    assert capsys.readouterr().err == "textpro: No space left on device\n"


def test_a_reader_that_leaves_early_ends_the_command_without_a_word() -> None:
    command = [sys.executable, "-m", "services.cli", "data", "quiz"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as quiz:
        assert quiz.stdout is not None
        quiz.stdout.close()
        assert quiz.wait(timeout=120) == 141
        assert quiz.stderr is not None
        assert quiz.stderr.read() == b""


@pytest.mark.parametrize("number", ["0", "-3", "two", "1.5"])
@pytest.mark.parametrize("command", [["synthesize", "--out", "out", "--clips"], ["data", "quiz", "--limit"]])
def test_a_count_below_one_is_a_wrong_command_line(
    command: list[str], number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command, number])
    assert end.value.code == 2
    assert f"argument {command[-1]}: {number!r} is not a whole number of at least 1" in capsys.readouterr().err


def test_config_shows_a_variable_that_is_set_and_what_it_means() -> None:
    done = textpro("config", TEXTPRO_ENCODER_QUEUE="7")
    assert "TEXTPRO_ENCODER_QUEUE = 7 (set)" in done.stdout
    assert "TEXTPRO_PORT = 8000\n" in done.stdout
    assert done.returncode == 0


def test_config_hides_the_password_of_redis() -> None:
    done = textpro("config", TEXTPRO_REDIS_URL="redis://:hunter2@127.0.0.1:6379/0")
    assert "TEXTPRO_REDIS_URL" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_config_as_markdown_gives_every_setting_of_the_three_services_a_sentence() -> None:
    rows = [line.split("|") for line in textpro("config", "--markdown").stdout.splitlines() if line.startswith("| `")]
    assert len(rows) > 30
    assert {"`TEXTPRO_PORT`", "`TEXTPRO_LLM_PORT`", "`TEXTPRO_ENCODER_GRPC_PORT`"} <= {row[1].strip() for row in rows}
    assert [row[1] for row in rows if not row[3].strip()] == []


def test_a_misspelt_variable_is_refused_with_the_right_one() -> None:
    done = textpro("config", TEXTPRO_ENCODER_QUEU="7")
    assert done.returncode == 1
    assert "did you mean TEXTPRO_ENCODER_QUEUE?" in done.stderr
