"""Who answers what a user says, for the student to learn from: an LLM in this process, or one behind an OpenAI API."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar, cast

import httpx
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from textpro.data.manifest import drop_torn_line
from textpro.errors import TextProError
from textpro.packing import buckets

TIMEOUT_S = 600.0
CONNECT_RETRIES = 5
T = TypeVar("T")
# Not after the number of a list's entry.
_SENTENCE = re.compile(r".*(?<!\d)[.!?][\"')\]]*(?=\s|$)", re.DOTALL)


class TeacherError(TextProError):
    """The teacher does not answer, or with something that is no answer."""


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn: greedily at temperature 0. The same texts are answered alike with the same seed."""

    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Reply:
    """finished: false where the answer was cut at the most tokens."""

    text: str
    finished: bool

    def whole(self) -> str:
        """The answer up to its last whole sentence; empty when there is none."""
        if self.finished:
            return self.text.strip()
        sentences = _SENTENCE.match(self.text)
        return sentences[0].strip() if sentences else ""


class Teacher(Protocol):
    """An untouched text LLM, and how its answers are drawn."""

    name: str
    sampling: Sampling

    def answer(self, texts: Sequence[str]) -> list[Reply]:
        """Answers each text as the one user turn of a conversation. Raises TeacherError."""
        ...


class LocalTeacher:
    """A model of transformers, in batches."""

    def __init__(
        self,
        name: str,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        sampling: Sampling,
        *,
        positions: int,
    ) -> None:
        """positions: in a padded batch, prompts and answers together. Raises TeacherError without a chat template."""
        self.name, self.sampling = name, sampling
        self._model, self._tokenizer, self._positions = model, tokenizer, positions
        stated = model.generation_config.eos_token_id if model.generation_config else None
        ends = cast(int | list[int], tokenizer.eos_token_id if stated is None else stated)
        self._ends = set(ends) if isinstance(ends, list) else {ends}
        if not tokenizer.chat_template:
            raise TeacherError(f"{name} has no chat template: a teacher is a model that was taught to answer")
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token

    @classmethod
    def load(
        cls,
        path: Path,
        sampling: Sampling,
        *,
        name: str | None = None,
        device: str = "cpu",
        dtype: str = "auto",
        positions: int = 8192,
    ) -> Self:
        """An LLM's directory (`resolve_llm`). name: what its answers are kept under (`identity`).
        dtype: PyTorch's name, `auto` for the stored one. Raises TeacherError without a chat template."""
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
        model.to(torch.device(device)).eval()  # pyright: ignore[reportArgumentType]
        return cls(name or path.name, model, AutoTokenizer.from_pretrained(path), sampling, positions=positions)

    def answer(self, texts: Sequence[str]) -> list[Reply]:
        """See `Teacher.answer`."""
        prompts = [self._prompt(text) for text in texts]
        replies = [Reply("", True)] * len(texts)
        for batch in buckets([len(prompt) + self.sampling.max_tokens for prompt in prompts], self._positions):
            for i, tokens in zip(batch, self._generate([prompts[i] for i in batch]), strict=True):
                text = str(self._tokenizer.decode(tokens, skip_special_tokens=True))
                replies[i] = Reply(text, int(tokens[-1]) in self._ends)
        return replies

    def _prompt(self, text: str) -> list[int]:
        messages = [{"role": "user", "content": text}]
        rendered = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return list(self._tokenizer(str(rendered), add_special_tokens=False)["input_ids"])

    def _generate(self, prompts: Sequence[list[int]]) -> list[Tensor]:
        """The answers' tokens, with their end if they came to one."""
        inputs = self._tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt").to(self._model.device)
        drawn: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if self.sampling.temperature:
            drawn = {"do_sample": True, "temperature": self.sampling.temperature, "top_p": 1.0, "top_k": 0}
        drawn |= {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0}  # a model may ask for other than its own words
        if self.sampling.temperature:
            torch.manual_seed(_seed(self.sampling.seed, prompts))
        with torch.inference_mode():
            made: Any = self._model.generate(  # pyright: ignore[reportCallIssue]
                **inputs, max_new_tokens=self.sampling.max_tokens, pad_token_id=self._tokenizer.pad_token_id, **drawn
            )
        answers = made[:, inputs["input_ids"].shape[1] :].cpu()
        return [self._cut(answer) for answer in answers]

    def _cut(self, tokens: Tensor) -> Tensor:
        """Without what stands behind its first end."""
        ends = [i for i, token in enumerate(tokens.tolist()) if token in self._ends]
        return tokens[: ends[0] + 1] if ends else tokens


class ServerTeacher:
    """An OpenAI-compatible server, such as `vllm serve`, asked by a bounded number of threads."""

    def __init__(self, url: str, sampling: Sampling, *, model: str | None = None, concurrency: int = 32) -> None:
        """url: with or without the `/v1`. model: default the first that the server names. Raises TeacherError."""
        self._client = httpx.Client(
            base_url=url.rstrip("/").removesuffix("/v1") + "/v1",
            timeout=TIMEOUT_S,
            transport=httpx.HTTPTransport(retries=CONNECT_RETRIES, limits=httpx.Limits(max_connections=concurrency)),
        )
        self.sampling, self._concurrency = sampling, concurrency
        self.name = model or self._request("GET", "models", lambda body: str(body["data"][0]["id"]))

    def answer(self, texts: Sequence[str]) -> list[Reply]:
        """See `Teacher.answer`."""
        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(self._ask, texts))

    def _ask(self, text: str) -> Reply:
        body = {
            "model": self.name,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": self.sampling.max_tokens,
            "temperature": self.sampling.temperature,
            "top_p": 1.0,
            "seed": _seed(self.sampling.seed, text),
        }
        return self._request("POST", "chat/completions", _reply, json=body)

    def _request(self, method: str, path: str, read: Callable[[Any], T], **content: Any) -> T:
        try:
            response = self._client.request(method, path, **content)
            response.raise_for_status()
            return read(response.json())
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            raise TeacherError(f"the teacher at {self._client.base_url}{path} failed: {error!r}") from error


class RememberedTeacher:
    """A teacher whose answers are kept in a JSONL file: no text is asked twice, whichever encoder heard it."""

    def __init__(self, teacher: Teacher, path: Path) -> None:
        """path: may hold other teachers' answers too. Raises TeacherError for a line that is none."""
        self.name, self.sampling = teacher.name, teacher.sampling
        self._teacher, self._path = teacher, path
        self._known: dict[str, Reply] = {}
        if path.exists():
            drop_torn_line(path)
            self._read()

    def answer(self, texts: Sequence[str]) -> list[Reply]:
        """See `Teacher.answer`."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            found = dict(zip(new, self._teacher.answer(new), strict=True))
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(
                    json.dumps(
                        self._settings | {"text": text, "answer": reply.text, "finished": reply.finished},
                        ensure_ascii=False,
                    )
                    + "\n"
                    for text, reply in found.items()
                )
            # Not before they are written: what is known is what a later run will know.
            self._known |= found
        return [self._known[text] for text in texts]

    @property
    def _settings(self) -> dict[str, Any]:
        return {"teacher": self.name, "sampling": asdict(self.sampling)}

    def _read(self) -> None:
        settings = self._settings
        # By newlines alone: an answer may hold U+2028, where `splitlines` would cut it.
        with self._path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    entry = json.loads(line)
                    asked, reply = entry.pop("text"), Reply(entry.pop("answer"), entry.pop("finished"))
                except (ValueError, KeyError, AttributeError) as error:
                    raise TeacherError(f"{self._path}:{number} is no answer of a teacher: {error!r}") from error
                if entry == settings:
                    self._known[asked] = reply


def _reply(completion: Any) -> Reply:
    choice = completion["choices"][0]
    return Reply(str(choice["message"]["content"] or ""), choice["finish_reason"] != "length")


def _seed(seed: int, of: object) -> int:
    """31 bits that a seed and what it is for decide alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{of}".encode()).digest()[:4], "big") >> 1
