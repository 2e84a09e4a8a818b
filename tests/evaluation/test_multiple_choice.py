from typing import cast

import torch
from torch import nn

from textpro.data.turns import Turn
from textpro.evaluation.multiple_choice import Case, decide, option_scores
from textpro.prompt import embed
from textpro.slm import TextProSLM

OPTIONS = ("a cow", "a big lion", "B", "two")


def case(number: int = 0, options: tuple[str, ...] = OPTIONS, right: int = 0) -> Case:
    turn = Turn(str(number), "animals", f"Which animal gives milk {number}?", "a cow")
    prosody = torch.randn(5, 4, generator=torch.Generator().manual_seed(number)) if number % 2 else None
    return Case(str(number), "animals", turn, prosody, options, right)


def by_hand(slm: TextProSLM, one: Case, option: str) -> float:
    """The sum over the option's characters of what the LLM gives each after all before it."""
    table = cast(nn.Module, slm.llm.get_input_embeddings())
    tokens = slm.template.tokenize(option)
    prompt = embed(slm.prompt(one.turn, one.prosody), table, slm.projector)
    total = 0.0
    with torch.no_grad():
        for n, token in enumerate(tokens):
            seen = torch.cat([prompt, table(torch.tensor(tokens[:n], dtype=torch.long))])
            total += float(slm.llm(inputs_embeds=seen[None]).logits[0, -1].log_softmax(-1)[token])
    return total


def test_the_options_scores_are_the_models_own(slm: TextProSLM) -> None:
    cases = [case(0), case(1)]
    for one, scores in zip(cases, option_scores(slm, cases), strict=True):
        torch.testing.assert_close(scores, [by_hand(slm, one, option) for option in OPTIONS], rtol=1e-4, atol=1e-4)


def test_the_mean_per_token_is_the_sum_over_its_length(slm: TextProSLM) -> None:
    (sums,), (means,) = option_scores(slm, [case()]), option_scores(slm, [case()], per_token=True)
    torch.testing.assert_close(means, [total / len(option) for total, option in zip(sums, OPTIONS, strict=True)])


def test_the_likeliest_is_chosen_wherever_it_stands(slm: TextProSLM) -> None:
    cases = [case(n) for n in range(70)]  # more than one call's worth
    backward = [case(n, OPTIONS[::-1], right=3) for n in range(70)]
    forward, other = decide(slm, cases), decide(slm, backward)
    assert [outcome.id for outcome in forward] == [str(n) for n in range(70)]
    assert [outcome.chosen for outcome in forward] == [3 - cast(int, outcome.chosen) for outcome in other]
    assert [outcome.hit for outcome in forward] == [outcome.hit for outcome in other]
    scores = option_scores(slm, cases)
    assert [outcome.chosen for outcome in forward] == [row.index(max(row)) for row in scores]
