import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from textpro.training.teachers import LocalTeacher, Reply, Sampling, ServerTeacher, Teacher, TeacherError

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
