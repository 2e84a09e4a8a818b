from pathlib import Path

import pytest

from textpro.cublas import LIBRARIES, load_cublas
from textpro.errors import BundleError


def test_the_package_s_libraries_are_loaded_and_first_what_the_other_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "nvidia" / "cublas" / "lib"
    folder.mkdir(parents=True)
    for name in LIBRARIES:
        (folder / name).touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    opened: list[str] = []
    load_cublas(opened.append)
    assert opened == [str(folder / name) for name in LIBRARIES]


def test_where_there_is_none_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(BundleError, match="pip install 'nvidia-cublas-cu12"):
        load_cublas(missing)
