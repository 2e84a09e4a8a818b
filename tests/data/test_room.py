"""A quiet room around a voice."""

from dataclasses import replace
from random import Random

import numpy as np

from textpro.audio import SAMPLE_RATE
from textpro.data.room import FULL_SCALE, LOUDEST_DBFS, QUIETEST_DBFS, Room
from textpro.data.synthesis import plan
from textpro.data.voices import voices
from textpro.guards import loudest_dbfs

VOICE = (8000 * np.sin(np.arange(SAMPLE_RATE))).astype(np.int16)
ROOM = Room(0.5, 0.25, -70.0, seed=1)


def test_a_clip_is_there_between_two_silences() -> None:
    clip = ROOM.around(VOICE)
    assert clip.dtype == np.int16
    assert len(clip) == len(VOICE) + 0.75 * SAMPLE_RATE
    voice = clip[SAMPLE_RATE // 2 :][: len(VOICE)]
    assert np.abs(voice.astype(int) - VOICE).max() < 100
    quiet = clip[: SAMPLE_RATE // 2] / FULL_SCALE
    assert -73 < loudest_dbfs(quiet) < -67


def test_the_same_room_sounds_the_same() -> None:
    np.testing.assert_array_equal(ROOM.around(VOICE), ROOM.around(VOICE))
    assert (ROOM.around(VOICE) != replace(ROOM, seed=2).around(VOICE)).any()


def test_rooms_are_drawn_within_their_bounds() -> None:
    rooms = [Room.draw(0.6, Random(seed)) for seed in range(50)]
    for room in rooms:
        assert 0 <= room.before_s <= 0.6
        assert 0 <= room.after_s <= 0.6
        assert QUIETEST_DBFS <= room.level_dbfs <= LOUDEST_DBFS
    assert len({room.before_s for room in rooms}) > 40


def test_a_corpus_has_rooms_when_asked_and_all_else_stays() -> None:
    plain, roomy = (list(plan(["Hello."], voices("seen"), clips=20, seed=3, room_s=room_s)) for room_s in (0.0, 0.6))
    assert [replace(job, room=None) for job in roomy] == plain
    assert all("room_s" in job.labels() for job in roomy)
    assert not any("room_s" in job.labels() for job in plain)
