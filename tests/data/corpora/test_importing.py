import itertools
from pathlib import Path

import pytest

from services.cli import main
from textpro.data import manifest
from textpro.data.corpora import CORPORA, labels
from textpro.data.corpora.corpus import CorpusError, MissingPart
from textpro.data.corpora.importing import BrokenAudio, duration_s, import_corpus

DOCUMENT = Path(__file__).parents[3] / "docs" / "corpora.md"


@pytest.fixture
def tess(tmp_path, record):
    for number, word in enumerate(("back", "bean", "book")):
        record(tmp_path / "tess" / "OAF_happy" / f"OAF_{word}_happy.wav", 0.1 * (number + 1))
    return tmp_path / "tess"


def test_the_command_writes_a_manifest_that_finds_its_audio(tess, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["data", "import", "tess", str(tess), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'manifest.jsonl'}: 3 items, 0.0 h\n"
    clips = manifest.read(out / "manifest.jsonl")
    assert [clip.duration_s for clip in clips] == [0.1, 0.2, 0.3]
    assert all(manifest.resolve(out / "manifest.jsonl", clip).is_file() for clip in clips)


def test_the_command_says_in_one_line_what_is_missing(tmp_path, capsys) -> None:
    assert main(["data", "import", "tess", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"textpro: TESS: there is no folder {tmp_path / 'nowhere'}; the corpus comes from")
    assert not (tmp_path / "out").exists()


def test_an_import_stops_at_its_limit(tess, tmp_path) -> None:
    assert import_corpus("tess", tess, tmp_path / "out", limit=2).items == 2


def test_a_file_that_is_there_is_not_touched(tess, tmp_path) -> None:
    import_corpus("tess", tess, tmp_path / "out", limit=1)
    before = (tmp_path / "out" / "manifest.jsonl").read_bytes()
    with pytest.raises(CorpusError, match="exists; choose another folder"):
        import_corpus("tess", tess, tmp_path / "out")
    assert (tmp_path / "out" / "manifest.jsonl").read_bytes() == before


def test_an_import_that_fails_leaves_no_manifest_and_the_next_one_is_whole(tess, tmp_path) -> None:
    broken = tess / "OAF_happy" / "OAF_bean_happy.wav"
    whole = broken.read_bytes()
    broken.write_bytes(b"")
    with pytest.raises(BrokenAudio):
        import_corpus("tess", tess, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.jsonl").exists()
    broken.write_bytes(whole)
    assert import_corpus("tess", tess, tmp_path / "out").items == 3


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "no audio"),
        (b"not audio at all" * 100, "no audio"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    ],
    ids=["empty", "noise", "pointer"],
)
def test_a_broken_recording_is_named_or_left_out_and_counted(tess, tmp_path, data, complaint) -> None:
    (tess / "OAF_happy" / "OAF_bean_happy.wav").write_bytes(data)
    with pytest.raises(BrokenAudio, match=rf"OAF_bean_happy\.wav: .*{complaint}"):
        import_corpus("tess", tess, tmp_path / "out")
    done = import_corpus("tess", tess, tmp_path / "out", skip_broken=True)
    assert (done.items, done.skipped) == (2, 1)


def test_an_import_that_would_be_empty_fails(tess, tmp_path) -> None:
    with pytest.raises(CorpusError, match="no clip was left"):
        import_corpus("tess", tess, tmp_path / "out", having=["accent"])


def test_a_corpus_without_splits_refuses_one(tess, tmp_path) -> None:
    with pytest.raises(CorpusError, match="TESS has no split 'train'; it has: none"):
        import_corpus("tess", tess, tmp_path / "out", splits=["train"])


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_a_recordings_length_is_read_from_its_header(tmp_path, record, suffix) -> None:
    assert duration_s(record(tmp_path / f"clip{suffix}", 2.0)) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("name", CORPORA)
def test_an_empty_folder_is_told_what_it_lacks_and_where_the_corpus_comes_from(name, tmp_path) -> None:
    (tmp_path / "corpus").mkdir()
    with pytest.raises(MissingPart) as caught:
        import_corpus(name, tmp_path / "corpus", tmp_path / "out")
    assert f"expected at {tmp_path / 'corpus'}" in str(caught.value)
    assert CORPORA[name].source in str(caught.value)


def test_every_corpus_is_described_with_its_splits() -> None:
    text = DOCUMENT.read_text()
    sections = {part.partition("\n")[0]: part for part in text.split("\n## ")}
    for corpus in CORPORA.values():
        section = sections[corpus.title]
        assert f"textpro data import {corpus.name} " in section
        told = section if len(corpus.splits) < 10 else section.replace("`train_0` to `train_9`", str(corpus.splits))
        assert not [split for split in corpus.splits if split not in told]


def test_every_age_from_ten_to_eighty_nine_has_one_group() -> None:
    assert [labels.age_group(age) for age in (9, 90)] == [None, None]
    groups = [group for group, _ in itertools.groupby(labels.age_group(age) for age in range(10, 90))]
    assert groups == list(labels.AGE_GROUPS.values())
