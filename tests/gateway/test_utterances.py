"""Where a recording is cut: laws that hold for every course of voice, and the cases they do not tell."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.silero import WINDOW_MS
from services.gateway.utterances import Cutting, Utterance, Utterances

CUTTING = Cutting()
PAUSE, MARGIN, LONGEST = (round(ms / WINDOW_MS) for ms in (CUTTING.pause_ms, CUTTING.margin_ms, CUTTING.longest_ms))
runs = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.4, 0.6, 0.95]), st.integers(1, 400)), max_size=30)


def cut(*course: tuple[float, int]) -> list[Utterance]:
    """course: (voice probability, windows) one after the other."""
    utterances = Utterances()
    found = [utterances.hear(speech) for speech, count in course for _ in range(count)]
    return [utterance for utterance in (*found, utterances.end()) if utterance is not None]


def test_an_utterance_is_the_speech_between_pauses_and_is_heard_with_its_margins() -> None:
    assert cut((0, 100), (0.9, 50), (0, 100), (0.9, 30)) == [
        Utterance(100, 150, 100 - MARGIN, 150 + MARGIN),
        Utterance(250, 280, 250 - MARGIN, 280),
    ]


def test_a_short_pause_does_not_part_what_belongs_together() -> None:
    assert [(each.first, each.last) for each in cut((0.9, 20), (0, PAUSE - 1), (0.9, 20), (0, 100))] == [
        (0, 40 + PAUSE - 1)
    ]


def test_doubtful_windows_go_on_with_speech_but_do_not_begin_it() -> None:
    assert [(each.first, each.last) for each in cut((0.4, 20), (0.9, 20), (0.4, 20), (0, 100))] == [(20, 60)]


def test_where_nobody_speaks_nothing_is_found() -> None:
    assert cut() == cut((0, 1000)) == cut((0.45, 1000)) == []


def test_a_click_is_no_speech() -> None:
    assert cut((0, 50), (0.9, 1), (0, 100)) == []


def test_speech_without_a_pause_is_cut_where_the_voice_is_weakest() -> None:
    first, second = cut((0.9, LONGEST - 100), (0.4, 1), (0.9, 300), (0, 100))
    assert (first.last, second.first) == (LONGEST - 100, LONGEST - 100)
    assert second.last == LONGEST + 201


@given(runs)
def test_utterances_are_in_order_bounded_and_do_not_overlap(course: list[tuple[float, int]]) -> None:
    n_windows, found = sum(count for _, count in course), cut(*course)
    for each in found:
        assert 0 <= each.heard_first <= each.first < each.last <= each.heard_last <= n_windows
        assert each.heard_last - each.heard_first <= LONGEST + MARGIN
    for before, after in pairwise(found):
        assert before.heard_last <= after.heard_first


@given(runs)
def test_all_sure_speech_of_some_length_is_heard(course: list[tuple[float, int]]) -> None:
    speech = [value for value, count in course for _ in range(count)]
    heard = {window for each in cut(*course) for window in range(each.heard_first, each.heard_last)}
    sure = [i for i, value in enumerate(speech) if value == 0.95]
    alone = [i for i in sure if sum(speech[j] == 0.95 for j in range(max(0, i - 3), i + 4) if j < len(speech)) < 4]
    assert set(sure) - set(alone) <= heard
