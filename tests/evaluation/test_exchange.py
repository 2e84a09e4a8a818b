from collections.abc import Callable

import pytest
import torch

from textpro.data.speech_qa import questions
from textpro.data.turns import Turn
from textpro.evaluation.exchange import exchanged, facts
from textpro.evaluation.modality_gap import Asked
from textpro.evaluation.multiple_choice import Case, decide

LABELS = ("angry", "calm", "sad")


def voice(clip: str, words: str, label: int, labels: tuple[str, ...] = LABELS, right: int | None = None) -> Case:
    """A clip whose prosody says its label's number."""
    turn = Turn(f"{clip}#0", "style", words, "", "How?", f"00000/{clip}")
    options = tuple(f"You sound {name}." for name in labels)
    return Case(
        turn.id, "style", turn, torch.full((3, 4), float(label)), options, label if right is None else right, labels
    )


CLIPS = [voice(f"{words}{label}", f"{words}.", label) for words in "ab" for label in range(3)]


def test_another_clip_of_the_same_words_lends_its_prosody_and_its_label_is_right_now() -> None:
    by_clip = {str(case.turn.prosody).partition("/")[2]: case for case in CLIPS}
    made = exchanged(CLIPS)
    assert len(made) == len(CLIPS)
    for before, after in zip(CLIPS, made, strict=True):
        donor = by_clip[after.id.split(" with ")[1]]
        assert after.turn == before.turn
        assert donor.turn.transcript == before.turn.transcript
        assert after.prosody is donor.prosody
        assert after.right == donor.right != before.right


def test_without_the_same_words_other_ones_do_and_without_another_label_none() -> None:
    (made, _) = exchanged([voice("a0", "A.", 0), voice("b1", "B.", 1)])
    assert (made.turn.transcript, made.right) == ("A.", 1)
    assert exchanged([voice("a0", "A.", 0), voice("b0", "A.", 0)]) == []


def test_offers_take_the_label_they_cover() -> None:
    either = voice("c", "a.", 1, ("calm", "upset"), right=0)
    made = exchanged([*CLIPS, either])[-1]
    assert made.right == 1
    assert float(made.prosody.mean()) in (0.0, 2.0)  # angry or sad, both of which are upset


def test_the_same_seed_exchanges_the_same() -> None:
    assert [case.id for case in exchanged(CLIPS, seed=1)] == [case.id for case in exchanged(CLIPS, seed=1)]


def test_a_clip_that_is_missing_changes_no_exchange_but_its_own() -> None:
    clips = [voice(f"{i}", f"{i % 4}.", i % 3) for i in range(60)]
    missing = clips[7]
    whole, rest = exchanged(clips), exchanged([clip for clip in clips if clip is not missing])
    untouched = [case.id for case in whole if "7" not in (case.turn.id.partition("#")[0], case.id.split(" with ")[1])]
    assert set(untouched) <= {case.id for case in rest}
    assert len(untouched) > 50


@pytest.mark.parametrize(("hears", "share"), [(True, 1.0), (False, 0.0)])
def test_who_hears_the_prosody_follows_it_and_who_reads_the_words_does_not(
    clear: Callable, hears: bool, share: float
) -> None:
    known = {case.turn.id: case.labels[case.right] for case in CLIPS}

    def likes(turn: Turn, prosody: torch.Tensor, option: str) -> float:
        return float((LABELS[round(float(prosody.mean()))] if hears else known[turn.id]) in option)

    outcomes = decide(clear(likes), exchanged(CLIPS))
    assert sum(outcome.hit for outcome in outcomes) / len(outcomes) == share


@pytest.mark.parametrize("shaken", [True, False])
def test_facts_stay_where_prosody_does_not_matter(clear: Callable, shaken: bool) -> None:
    known = questions()[:8]
    heard = [Asked(str(i), one, one.question, torch.zeros(2, 4)) for i, one in enumerate(known)]
    heard.append(Asked("silent", known[0], "", None))

    def likes(turn: Turn, prosody: torch.Tensor, option: str) -> float:
        right = float(option == turn.answer)
        return -right if shaken and prosody.any() else right

    outcomes = facts(clear(likes), heard, [torch.ones(3, 4)])
    assert [outcome.hit for outcome in outcomes] == [not shaken] * 8
