"""The decode loop and the text stream, on a tiny random model and SmolLM2's tokenizer."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from services.llm.generation import PREFILL_SLICE, Generation, Sampling, choose
from services.llm.text_stream import TextStream


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=64, max_position_embeddings=2048, **sizes)).eval()


@pytest.fixture(scope="module")
def tokenizer(model_dir: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(model_dir)


def tokens_of(generation: Generation) -> list[int]:
    tokens: list[int] = []
    while generation.finish_reason is None:
        token = generation.step()
        tokens += [] if token is None else [token]
    return tokens


def test_a_sliced_prefill_and_a_cache_give_what_full_passes_give(model: LlamaForCausalLM) -> None:
    prompt = torch.randn(2 * PREFILL_SLICE + 7, 16, generator=torch.Generator().manual_seed(1))
    sampling = Sampling(max_tokens=6, temperature=0)
    sliced = tokens_of(Generation(model, lambda: prompt, sampling, frozenset()))
    whole = prompt
    expected: list[int] = []
    with torch.inference_mode():
        for _ in range(6):
            expected.append(int(model(inputs_embeds=whole[None]).logits[0, -1].argmax()))
            whole = torch.cat([whole, model.get_input_embeddings()(torch.tensor(expected[-1:]))])
    assert sliced == expected


def test_the_end_token_ends_the_answer_counts_and_is_not_shown(model: LlamaForCausalLM) -> None:
    prompt = torch.randn(5, 16, generator=torch.Generator().manual_seed(2))
    free = tokens_of(Generation(model, lambda: prompt, Sampling(max_tokens=8, temperature=0), frozenset()))
    ended = Generation(model, lambda: prompt, Sampling(max_tokens=8, temperature=0), frozenset({free[3]}))
    first = free.index(free[3])
    assert tokens_of(ended) == free[:first]
    assert (ended.finish_reason, ended.n_tokens) == ("stop", first + 1)


def test_top_p_draws_only_from_the_smallest_set_that_holds_its_mass() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    random = torch.Generator().manual_seed(0)
    drawn = {choose(logits, Sampling(max_tokens=1, top_p=0.75), random) for _ in range(200)}
    assert drawn == {0, 1}
    assert {choose(logits, Sampling(max_tokens=1, top_p=0.01), random) for _ in range(20)} == {0}


def test_temperature_zero_takes_the_likeliest() -> None:
    assert choose(torch.tensor([0.0, 2.0, 1.0]), Sampling(max_tokens=1, temperature=0), torch.Generator()) == 1


@pytest.mark.parametrize("text", ["Grüße aus Köln 🎙️🎙️ und 東京!", " leading and  double spaces\n\n", "plain"])
def test_pieces_joined_are_the_text_and_hold_whole_characters(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    stream = TextStream(tokenizer)
    pieces = [stream.push(token) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert "".join([*pieces, stream.flush()]) == text
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize(
    ("stop", "expected"),
    [("two", "one "), ("o t", "one tw"), ("three four", "one two "), ("x", "one two three four five")],
)
def test_nothing_of_a_stop_string_is_ever_shown(tokenizer: PreTrainedTokenizerBase, stop: str, expected: str) -> None:
    stream = TextStream(tokenizer, [stop])
    ids = tokenizer("one two three four five", add_special_tokens=False)["input_ids"]
    assert "".join([*map(stream.push, ids), stream.flush()]) == expected
    assert stream.stopped == (stop != "x")


def test_the_beginning_of_a_stop_string_that_never_comes_is_shown_at_the_end(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    stream = TextStream(tokenizer, ["end of all"])
    shown = "".join(stream.push(token) for token in tokenizer("the end of", add_special_tokens=False)["input_ids"])
    assert shown == "the "
    assert stream.flush() == "end of"
