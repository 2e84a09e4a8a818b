import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from textpro.training.teachers import (
    LocalTeacher,
    RememberedTeacher,
    Reply,
    Sampling,
    ServerTeacher,
    Teacher,
    TeacherError,
)

TEXTS = ["Hi.", "What is the capital of France?", "Name a colour, please.", "Hi."]
GREEDY = Sampling(max_tokens=6)


@pytest.fixture(scope="module")
def local(tiny_llm: Path) -> LocalTeacher:
    return LocalTeacher.load(tiny_llm, GREEDY)


class Server(ThreadingHTTPServer):
    """As much of an OpenAI server as a teacher needs, with the local teacher behind it. Knows how many ask at once."""

    def __init__(self, teacher: LocalTeacher) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.teacher, self.lock = teacher, threading.Lock()
        self.waiting = self.most = 0
        self.status = 200


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.reply({"data": [{"id": "tiny"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.waiting += 1
            self.server.most = max(self.server.most, self.server.waiting)
        with self.server.lock:
            (answer,) = self.server.teacher.answer([asked["messages"][0]["content"]])
            self.server.waiting -= 1
        reason = "stop" if answer.finished else "length"
        self.reply({"choices": [{"message": {"content": answer.text}, "finish_reason": reason}]})

    def reply(self, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(local: LocalTeacher) -> Iterator[Server]:
    with Server(local) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(params=["local", "server"])
def teacher(request: pytest.FixtureRequest, local: LocalTeacher) -> Teacher:
    if request.param == "local":
        return local
    running = request.getfixturevalue("server")
    return ServerTeacher(f"http://127.0.0.1:{running.server_port}/v1/", GREEDY, concurrency=3)


def test_a_teacher_is_named_and_answers_a_text_alike_alone_and_among_others(teacher: Teacher) -> None:
    assert teacher.name == "tiny"
    together = teacher.answer(TEXTS)
    assert together == [reply for text in TEXTS for reply in teacher.answer([text])]
    assert together[0] == together[3] != together[1]
    assert teacher.answer([]) == []


def test_an_answer_that_reaches_the_most_tokens_is_not_finished(tiny_llm: Path) -> None:
    short, long = (LocalTeacher.load(tiny_llm, Sampling(max_tokens=n)).answer(TEXTS[:1])[0] for n in (2, 6))
    assert (len(short.text), short.finished) == (2, False)
    assert long.text.startswith(short.text)


def test_an_answer_ends_at_the_models_end(tiny_llm: Path, local: LocalTeacher) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_llm), AutoTokenizer.from_pretrained(tiny_llm)
    plain = local.answer(TEXTS[:1])[0].text
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(plain[3])
    ended = LocalTeacher("ending", model, tokenizer, GREEDY, positions=100).answer(TEXTS[:1])
    assert ended == [Reply(plain[: plain.index(plain[3]) + 1], finished=True)]


def test_greedy_is_greedy_whatever_else_a_model_asks_for(tiny_llm: Path, local: LocalTeacher) -> None:
    insistent = LocalTeacher.load(tiny_llm, GREEDY)
    stated = insistent._model.generation_config
    assert stated is not None
    stated.repetition_penalty, stated.no_repeat_ngram_size = 1.5, 1
    assert insistent.answer(TEXTS) == local.answer(TEXTS)


def test_a_teacher_without_a_chat_template_is_refused_at_once(tiny_llm: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llm, tmp_path / "base", ignore=shutil.ignore_patterns("chat_template*"))
    with pytest.raises(TeacherError, match="no chat template"):
        LocalTeacher.load(tmp_path / "base", GREEDY)


def test_sampling_repeats_with_its_seed_and_differs_with_another(tiny_llm: Path) -> None:
    drawn = [
        LocalTeacher.load(tiny_llm, Sampling(max_tokens=12, temperature=1.5, seed=seed)).answer(TEXTS)
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_server_is_not_asked_by_more_than_the_bound(server: Server) -> None:
    ServerTeacher(f"http://127.0.0.1:{server.server_port}", GREEDY, concurrency=2).answer(TEXTS * 3)
    assert 1 <= server.most <= 2


def test_a_server_that_fails_is_named(server: Server) -> None:
    teacher = ServerTeacher(f"http://127.0.0.1:{server.server_port}", GREEDY, model="tiny")
    server.status = 500
    with pytest.raises(TeacherError, match=rf"teacher at http://127\.0\.0\.1:{server.server_port}/v1/chat/completions"):
        teacher.answer(TEXTS)


@pytest.mark.parametrize(
    ("reply", "whole"),
    [
        (Reply(" It is Paris.\n", finished=True), "It is Paris."),
        (Reply("It is", finished=True), "It is"),
        (Reply("It is Paris. It lies on the", finished=False), "It is Paris."),
        (Reply('He said "Yes!" and then', finished=False), 'He said "Yes!"'),
        (Reply("Here are some:\n1. Bread\n2. Milk", finished=False), ""),
        (Reply("It costs 3.50 and", finished=False), ""),
    ],
)
def test_an_unfinished_answer_is_cut_to_its_whole_sentences(reply: Reply, whole: str) -> None:
    assert reply.whole() == whole


class Counting:
    """A teacher that says how long a text is and keeps what it was asked."""

    def __init__(self, name: str = "counting", sampling: Sampling = GREEDY) -> None:
        self.name, self.sampling = name, sampling
        self.asked: list[str] = []

    def answer(self, texts: Sequence[str]) -> list[Reply]:
        self.asked += texts
        return [Reply(f"{self.name}: {len(text)}", finished=len(text) < 10) for text in texts]


def test_a_remembered_answer_is_asked_for_once_and_is_the_teachers_own(tmp_path: Path) -> None:
    teacher, path = Counting(), tmp_path / "kept" / "answers.jsonl"
    remembered = RememberedTeacher(teacher, path)
    want = Counting().answer(TEXTS)
    assert remembered.answer(TEXTS) == want
    assert teacher.asked == list(dict.fromkeys(TEXTS))
    later = Counting()
    assert RememberedTeacher(later, path).answer([*TEXTS, "More?"])[:-1] == want
    assert later.asked == ["More?"]


def test_texts_and_answers_with_other_line_ends_are_read_again(tmp_path: Path) -> None:
    texts = ["One\u2028two", "Three\x85four", "Five\r\nsix"]
    path = tmp_path / "answers.jsonl"
    want = RememberedTeacher(Counting("a\u2029b"), path).answer(texts)
    later = Counting("a\u2029b")
    assert RememberedTeacher(later, path).answer(texts) == want
    assert later.asked == []


def test_answers_of_another_teacher_or_sampling_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    RememberedTeacher(Counting(), path).answer(TEXTS)
    for other in (Counting("other"), Counting(sampling=Sampling(max_tokens=7))):
        assert RememberedTeacher(other, path).answer(TEXTS[:1])[0].text.startswith(other.name)
        assert other.asked == TEXTS[:1]


def test_a_line_cut_off_by_an_interruption_is_forgotten_and_any_other_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    RememberedTeacher(Counting(), path).answer(TEXTS)
    path.write_text(path.read_text()[:-9])
    teacher = Counting()
    RememberedTeacher(teacher, path).answer(TEXTS)
    assert len(teacher.asked) == 1
    path.write_text('{"text": "Hi."}\n')
    with pytest.raises(TeacherError, match=r"answers\.jsonl:1"):
        RememberedTeacher(teacher, path)
