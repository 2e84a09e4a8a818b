"""CommonsenseQA and UltraChat: texts to be spoken and answered."""

from collections.abc import Iterator
from typing import Any

from textpro.data.corpora.corpus import CorpusError, CorpusFolder, Row, rows
from textpro.data.corpora.user_text import UserText, multiple_choice

# The publisher's files; then those of the copy on the Hugging Face hub.
COMMONSENSEQA = {
    "train": ("train_rand_split.jsonl", "data/train-00000-of-00001.parquet"),
    "dev": ("dev_rand_split.jsonl", "data/validation-00000-of-00001.parquet"),
    "test": ("test_rand_split_no_answers.jsonl", "data/test-00000-of-00001.parquet"),
}
ULTRACHAT = tuple(f"train_{part}" for part in range(10))


def read_commonsenseqa(folder: CorpusFolder, splits: tuple[str, ...]) -> Iterator[UserText]:
    """Questions with five options. The answers of the test split are not published."""
    for split in splits:
        for row in rows(folder.part(f"the questions of {split}", *COMMONSENSEQA[split])):
            try:
                yield _question(row)
            except (KeyError, TypeError, AttributeError) as error:
                raise CorpusError(f"{row.place}: not a question of CommonsenseQA ({error!r})") from error


def _question(row: Row) -> UserText:
    question: Any = row.values["question"]
    if isinstance(question, dict):  # the publisher's form
        options = {choice["label"]: choice["text"] for choice in question["choices"]}
        question = question["stem"]
    else:
        choices = row.values["choices"]
        options = dict(zip(choices["label"], choices["text"], strict=True))
    answer = options.get(row.values.get("answerKey") or "", "")
    return multiple_choice(row.text("id"), question.strip(), (o.strip() for o in options.values()), answer.strip())


def read_ultrachat(folder: CorpusFolder, splits: tuple[str, ...]) -> Iterator[UserText]:
    """What the user says first in each conversation: `{"id": …, "data": [user, assistant, user, …]}`."""
    for split in splits:
        for row in rows(folder.part("conversations", f"{split}.jsonl", f"data/{split}.jsonl")):
            turns = row.values.get("data")
            if not (isinstance(turns, list) and turns and isinstance(turns[0], str)):
                raise CorpusError(f'{row.place}: "data" must be a list that begins with what the user says')
            if turns[0].strip():
                yield UserText(f"{split}-{row.text('id')}", turns[0].strip())
