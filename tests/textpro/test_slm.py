"""TextPro-SLM on a tiny Llama: what it reads, and that batches change nothing."""

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from textpro.bundle import Bundle
from textpro.config import Layout
from textpro.data.turns import Turn
from textpro.errors import BundleError
from textpro.packing import buckets, pack
from textpro.projector import Projector
from textpro.prompt import PromptError, ProsodyRows, embed, n_positions
from textpro.slm import TextProSLM

WIDTH = 6
LAYOUTS: list[Layout] = ["global", "interleaved"]
TURNS = [
    Turn("a", "chat", "What is the capital of France?", "Paris."),
    Turn("b", "gender", "I am late.", "a man", question="Who speaks?"),
    Turn("c", "chat", "Hi!", "Hello."),
]
VECTORS = [torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(n)) for n in (7, 1, 3)]


def make(path: Path, layout: Layout = "global", *, projector: bool = True) -> TextProSLM:
    torch.manual_seed(1)
    llm = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(path)
    return TextProSLM(llm, tokenizer, Projector(WIDTH, 16) if projector else None, layout=layout, ratio=5).eval()


def prompts(slm: TextProSLM) -> list:
    return [slm.prompt(turn, rows) for turn, rows in zip(TURNS, VECTORS, strict=True)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_embedded_batch_is_what_is_served(tiny_llm: Path, layout: Layout) -> None:
    slm = make(tiny_llm, layout)
    served = [embed(p, cast(nn.Module, slm.llm.get_input_embeddings()), slm.projector) for p in prompts(slm)]
    for pad_left in (False, True):
        packed = pack(prompts(slm), pad_left=pad_left)
        embedded = slm.embed(packed)
        for row, want in enumerate(served):
            torch.testing.assert_close(embedded[row][packed.real[row]], want)


def test_prosody_of_another_width_is_refused(tiny_llm: Path) -> None:
    with pytest.raises(PromptError, match="reads 6 values, the prosody has 4"):
        make(tiny_llm).prompt(TURNS[0], torch.zeros(2, 4))


def test_typed_turns_leave_a_projector_a_gradient_of_zero(tiny_llm: Path) -> None:
    slm = make(tiny_llm)
    packed = pack([slm.prompt(turn, None) for turn in TURNS])
    assert slm.projector is not None
    with torch.no_grad():
        read = slm.embed(packed)
    trained = slm.embed(packed)
    torch.testing.assert_close(trained, read, rtol=0, atol=0)
    trained.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in slm.projector.parameters())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_prefix_read_once_for_all_gives_the_logits_and_gradients_of_one_read_by_each(
    tiny_llm: Path, layout: Layout
) -> None:
    slm = make(tiny_llm, layout).train()
    packed = pack(prompts(slm))
    assert 1 < packed.prefix < min(map(n_positions, prompts(slm)))
    length = packed.ids.shape[1]
    places = torch.tensor([row * length + n_positions(prompt) - 1 for row, prompt in enumerate(prompts(slm))])
    found = []
    for once in (True, False):
        slm.reads_prefix_once = once
        slm.zero_grad()
        logits = slm(packed, places)
        logits.log_softmax(-1)[:, 5].sum().backward()
        found.append((logits.detach(), {name: value.grad for name, value in slm.named_parameters()}))
    (logits, gradients), (want, expected) = found
    torch.testing.assert_close(logits, want, rtol=1e-4, atol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-5)


def test_the_same_prompt_twice_shares_no_more_than_comes_before_its_answer(tiny_llm: Path) -> None:
    slm = make(tiny_llm, projector=False)
    twice = pack([slm.prompt(TURNS[0], None)] * 2)
    places = torch.arange(twice.ids.numel())
    alone = slm(pack([slm.prompt(TURNS[0], None)]), places[: len(places) // 2])
    torch.testing.assert_close(slm(twice, places), torch.cat([alone, alone]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_log_likelihoods_are_the_models_own_alone_and_in_a_batch(tiny_llm: Path, layout: Layout) -> None:
    slm = make(tiny_llm, layout)
    continuations = [slm.answer(turn) for turn in TURNS]
    together = slm.log_likelihoods(prompts(slm), continuations)
    for prompt, continuation, got in zip(prompts(slm), continuations, together, strict=True):
        table = slm.llm.get_input_embeddings()
        inputs = torch.cat([embed(prompt, table, slm.projector), table(torch.tensor(continuation))])
        logp = slm.llm(inputs_embeds=inputs[None]).logits[0].log_softmax(-1)[len(inputs) - len(continuation) - 1 : -1]
        want = logp.gather(1, torch.tensor(continuation)[:, None]).sum()
        torch.testing.assert_close(got, want.detach())
        torch.testing.assert_close(slm.log_likelihoods([prompt], [continuation])[0], got)


def test_options_of_one_question_share_one_pass(tiny_llm: Path) -> None:
    slm = make(tiny_llm)
    rows: list[int] = []
    slm.llm.base_model.register_forward_pre_hook(
        lambda _, __, kwargs: rows.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    prompt = prompts(slm)[0]
    options = [[5], [6], [7, 8, 9], [7, 8, 10, 11], []]
    together = slm.log_likelihoods([prompt] * 5, options)
    assert rows == [1]
    apart = torch.stack([slm.log_likelihoods([list(prompt)], [option])[0] for option in options])
    torch.testing.assert_close(together, apart)
    assert together[4] == 0


def test_options_of_several_questions_do_not_see_each_other(tiny_llm: Path) -> None:
    slm = make(tiny_llm)
    asked = [prompt for prompt in prompts(slm) for _ in range(3)]
    options = [[5, 6, 7], [8, 6], [9, 10, 11, 12]] * len(prompts(slm))
    apart = torch.stack([slm.log_likelihoods([one], [option])[0] for one, option in zip(asked, options, strict=True)])
    torch.testing.assert_close(slm.log_likelihoods(asked, options), apart)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_answers_in_a_batch_are_the_answers_alone(tiny_llm: Path, layout: Layout) -> None:
    slm = make(tiny_llm, layout)
    together = slm.generate(prompts(slm), max_tokens=12)
    assert together == [slm.generate([prompt], max_tokens=12)[0] for prompt in prompts(slm)]
    assert any(together)


def test_generating_takes_the_likeliest_token_and_stops_at_an_end(tiny_llm: Path) -> None:
    slm = make(tiny_llm)
    for prompt in prompts(slm):
        (answer,) = slm.generate([prompt], max_tokens=8)
        first = slm.template.tokenize(answer)[0]
        assert int(slm.log_likelihoods([prompt] * 98, [[token] for token in range(98)]).argmax()) == first
        assert slm.llm.generation_config is not None
        slm.llm.generation_config.eos_token_id = [slm.end_id, first]
        assert slm.generate([prompt], max_tokens=8) == [""]
        slm.llm.generation_config.eos_token_id = slm.end_id


def test_without_a_projector_it_is_the_text_model(tiny_llm: Path) -> None:
    slm, text = make(tiny_llm), make(tiny_llm, projector=False)
    for turn, rows in zip(TURNS, VECTORS, strict=True):
        heard, read = text.prompt(turn, rows), slm.prompt(turn, None)
        assert not any(isinstance(segment, ProsodyRows) for segment in [*heard, *read])
        said = [{"role": "user", "content": "\n".join(filter(None, (turn.transcript, turn.question)))}]
        want = text.tokenizer.apply_chat_template(said, add_generation_prompt=True, return_dict=False)
        assert [token for segment in heard for token in segment.token_ids] == want
        torch.testing.assert_close(
            text.log_likelihoods([heard], [text.answer(turn)]), slm.log_likelihoods([read], [slm.answer(turn)])
        )


def test_prosody_changes_what_is_likely(tiny_llm: Path) -> None:
    slm = make(tiny_llm)
    heard = [slm.prompt(TURNS[0], rows) for rows in VECTORS]
    likely = slm.log_likelihoods(heard, [slm.answer(TURNS[0])] * 3)
    assert likely.unique().numel() == 3


def test_a_projector_for_another_llm_is_refused(tiny_llm: Path) -> None:
    llm, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_llm), AutoTokenizer.from_pretrained(tiny_llm)
    with pytest.raises(BundleError, match="embeddings have 16"):
        TextProSLM(llm, tokenizer, Projector(WIDTH, 8))


def test_a_bundle_is_loaded_with_its_projector_and_layout(tiny_llm: Path, bundle: Bundle, tmp_path: Path) -> None:
    slm = TextProSLM.load(bundle, tmp_path, llm=str(tiny_llm))
    assert slm.projector is None
    assert slm.layout == bundle.config.layout


@pytest.mark.parametrize("lengths", [[], [9], [3, 1, 2, 5, 4, 20, 1], [2] * 11])
def test_buckets_hold_everything_once_within_their_bound(lengths: list[int]) -> None:
    made = buckets(lengths, 10)
    assert sorted(i for bucket in made for i in bucket) == list(range(len(lengths)))
    for bucket in made:
        assert len(bucket) == 1 or len(bucket) * max(lengths[i] for i in bucket) <= 10


def test_packed_positions_are_the_sequences(tiny_llm: Path) -> None:
    packed = pack(prompts(make(tiny_llm, "interleaved")))
    assert packed.real.sum(1).tolist() == [n_positions(p) for p in prompts(make(tiny_llm, "interleaved"))]
    assert int(packed.soft.sum()) == len(packed.rows)
