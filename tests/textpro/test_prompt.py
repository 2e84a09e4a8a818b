"""The two layouts and the one sequence, on a tiny tokenizer of words."""

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from torch import nn
from transformers import PreTrainedTokenizerFast

from textpro.projector import Projector
from textpro.prompt import (
    PLACEHOLDER,
    Block,
    ChatTemplate,
    PromptError,
    ProsodyRows,
    Segment,
    TextSpan,
    embed,
    group,
    interleave,
    n_positions,
    pool,
    spoken,
)

WORDS = ["<u>", "</u>", "<a>", "\n", *"abcdefghijklmnopqrstuvwxyz"]
TEMPLATE = (
    "{% for m in messages %}"
    "{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "{{ '<u>' + m.content + '</u>' }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)


@pytest.fixture
def template() -> ChatTemplate:
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="z"))
    words.pre_tokenizer = Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="z")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<u>", "</u>", "<a>"]})
    tokenizer.chat_template = TEMPLATE
    return ChatTemplate(tokenizer)


def ids(text: str) -> tuple[int, ...]:
    return tuple(WORDS.index(word) for word in text)


def shown(segments: list[Segment] | Block) -> str:
    """Tokens as they are, each row as its first value."""
    return "".join(
        "".join(WORDS[token] for token in segment.token_ids)
        if isinstance(segment, TextSpan)
        else "".join(f"[{row[0]:g}]" for row in segment.rows)
        for segment in segments
    )


def ramp(n: int) -> torch.Tensor:
    return torch.arange(n, dtype=torch.float32)[:, None].repeat(1, 2)


def test_pooling_is_the_mean() -> None:
    torch.testing.assert_close(pool(ramp(4)), torch.tensor([[1.5, 1.5]]))


def test_vectors_split_evenly_in_order() -> None:
    assert group(ramp(6), 3)[:, 0].tolist() == [0.5, 2.5, 4.5]
    assert group(ramp(3), 3)[:, 0].tolist() == [0, 1, 2]
    assert group(ramp(5), 1)[:, 0].tolist() == [2]


@pytest.mark.parametrize("n", range(1, 12))
@pytest.mark.parametrize("k", range(1, 12))
def test_every_group_has_a_value_and_all_vectors_count_when_there_are_enough(n: int, k: int) -> None:
    groups = group(ramp(n), k)[:, 0]
    assert len(groups) == k
    assert (groups.diff() >= 0).all()
    if n >= k:
        sizes = [(i + 1) * n // k - i * n // k for i in range(k)]
        assert max(sizes) - min(sizes) <= 1
        assert float((groups * torch.tensor(sizes)).sum()) == pytest.approx(sum(range(n)))


def test_a_group_without_vectors_takes_the_nearest_ones() -> None:
    assert group(ramp(1), 3)[:, 0].tolist() == [0, 0, 0]
    assert group(ramp(2), 4)[:, 0].tolist() == [0, 0, 1, 1]
    assert group(ramp(2), 5)[:, 0].tolist() == [0, 0, 1, 1, 1]


def test_interleaving_puts_a_row_before_each_r_tokens() -> None:
    assert shown(interleave(ramp(6), ids("abcdefghijkl"), 5)) == "[0.5]abcde[2.5]fghij[4.5]kl"
    assert shown(interleave(ramp(6), ids("abcde"), 5)) == "[2.5]abcde"
    assert shown(interleave(ramp(6), (), 5)) == "[2.5]"


def test_the_global_layout_is_a_row_a_newline_and_the_text(template: ChatTemplate) -> None:
    content = spoken(ramp(3), "abc", layout="global", ratio=5, tokenize=template.tokenize)
    segments = template.sequence([{"role": "user", "content": content}])
    assert shown(segments) == "<u>[1]\nabc</u><a>"
    assert n_positions(segments) == 8


def test_the_interleaved_layout_is_the_papers_without_a_newline(template: ChatTemplate) -> None:
    content = spoken(ramp(4), "abcdefg", layout="interleaved", ratio=5, tokenize=template.tokenize)
    segments = template.sequence([{"role": "user", "content": [*content, "why"]}])
    assert shown(segments) == "<u>[0.5]abcde[2.5]fg\nwhy</u><a>"


def test_every_turn_keeps_its_own_prosody(template: ChatTemplate) -> None:
    turns = [
        {"role": "user", "content": spoken(ramp(n), text, layout="global", ratio=5, tokenize=template.tokenize)}
        for n, text in ((1, "ab"), (3, "cd"))
    ]
    assert shown(template.sequence(turns, add_generation_prompt=False)) == "<u>[0]\nab</u><u>[1]\ncd</u>"


def test_without_prosody_the_sequence_is_the_text_models(template: ChatTemplate) -> None:
    (segment,) = template.sequence([{"role": "user", "content": "hello"}])
    assert shown([segment]) == "<u>hello</u><a>"


def test_a_text_with_the_placeholder_is_refused(template: ChatTemplate) -> None:
    with pytest.raises(PromptError):
        template.sequence([{"role": "user", "content": f"a{PLACEHOLDER}b"}])
    with pytest.raises(PromptError):
        template.tokenize(PLACEHOLDER)


def test_half_of_a_surrogate_pair_is_refused(template: ChatTemplate) -> None:
    with pytest.raises(PromptError):
        template.sequence([{"role": "user", "content": "a\ud800"}])
    with pytest.raises(PromptError, match=r"'a\\ud800'"):
        template.tokenize("a\ud800")


def test_messages_the_template_refuses_are_an_error_of_ours(template: ChatTemplate) -> None:
    with pytest.raises(PromptError, match="no tools here"):
        template.sequence([{"role": "tool", "content": "x"}])


def test_embedding_takes_tokens_from_the_table_and_rows_through_the_projector() -> None:
    table, projector = nn.Embedding(30, 4), Projector(2, 4)
    segments = [TextSpan((1, 2)), ProsodyRows(ramp(1)), TextSpan((3,)), ProsodyRows(ramp(3)[1:])]
    embedded = embed(segments, table, projector)
    assert embedded.shape == (n_positions(segments), 4)
    torch.testing.assert_close(embedded[[0, 1, 3]], table(torch.tensor([1, 2, 3])))
    torch.testing.assert_close(embedded[[2, 4, 5]], projector(ramp(3)[[0, 1, 2]]))
    embedded.sum().backward()
    assert projector.hidden.weight.grad is not None


def test_rows_that_are_projected_already_stay_as_they_are() -> None:
    rows = torch.randn(2, 4)
    embedded = embed([TextSpan((1,)), ProsodyRows(rows)], nn.Embedding(30, 4))
    torch.testing.assert_close(embedded[1:], rows)
