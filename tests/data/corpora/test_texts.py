import json

import pytest

from textpro.data.corpora import user_text
from textpro.data.corpora.corpus import CorpusError, MissingPart
from textpro.data.corpora.user_text import UserText, UserTextError

PUBLISHED = {
    "answerKey": "B",
    "id": "q1",
    "question": {
        "question_concept": "sleep",
        "choices": [{"label": "A", "text": "kitchen"}, {"label": "B", "text": "bed"}],
        "stem": "Where do people sleep?",
    },
}
ON_THE_HUB = {
    "id": "q1",
    "question": "Where do people sleep?",
    "question_concept": "sleep",
    "choices": {"label": ["A", "B"], "text": ["kitchen", "bed"]},
    "answerKey": "B",
}
READ = UserText("q1", "Where do people sleep? A. kitchen. B. bed.", "Where do people sleep?", ("kitchen", "bed"), "bed")


@pytest.mark.parametrize("entry", [PUBLISHED, ON_THE_HUB], ids=["published", "hub"])
def test_commonsenseqa_gives_the_spoken_question_its_options_and_the_right_one(
    tmp_path, write, imported, entry
) -> None:
    write(tmp_path / "corpus" / "train_rand_split.jsonl", json.dumps(entry) + "\n")
    assert imported("commonsenseqa") == {"q1": READ}


def test_commonsenseqa_has_no_answers_in_its_test_split(tmp_path, write, imported) -> None:
    entry = {key: value for key, value in PUBLISHED.items() if key != "answerKey"}
    write(tmp_path / "corpus" / "test_rand_split_no_answers.jsonl", json.dumps(entry) + "\n")
    assert imported("commonsenseqa", splits=["test"])["q1"].answer == ""


def test_commonsenseqa_names_the_file_that_is_missing(tmp_path, imported) -> None:
    (tmp_path / "corpus").mkdir()
    with pytest.raises(MissingPart, match=r"expected at .*train_rand_split\.jsonl or data/train-.*tau-nlp\.org"):
        imported("commonsenseqa")


def test_commonsenseqa_refuses_a_line_of_another_kind(tmp_path, write, imported) -> None:
    write(tmp_path / "corpus" / "train_rand_split.jsonl", '{"id": "q", "question": {"stem": "Why?"}}\n')
    with pytest.raises(CorpusError, match=r"train_rand_split\.jsonl:1: not a question of CommonsenseQA"):
        imported("commonsenseqa")


def test_ultrachat_gives_what_the_user_says_first(tmp_path, write, imported) -> None:
    conversations = [
        {"id": "0", "data": ["How do tides work?", "The moon…", "And the sun?", "Also."]},
        {"id": "1", "data": [" "]},
    ]
    write(tmp_path / "corpus" / "train_2.jsonl", "".join(json.dumps(entry) + "\n" for entry in conversations))
    assert imported("ultrachat") == {"train_2-0": UserText("train_2-0", "How do tides work?")}


def test_ultrachat_names_the_part_that_is_missing(tmp_path, imported) -> None:
    (tmp_path / "corpus").mkdir()
    with pytest.raises(MissingPart, match=r"UltraChat: conversations expected at .*train_2\.jsonl"):
        imported("ultrachat")


def test_ultrachat_refuses_a_conversation_without_turns(tmp_path, write, imported) -> None:
    write(tmp_path / "corpus" / "train_2.jsonl", '{"id": "0", "data": []}\n')
    with pytest.raises(CorpusError, match=r'train_2\.jsonl:1: "data" must be a list'):
        imported("ultrachat")


def test_texts_have_no_labels_to_choose_by(tmp_path, write, imported) -> None:
    write(tmp_path / "corpus" / "train_2.jsonl", '{"id": "0", "data": ["Hi"]}\n')
    with pytest.raises(CorpusError, match="text without labels"):
        imported("ultrachat", having=["emotion"])


def test_texts_read_back_as_they_were_written(tmp_path) -> None:
    path = tmp_path / "texts.jsonl"
    texts = [READ, UserText("u", "Grüße?")]
    user_text.append(path, texts)
    assert list(user_text.read(path)) == texts


def test_texts_that_are_not_utf_8_are_refused_with_their_place(tmp_path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_bytes(b'\n{"id": "a", "text": "caf\xe9"}\n')
    with pytest.raises(UserTextError, match=r"texts\.jsonl:2: no text of a user: 'utf-8' codec"):
        list(user_text.read(path))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{oops", ""),
        ("[]", ""),
        ('{"id": "a"}', "missing 1 required"),
        ('{"id": "a", "text": "b", "x": 1}', "'x'"),
        ('{"id": 1, "text": "b"}', '"id" must be a string, found 1'),
        ('{"id": "a", "text": null}', '"text" must be a string, found None'),
        ('{"id": "a", "text": "b", "answer": 2}', '"answer" must be a string, found 2'),
        ('{"id": "a", "text": "b", "options": "cd"}', '"options" must be a list of strings'),
        ('{"id": "a", "text": "b", "options": ["c", 4]}', '"options" must be a list of strings'),
    ],
)
def test_a_line_that_is_no_text_is_refused_with_its_place(tmp_path, write, line, complaint) -> None:
    path = write(tmp_path / "texts.jsonl", f"\n{line}\n")
    with pytest.raises(UserTextError, match=rf"texts\.jsonl:2: no text of a user: .*{complaint}"):
        list(user_text.read(path))
