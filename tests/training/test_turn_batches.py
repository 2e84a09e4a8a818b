import os
import resource
from collections import Counter
from pathlib import Path

import pytest
import torch

from textpro.data.turns import Turn, TurnsWriter
from textpro.errors import TrainingError
from textpro.projector import Projector
from textpro.prompt import ChatTemplate, ProsodyRows, n_positions
from textpro.slm import TextProSLM
from textpro.training.student import load_student
from textpro.training.turn_batches import TurnBatch, TurnBatches, TurnPlan, TurnSource


@pytest.fixture
def slm(tiny_llm: Path) -> TextProSLM:
    slm = load_student(tiny_llm, layout="global", ratio=5, dtype=torch.float32)
    torch.manual_seed(0)
    slm.projector = Projector(6, 16)
    return slm


def heard(batches: TurnBatches, step: int) -> dict[str, tuple[float, ...]]:
    """What the projector reads of each turn of an update; nothing of the typed."""
    prompts = {batches._turns[i][1].id: batches._example([i], step).prompt for i in batches.drawn(step)}
    rows = {turn: [part.rows for part in prompt if isinstance(part, ProsodyRows)] for turn, prompt in prompts.items()}
    return {turn: tuple(value for part in parts for value in part.flatten().tolist()) for turn, parts in rows.items()}


def ids(batches: TurnBatches, step: int) -> list[str]:
    return [batches._turns[i][1].id for i in batches.drawn(step)]


def test_an_epoch_has_each_turn_as_often_as_its_folder_weighs(slm: TextProSLM, chats: Path, voices: Path) -> None:
    sources = [TurnSource(chats, 2), TurnSource(voices, 0.5)]
    batches = TurnBatches(sources, slm, TurnPlan(global_batch=2, seed=7))
    assert batches.turns_per_epoch == 22
    first, second = ([turn for step in range(11 * e, 11 * e + 11) for turn in ids(batches, step)] for e in (0, 1))
    for epoch in (first, second):
        assert Counter(turn for turn in epoch if "chat" in turn) == {f"chat-{i}": 2 for i in range(8)}
        assert sum("voice" in turn for turn in epoch) == 6
    assert first != second
    assert Counter(turn for turn in first + second if "voice" in turn) == {f"voice-{i}": 1 for i in range(12)}


def test_a_step_is_drawn_from_seed_and_step_alone(slm: TextProSLM, chats: Path) -> None:
    plan = TurnPlan(global_batch=3, seed=1)
    whole, again = (TurnBatches([TurnSource(chats)], slm, plan) for _ in range(2))
    forward = [ids(whole, step) for step in range(9)]
    assert [ids(again, step) for step in reversed(range(9))] == forward[::-1]
    assert forward != [ids(TurnBatches([TurnSource(chats)], slm, TurnPlan(3, seed=2)), step) for step in range(9)]


@pytest.mark.parametrize("positions", [1, 300, 10_000])
def test_processes_share_an_update_evenly_within_their_bound(
    slm: TextProSLM, chats: Path, voices: Path, positions: int
) -> None:
    sources, plan = [TurnSource(chats), TurnSource(voices)], TurnPlan(global_batch=20, positions=positions)
    shares = [TurnBatches(sources, slm, plan, rank=rank, world=2)[0] for rank in range(2)]
    assert len(shares[0]) == len(shares[1])  # as many passes: a sharded model gathers its weights in each
    tasks = Counter(task for share in shares for batch in share for task in batch.tasks)
    assert tasks == {"chat": 8, "gender": 12}
    for batch in shares[0] + shares[1]:
        assert len(batch) == 1 or batch.student.packed.ids.numel() <= positions
        assert batch.n_turns == 10


def answers(slm: TextProSLM, batch: TurnBatch) -> list[str]:
    found = [batch.labels[batch.owners == i].tolist() for i in range(len(batch))]
    assert all(tokens[-1] == slm.end_id for tokens in found)
    return [str(slm.tokenizer.decode(tokens, skip_special_tokens=True)) for tokens in found]


def test_places_foretell_the_labels_of_each_prompt(slm: TextProSLM, chats: Path) -> None:
    batches = TurnBatches([TurnSource(chats)], slm, TurnPlan(global_batch=8), with_teacher=True)
    (batch,) = batches[0]
    turns = {turn.answer: turn for _, turn in batches._turns}
    for side in (batch.student, batch.teacher):
        assert side is not None
        length = side.packed.ids.shape[1]
        for i, answer in enumerate(answers(slm, batch)):
            places = side.places[batch.owners == i] - i * length
            rows = side.packed.soft[i].any()
            prompt = slm.prompt(turns[answer], torch.zeros(1, 6) if rows else None)
            assert places.tolist() == list(range(n_positions(prompt) - 1, n_positions(prompt) + len(answer)))
            # What stands behind a place is the token it foretells; the end stands nowhere.
            following = side.packed.ids[i, places[:-1] + 1]
            assert following.tolist() == batch.labels[batch.owners == i][:-1].tolist()


def test_only_distilled_turns_have_a_teacher_and_it_reads_text(slm: TextProSLM, chats: Path, voices: Path) -> None:
    sources = [TurnSource(chats), TurnSource(voices)]
    (batch,) = TurnBatches(sources, slm, TurnPlan(global_batch=20, positions=10**6), with_teacher=True)[0]
    assert batch.teacher is not None
    assert len(batch.teacher.packed) == 8
    assert not batch.teacher.packed.soft.any()
    assert int(batch.distilled.sum()) == len(batch.teacher.places)
    assert batch.student.packed.soft.sum() == 19  # one row each, but for the typed turn
    (alone,) = TurnBatches([TurnSource(voices)], slm, TurnPlan(4, 10**6), with_teacher=True)[0]
    assert alone.teacher is None


def test_a_teacher_reads_the_words_that_it_answered(slm: TextProSLM, tmp_path: Path) -> None:
    misheard = Turn("a", "chat", "Hi!", "Good day.", asked="Hey!")
    TurnsWriter(tmp_path).add(0, [misheard], {})
    (batch,) = TurnBatches([TurnSource(tmp_path)], slm, TurnPlan(1), with_teacher=True)[0]
    assert batch.teacher is not None
    read = [slm.tokenizer.decode(side.packed.ids[0]) for side in (batch.student, batch.teacher)]
    assert ["Hi!" in text for text in read] == [True, False]
    assert ["Hey!" in text for text in read] == [False, True]
    foretold = [side.packed.ids.flatten()[side.places[1:]].tolist() for side in (batch.student, batch.teacher)]
    assert foretold[0] == foretold[1] == slm.answer(misheard)[:-1]


def test_processes_ask_a_teacher_equally_often(slm: TextProSLM, chats: Path, voices: Path) -> None:
    sources, plan = [TurnSource(chats), TurnSource(voices)], TurnPlan(global_batch=20, positions=1)
    shares = [TurnBatches(sources, slm, plan, with_teacher=True, rank=rank, world=2)[0] for rank in range(2)]
    asked = [[batch.teacher is not None for batch in share] for share in shares]
    assert asked[0] == asked[1]
    assert any(asked[0])
    idle = [batch for share in shares for batch in share if batch.teacher is not None and not batch.distilled.any()]
    assert all(not len(batch.teacher.places) for batch in idle if batch.teacher is not None)
    assert idle


def test_weights_let_every_turn_count_alike_and_long_answers_are_cut(slm: TextProSLM, chats: Path) -> None:
    (batch,) = TurnBatches([TurnSource(chats)], slm, TurnPlan(global_batch=8, max_answer=5))[0]
    torch.testing.assert_close(torch.zeros(8).index_add(0, batch.owners, batch.weights), torch.ones(8))
    assert max(Counter(batch.owners.tolist()).values()) == 5


def test_workers_make_the_same_batches(slm: TextProSLM, chats: Path) -> None:
    batches = TurnBatches([TurnSource(chats)], slm, TurnPlan(global_batch=4))
    for alone, made in zip(batches.loader(2, 5), batches.loader(2, 5, workers=1), strict=True):
        assert [batch.labels.tolist() for batch in alone] == [batch.labels.tolist() for batch in made]


def test_an_update_of_many_batches_needs_not_that_few_open_files(slm: TextProSLM, chats: Path, voices: Path) -> None:
    batches = TurnBatches([TurnSource(chats), TurnSource(voices)], slm, TurnPlan(global_batch=20, positions=1))
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 50, most))
    try:
        loader = batches.loader(0, 3, workers=1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == most  # with less the worker would wait for ever
        updates = list(loader)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))
    assert [len(update) for update in updates] == [20, 20, 20]


@pytest.fixture
def talker(slm: TextProSLM) -> TextProSLM:
    """One whose chat template shows an answer as it was asked for, as all but our tiny LLM's do."""
    assert isinstance(slm.tokenizer.chat_template, str)
    slm.tokenizer.chat_template = slm.tokenizer.chat_template.replace(
        "<|im_start|>assistant\\n{%", "{{ '<|im_start|>assistant\\n' }}{%"
    )
    slm.template = ChatTemplate(slm.tokenizer)
    return slm


def test_a_template_that_shows_answers_otherwise_is_refused(slm: TextProSLM, voices: Path) -> None:
    batches = TurnBatches([TurnSource(voices)], slm, TurnPlan(global_batch=4, conversation=2))
    with pytest.raises(TrainingError, match="does not repeat the answer"):
        [batches[step] for step in range(8)]


def test_turns_of_a_conversation_follow_one_another(talker: TextProSLM, chats: Path, voices: Path) -> None:
    slm, sources = talker, [TurnSource(chats), TurnSource(voices)]
    plan = TurnPlan(global_batch=20, positions=10**6, conversation=2)
    batches = TurnBatches(sources, slm, plan, with_teacher=True)
    sizes: Counter[int] = Counter()
    for step in range(8):
        (batch,) = batches[step]
        assert Counter(batch.tasks) == Counter(batches._turns[i][1].task for i in batches.drawn(step))
        sizes[len(batch.tasks) // len(batch.student.packed)] += 1
        told = {turn.answer: turn for _, turn in batches._turns}
        assert all(answer in told for answer in answers(slm, batch))
        for side, mask in ((batch.student, slice(None)), (batch.teacher, batch.distilled)):
            assert side is not None
            # What stands behind a place is the token it foretells, wherever in the conversation its answer is.
            inner = batch.labels[mask] != slm.end_id
            assert side.packed.ids.flatten()[side.places + 1][inner].tolist() == batch.labels[mask][inner].tolist()
    assert sizes.keys() == {1, 2}


def test_a_teacher_s_turns_can_have_any_voice_but_the_others_keep_theirs(
    slm: TextProSLM, chats: Path, voices: Path
) -> None:
    sources = [TurnSource(chats), TurnSource(voices)]
    own, mixed, again = (TurnBatches(sources, slm, TurnPlan(20, exchange=share)) for share in (0.0, 1.0, 1.0))
    known = set(heard(own, 0).values())
    seen: dict[str, set[tuple[float, ...]]] = {}
    for step in range(4):
        assert heard(mixed, step) == heard(again, step)
        for turn, rows in heard(mixed, step).items():
            assert rows in known
            seen.setdefault(turn, set()).add(rows)
            assert "chat" in turn or rows == heard(own, step)[turn]
    assert len(seen["chat-0"]) > 1
    assert seen["chat-5"] == {()}  # typed


def test_processes_share_conversations_evenly(talker: TextProSLM, voices: Path) -> None:
    plan = TurnPlan(global_batch=8, positions=200, conversation=4)
    ranks = [TurnBatches([TurnSource(voices)], talker, plan, rank=rank, world=2) for rank in range(2)]
    for step in range(6):
        shares = [batches[step] for batches in ranks]
        assert len(shares[0]) == len(shares[1])
        assert [sum(map(len, share)) for share in shares] == [4, 4]


def test_what_can_not_be_drawn_is_said(slm: TextProSLM, chats: Path, tmp_path: Path) -> None:
    (tmp_path / "turns.jsonl").write_text("")
    with pytest.raises(TrainingError, match="nothing to learn"):
        TurnBatches([TurnSource(tmp_path)], slm, TurnPlan())
    with pytest.raises(TrainingError, match="0 to 1, not 2"):
        TurnBatches([TurnSource(chats)], slm, TurnPlan(exchange=2))
    with pytest.raises(TrainingError, match="can't share 3 turns"):
        TurnBatches([TurnSource(chats)], slm, TurnPlan(3), world=2)
