"""What a client has heard of the sound that it was sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.playback import Playback


def test_sound_that_was_sent_ahead_is_heard_in_its_own_time() -> None:
    playback = Playback()
    for _ in range(10):
        playback.add("a", 0.5, 100.0)
    assert playback.ends_s == 105.0
    assert playback.cut(102.0) == {"a": 2.0}
    assert playback.cut(102.0) == {}


def test_a_gap_is_not_heard() -> None:
    playback = Playback()
    playback.add("a", 1.0, 0.0)
    playback.add("a", 1.0, 5.0)
    assert playback.cut(5.25) == {"a": 1.25}


def test_what_was_played_to_its_end_is_not_cut() -> None:
    playback = Playback()
    playback.add("a", 1.0, 0.0)
    assert playback.cut(1.0) == {}


def test_an_answer_plays_behind_the_one_before() -> None:
    playback = Playback()
    playback.add("a", 2.0, 0.0)
    playback.add("b", 3.0, 1.0)
    assert playback.cut(1.5) == {"a": 1.5, "b": 0.0}


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.floats(0.01, 2), st.floats(0, 3)),
        max_size=20,
    ),
    st.floats(0, 5),
)
def test_nobody_hears_more_than_was_sent_or_than_there_was_time_for(
    sent: list[tuple[str, float, float]], after_s: float
) -> None:
    playback, now_s, total = Playback(), 0.0, {"a": 0.0, "b": 0.0}
    for item_id, seconds, wait_s in sent:
        now_s += wait_s
        playback.add(item_id, seconds, now_s)
        total[item_id] += seconds
    ends_s, now_s = playback.ends_s, now_s + after_s
    heard = playback.cut(now_s)
    assert all(0 <= seconds < total[item_id] for item_id, seconds in heard.items())
    assert sum(heard.values()) <= now_s + 1e-6
    assert bool(heard) == (ends_s > now_s) or ends_s == pytest.approx(now_s)
    assert playback.ends_s < now_s or not sent
