"""The turn machine: whose turn it is, in every order in which things may happen."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.gateway import turn_actions as do
from services.gateway import turn_events as told
from services.gateway.turn import SAMPLES_PER_MS
from services.gateway.turn_settings import TurnSettings
from tests.gateway.turn_room import FRAME, FRAME_MS, Room

STANDARD = TurnSettings()
MANUAL = TurnSettings(detect=False)


@pytest.fixture
def room() -> Room:
    return Room()


def paused(room: Room, text: str = "What is the capital of France?", *, pause_ms: float | None = 320) -> Room:
    """Somebody said something, and the pause is long enough for an eager answer."""
    room.silence(320)
    room.speak(960)
    room.silence(STANDARD.eager_ms)
    room.heard(text, pause_ms=pause_ms)
    return room


def answering(room: Room) -> Room:
    """An answer is being shown."""
    paused(room).silence(400)
    room.piece("The capital")
    return room


def test_an_answer_is_made_in_the_pause_and_shown_when_the_pause_is_long_enough(room: Room) -> None:
    paused(room).answer("Paris", ".")
    assert room.of(do.Eager)
    assert not room.of(do.Begin)
    room.silence(400)
    (answer,) = room.answers.values()
    assert (answer.eager, "".join(answer.shown), answer.status) == (True, "Paris.", "completed")
    assert list(room.said.values()) == ["What is the capital of France?"]


def test_the_pause_is_counted_in_samples_from_the_end_of_the_voice(room: Room) -> None:
    paused(room)
    waited_ms = STANDARD.lag_ms + STANDARD.eager_ms
    while not room.committed:
        room.silence(FRAME_MS)
        waited_ms += FRAME_MS
    assert 320 <= waited_ms < 320 + 2 * FRAME_MS


def test_an_answer_that_still_runs_goes_on_in_the_open(room: Room) -> None:
    paused(room).piece("The capital")
    room.silence(400)
    room.answer(" is Paris.")
    assert list(room.texts()) == ["The capital is Paris."]


def test_speech_in_the_pause_throws_the_answer_away_unseen(room: Room) -> None:
    paused(room, "What is").piece("It is")
    room.speak(320)
    assert room.of(do.Abort)
    assert room.of(do.Resumed)
    assert not room.of(do.Begin)
    room.silence(STANDARD.eager_ms)
    room.heard("What is the capital of France?", pause_ms=320)
    room.answer("Paris.")
    room.silence(400)
    assert list(room.texts()) == ["Paris."]
    assert len(room.committed) == 1


def test_a_click_in_the_pause_costs_only_a_second_look(room: Room) -> None:
    paused(room).answer("Paris.")
    room.speak(FRAME_MS)
    room.silence(400)
    assert room.takes
    assert not room.of(do.Begin)
    room.heard("What is the capital of France?")
    assert list(room.texts()) == ["Paris."]


def test_other_words_on_second_look_are_answered_anew(room: Room) -> None:
    paused(room, "What is the capital").answer("Of what?")
    room.speak(FRAME_MS)
    room.silence(400)
    room.heard("What is the capital of Peru?")
    room.answer("Lima.")
    assert list(room.texts()) == ["Lima."]


def test_words_that_are_not_finished_are_given_time(room: Room) -> None:
    paused(room, "I would like to and", pause_ms=1200)
    room.silence(800)
    assert not room.committed
    room.silence(400)
    assert room.committed


def test_no_words_ask_for_more_time_than_is_allowed(room: Room) -> None:
    paused(room, "and", pause_ms=60_000)
    room.silence(STANDARD.max_pause_ms)
    assert room.committed


def test_a_fixed_pause_does_not_look_at_the_words() -> None:
    room = paused(Room(replace(STANDARD, adaptive=False, pause_ms=800)), pause_ms=200)
    room.silence(500)
    assert not room.committed
    room.silence(200)
    assert room.committed


def test_a_cough_starts_nothing(room: Room) -> None:
    room.speak(STANDARD.min_speech_ms - FRAME_MS)
    room.silence(2000)
    assert not room.done


def test_what_came_before_the_speech_is_kept(room: Room) -> None:
    room.silence(960)
    room.speak(960)
    (started,) = room.of(do.SpeechStarted)
    assert started.sample == (960 - STANDARD.prefix_ms) * SAMPLES_PER_MS


def test_the_encoder_hears_the_speech_and_not_the_pause(room: Room) -> None:
    room.speak(960)
    room.silence(STANDARD.eager_ms)
    (encode,) = room.of(do.Encode)
    assert encode.last == (960 - STANDARD.lag_ms + STANDARD.tail_ms) * SAMPLES_PER_MS


def test_where_nothing_was_said_nobody_answers(room: Room) -> None:
    paused(room, "").silence(400)
    assert list(room.said.values()) == [""]
    assert not room.answers


def test_speech_over_an_answer_ends_it_and_the_llm_s_work(room: Room) -> None:
    answering(room)
    room.speak(STANDARD.interrupt_ms + FRAME_MS)
    (end,) = room.of(do.End)
    assert (end.status, end.reason) == ("cancelled", "turn_detected")
    assert room.of(do.Abort)
    assert room.machine.is_speaking


def test_speech_over_an_answer_whose_sound_is_still_played_hushes_it(room: Room) -> None:
    answering(room).plays(3000)
    room.finish()
    assert [end.status for end in room.of(do.End)] == ["completed"]
    assert room.machine.is_idle
    room.speak(STANDARD.interrupt_ms + FRAME_MS)
    assert len(room.of(do.Hush)) == 1
    assert room.machine.is_speaking
    assert len(room.of(do.End)) == 1


def test_speech_over_an_answer_that_sounds_hushes_it_before_it_ends(room: Room) -> None:
    answering(room).plays(3000)
    actions = room.speak(STANDARD.interrupt_ms + FRAME_MS)
    assert [type(action) for action in actions][:4] == [do.Hush, do.Abort, do.End, do.SpeechStarted]


def test_what_was_played_to_its_end_is_not_hushed(room: Room) -> None:
    answering(room).plays(1000)
    room.finish()
    room.silence(1000 + FRAME_MS)
    room.speak(960)
    assert not room.of(do.Hush)


def test_it_takes_more_speech_to_hush_an_answer_than_to_begin_an_utterance() -> None:
    room = answering(Room(replace(STANDARD, interrupt_ms=600)))
    room.plays(3000)
    room.finish()
    room.speak(400)
    room.silence(1000)
    assert not room.of(do.Hush)
    assert len(room.of(do.SpeechStarted)) == 1


def test_where_nothing_interrupts_an_answer_is_played_to_its_end() -> None:
    room = answering(Room(replace(STANDARD, interrupt=False)))
    room.plays(3000)
    room.finish()
    room.speak(960)
    assert room.machine.is_speaking
    assert not room.of(do.Hush)


def test_a_client_may_hush_an_answer_and_ask_for_the_next_without(room: Room) -> None:
    answering(room).plays(3000)
    room.finish()
    room.tell(told.Ask())
    room.answer("Paris, once more.")
    assert not room.of(do.Hush)
    assert room.tell(told.Cancel()) == [do.Hush()]
    assert room.tell(told.Cancel()) == [do.Refuse("response_cancel_not_active")]


def test_a_long_spoken_answer_is_not_given_up(room: Room) -> None:
    answering(room)
    for _ in range(4):
        room.now_s += STANDARD.answer_timeout_s / 2
        room.piece("sound")
    assert not room.of(do.End)


def test_a_short_yes_over_an_answer_need_not_end_it() -> None:
    room = answering(Room(replace(STANDARD, interrupt_ms=600)))
    room.speak(400)
    room.silence(1000)
    room.answer(" is Paris.")
    assert list(room.texts()) == ["The capital is Paris."]
    assert len(room.committed) == 1


def test_where_nothing_interrupts_the_next_answer_waits_for_the_last() -> None:
    room = answering(Room(replace(STANDARD, interrupt=False)))
    room.speak(960)
    room.silence(STANDARD.eager_ms)
    room.heard("And of Peru?", pause_ms=320)
    room.silence(400)
    assert len(room.committed) == 2
    room.answer(" is Paris.")
    room.answer("Lima.")
    assert list(room.texts()) == ["The capital is Paris.", "Lima."]


def test_words_are_told_while_they_are_spoken_once_two_looks_agree(room: Room) -> None:
    for text in ("What is.", "What is the cat.", "What is the capital of."):
        room.speak(STANDARD.partial_ms)
        room.partly_heard(text)
    assert list(room.partly.values()) == ["What is the"]
    room.silence(STANDARD.eager_ms)
    room.heard("What is the capital of France?")
    assert list(room.partly.values()) == ["What is the capital of"]
    assert not room.said


def test_a_look_that_failed_or_comes_too_late_tells_nothing(room: Room) -> None:
    room.speak(STANDARD.partial_ms)
    late = room.partial
    assert late is not None
    room.silence(STANDARD.eager_ms)
    assert room.partial is None
    assert room.tell(told.Heard(late, "What is")) == []
    room.speak(STANDARD.partial_ms)
    assert room.partial is not None
    assert room.tell(told.Unheard(room.partial, RuntimeError("full"))) == []
    room.partial = None
    room.speak(STANDARD.partial_ms)
    assert room.partial is not None


def test_the_longer_somebody_speaks_the_seldomer_is_looked(room: Room) -> None:
    for _ in range(60_000 // 320):
        room.speak(320)
        if room.partial is not None:
            room.partly_heard("Well")
    looks = [look.last / SAMPLES_PER_MS for look in room.of(do.EncodePartial)]
    gaps = [later - earlier for earlier, later in pairwise(looks)]
    assert STANDARD.partial_ms <= gaps[0] < STANDARD.partial_ms + 2 * FRAME_MS
    assert gaps[-1] > 5000
    assert sum(looks) < 60_000 / STANDARD.partial_share * 1.2


@pytest.mark.parametrize("loaded", [True, False])
def test_nobody_looks_under_load_or_where_it_is_switched_off(loaded: bool) -> None:
    room = Room(STANDARD if loaded else replace(STANDARD, partial_ms=0))
    room.tell(told.Load(loaded))
    room.speak(6000)
    assert not room.of(do.EncodePartial)


def test_a_long_speech_is_committed_in_parts_and_answered_once() -> None:
    room = Room(replace(STANDARD, max_utterance_ms=5000))
    room.speak(12_000)
    while room.takes:
        room.heard("blah")
    assert len(room.committed) == 2
    assert not room.answers
    room.silence(STANDARD.eager_ms)
    room.heard("and that was it.", pause_ms=320)
    room.silence(400)
    room.answer("I see.")
    assert list(room.texts()) == ["I see."]
    ranges = list(room.committed.values())
    assert [last for _, last in ranges[:-1]] == [first for first, _ in ranges[1:]]


@pytest.mark.parametrize("n_samples", [320, FRAME, 3413, 4096, 32_000])
def test_no_part_of_a_long_speech_is_longer_than_allowed_in_whatever_pieces_it_comes(n_samples: int) -> None:
    room = Room(replace(MANUAL, max_utterance_ms=5000))
    for _ in range(17_000 * SAMPLES_PER_MS // n_samples + 1):
        room.tell(told.Sound(n_samples, 0.9))
    assert [last - first for first, last in room.committed.values()] == [5000 * SAMPLES_PER_MS] * 3


def test_after_a_failure_to_hear_nothing_is_heard_on_suspicion(room: Room) -> None:
    room.speak(960)
    room.silence(STANDARD.eager_ms)
    room.unheard()
    assert not room.takes
    room.silence(STANDARD.pause_ms)
    assert len(room.takes) == len(room.committed) == 1


def test_words_that_come_under_load_are_answered_when_it_is_certain_that_they_are_all(room: Room) -> None:
    room.speak(960)
    room.silence(STANDARD.eager_ms)
    room.tell(told.Load(True))
    room.heard("Hello.")
    assert not room.answers
    room.silence(STANDARD.pause_ms)
    room.answer("Hi.")
    assert list(room.texts()) == ["Hi."]


def test_eager_answers_to_an_utterance_are_counted() -> None:
    room = Room(replace(STANDARD, max_eager=2))
    for _ in range(4):
        room.speak(640)
        room.silence(STANDARD.eager_ms)
        room.heard("and", pause_ms=2000)
    assert len(room.of(do.Eager)) == 2


@pytest.mark.parametrize("max_eager", [0, 1])
def test_words_say_how_long_a_pause_may_be_also_where_no_eager_answer_is_made(max_eager: int) -> None:
    room = Room(replace(STANDARD, eager=max_eager > 0, max_eager=max_eager))
    for _ in range(3):
        room.speak(640)
        room.silence(STANDARD.eager_ms)
        room.heard("I would like a", pause_ms=1400)
        room.silence(1200)
    assert not room.committed
    room.silence(200)
    assert len(room.committed) == 1
    assert len(room.of(do.Eager)) == max_eager


def test_where_words_change_nothing_nobody_looks_for_them() -> None:
    room = Room(replace(STANDARD, eager=False, adaptive=False))
    room.speak(960)
    room.silence(STANDARD.pause_ms - 100)
    assert not room.takes


def test_under_load_nothing_is_done_on_suspicion(room: Room) -> None:
    room.tell(told.Load(True))
    room.speak(960)
    room.silence(320)
    assert not room.takes
    room.silence(320)
    room.heard("What is the capital of France?")
    room.answer("Paris.")
    assert list(room.texts()) == ["Paris."]


def test_an_eager_answer_that_is_not_wanted_any_more_is_thrown_away(room: Room) -> None:
    paused(room).piece("Paris")
    room.configured(replace(STANDARD, answer=False))
    room.tell(told.Commit())
    assert not room.is_generating
    assert not room.of(do.Begin)


def test_an_eager_failure_is_tried_again_in_earnest(room: Room) -> None:
    paused(room).break_down()
    room.silence(400)
    room.answer("Paris.")
    assert list(room.texts()) == ["Paris."]


def test_a_failure_in_the_open_is_told_once(room: Room) -> None:
    answering(room).break_down()
    (end,) = room.of(do.End)
    assert end.status == "failed"
    assert end.error is not None


def test_an_utterance_that_can_t_be_heard_is_lost_and_the_next_is_not(room: Room) -> None:
    room.speak(960)
    room.silence(STANDARD.eager_ms)
    room.unheard()
    room.silence(600)
    room.unheard()
    assert list(room.said.values()) == [None]
    paused(room).silence(400)
    room.answer("Paris.")
    assert list(room.texts()) == ["Paris."]


def test_who_does_not_come_is_not_waited_for(room: Room) -> None:
    room.speak(960)
    room.silence(600)
    room.now_s += STANDARD.hear_timeout_s + 1
    room.tell(told.Clock())
    assert list(room.said.values()) == [None]
    answering(room)
    room.now_s += STANDARD.answer_timeout_s + 1
    room.tell(told.Clock())
    assert [(end.status, end.reason) for end in room.of(do.End)] == [("failed", "timeout")]


def test_a_client_s_commit_ends_the_utterance_at_once(room: Room) -> None:
    room.speak(960)
    room.tell(told.Commit())
    room.heard("What is the capital of France?")
    room.answer("Paris.")
    assert list(room.texts()) == ["Paris."]


def test_a_client_without_detection_commits_and_asks() -> None:
    room = Room(MANUAL)
    room.silence(640)
    room.tell(told.Commit())
    room.speak(640)
    room.tell(told.Commit())
    assert [last - first for first, last in room.committed.values()] == [640 * SAMPLES_PER_MS] * 2
    room.tell(told.Ask("briefly"))
    room.heard("")
    assert not room.answers
    room.heard("What is the capital of France?")
    (generate,) = room.of(do.Generate)
    assert generate.request == "briefly"
    room.answer("Paris.")
    assert list(room.texts()) == ["Paris."]


def test_a_commit_is_answered_unasked_where_that_is_wanted_unless_nothing_was_said() -> None:
    room = Room(replace(MANUAL, answer_commits=True))
    for words in ("", "What is the capital of France?"):
        room.speak(640)
        room.tell(told.Commit())
        assert not room.machine.is_idle
        room.heard(words)
    room.answer("Paris.")
    assert list(room.texts()) == ["Paris."]
    assert room.machine.is_idle


@pytest.mark.parametrize("settings", [STANDARD, MANUAL], ids=["detected", "manual"])
def test_there_must_be_something_to_commit(settings: TurnSettings) -> None:
    room = Room(settings)
    assert room.tell(told.Commit()) == [do.Refuse("input_audio_buffer_commit_empty")]


def test_what_was_cleared_is_not_heard(room: Room) -> None:
    paused(room).tell(told.Clear())
    room.silence(2000)
    assert not room.committed
    assert not room.is_generating
    assert room.machine.needed_from >= 1440 * SAMPLES_PER_MS


def test_there_is_one_answer_at_a_time(room: Room) -> None:
    answering(room)
    assert room.tell(told.Ask()) == [do.Refuse("conversation_already_has_active_response")]


def test_a_client_may_end_an_answer_and_only_an_answer(room: Room) -> None:
    answering(room).tell(told.Cancel())
    (end,) = room.of(do.End)
    assert (end.status, end.reason) == ("cancelled", "client_cancelled")
    assert room.tell(told.Cancel()) == [do.Refuse("response_cancel_not_active")]


def test_an_answer_that_was_cancelled_before_it_began_does_not_begin(room: Room) -> None:
    room.speak(960)
    room.tell(told.Commit())
    room.tell(told.Cancel())
    room.heard("What is the capital of France?")
    assert not room.answers


def test_a_changed_conversation_is_answered_anew(room: Room) -> None:
    paused(room).piece("Paris")
    room.tell(told.Edited())
    room.silence(400)
    room.answer("It is Paris.")
    assert list(room.texts()) == ["It is Paris."]


def test_detection_switched_off_leaves_the_audio_to_the_client(room: Room) -> None:
    paused(room)
    room.configured(MANUAL)
    room.silence(2000)
    assert not room.committed
    assert not room.is_generating
    room.tell(told.Commit())
    ((first, _),) = room.committed.values()
    assert first == room.of(do.SpeechStarted)[0].sample


def test_an_answer_that_is_owed_is_given_when_detection_is_switched_off(room: Room) -> None:
    room.speak(960)
    room.silence(STANDARD.pause_ms + FRAME_MS)
    room.speak(320)
    room.heard("Yes.")
    assert not room.is_generating  # somebody speaks
    for action in room.machine.configure(MANUAL, room.now_s):
        room._do(action)
    assert room.is_generating


def test_the_end_of_a_session_ends_everything(room: Room) -> None:
    answering(room).tell(told.Close())
    assert not room.is_generating
    assert [end.reason for end in room.of(do.End)] == ["session_closed"]
    assert room.speak(2000) == []


class Conversations(RuleBasedStateMachine):
    """Anything may happen at any time; the room watches the laws."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Room(replace(STANDARD, max_utterance_ms=6000, max_unheard=3))

    @rule(ms=st.sampled_from([32, 64, 160, 480, 1600]), speech=st.sampled_from([0.0, 0.4, 0.95]))
    def sound(self, ms: int, speech: float) -> None:
        self.room.sound(ms, speech)

    @rule(text=st.sampled_from(["Yes.", "No, and"]), pause_ms=st.sampled_from([100, 700]))
    def paused(self, text: str, pause_ms: int) -> None:
        self.room.speak(160)
        self.room.silence(STANDARD.eager_ms)
        if self.room.takes:
            self.room.heard(text, pause_ms=pause_ms)

    @precondition(lambda self: self.room.takes)
    @rule(text=st.sampled_from(["", "Yes.", "No, and"]), pause_ms=st.sampled_from([None, 100, 700]))
    def heard(self, text: str, pause_ms: float | None) -> None:
        self.room.heard(text, pause_ms=pause_ms)

    @precondition(lambda self: self.room.partial is not None)
    @rule(text=st.sampled_from(["", "No.", "No, and", "No, and then"]))
    def partly_heard(self, text: str) -> None:
        self.room.partly_heard(text)

    @precondition(lambda self: self.room.takes)
    @rule()
    def unheard(self) -> None:
        self.room.unheard()

    @precondition(lambda self: self.room.is_generating)
    @rule(text=st.sampled_from(["a", "b"]))
    def piece(self, text: str) -> None:
        self.room.piece(text)

    @precondition(lambda self: self.room.is_generating)
    @rule(fails=st.booleans())
    def ends(self, fails: bool) -> None:
        if fails:
            self.room.break_down()
        else:
            self.room.finish()

    @precondition(lambda self: self.room.is_on_show)
    @rule(ms=st.sampled_from([100, 2000]))
    def plays(self, ms: int) -> None:
        self.room.plays(ms)

    @rule(
        event=st.sampled_from(
            [told.Commit(), told.Clear(), told.Ask(), told.Cancel(), told.Edited(), told.Load(True), told.Load(False)]
        )
    )
    def client(self, event: told.Event) -> None:
        self.room.tell(event)

    @rule(seconds=st.sampled_from([1.0, 20.0, 100.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.room.now_s += seconds
        self.room.tell(told.Clock())

    @rule(number=st.integers(0, 40))
    def late(self, number: int) -> None:
        if number not in self.room.takes and number != self.room.partial:
            assert self.room.tell(told.Heard(number, "late")) == []
        if number not in self.room.answers or not self.room.answers[number].runs:
            assert self.room.tell(told.Piece(number, "late")) == []

    @rule(
        settings=st.sampled_from(
            [STANDARD, MANUAL, replace(STANDARD, interrupt=False), replace(STANDARD, answer=False)]
        )
    )
    def configured(self, settings: TurnSettings) -> None:
        self.room.configured(replace(settings, max_utterance_ms=6000, max_unheard=3))

    @invariant()
    def state_is_bounded(self) -> None:
        room = self.room
        assert len(room.takes) <= 3 + 1
        assert room.machine.position - room.machine.needed_from <= (6000 + 300) * SAMPLES_PER_MS + 50 * FRAME

    def teardown(self) -> None:
        """Once the world has done its part nothing is left open: everything committed was heard or lost, every answer
        that began has ended."""
        room = self.room
        room.configured(replace(STANDARD, max_utterance_ms=6000))
        for _ in range(50):
            room.silence(2500)
            while room.takes:
                room.heard("Well.")
            if not room.is_generating:
                break
            room.finish()
        assert room.machine.is_idle
        assert not room.takes
        assert room.partial is None
        assert not room.is_generating
        assert room.said.keys() == room.committed.keys()
        assert all(answer.status for answer in room.answers.values() if answer.begun)


Conversations.TestCase.settings = settings(max_examples=400, stateful_step_count=60, deadline=None)
TestConversations = Conversations.TestCase
