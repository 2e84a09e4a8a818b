"""Laws of the batching policy, over random histories of arrivals, cancellations and batches that end."""

from collections import defaultdict
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from services.encoder.batcher import (
    NEVER,
    Action,
    Arrived,
    Batcher,
    Cancelled,
    Event,
    Expire,
    Finished,
    Limits,
    Refuse,
    Run,
    Tick,
    WakeAt,
)

LIMITS = Limits(max_batch=3, max_wait_s=0.01, queue=5)


@dataclass
class House:
    """Performs actions as the worker does, on a clock of its own, and keeps the books."""

    batcher: Batcher = field(default_factory=lambda: Batcher(LIMITS))
    now_s: float = 0.0
    wake_s: float = NEVER
    running: tuple[int, ...] = ()
    arrivals: dict[int, Arrived] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    ran: list[tuple[int, ...]] = field(default_factory=list)
    ran_at_s: dict[int, float] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)
    expired: list[int] = field(default_factory=list)

    def on(self, event: Event) -> list[Action]:
        if isinstance(event, Arrived):
            self.arrivals[event.ticket] = event
        if isinstance(event, Finished):
            self.running = ()
        actions = self.batcher.on(event, self.now_s)
        for action in actions:
            match action:
                case Run(tickets):
                    assert not self.running, "a batch started while another ran"
                    self.running = tickets
                    self.ran.append(tickets)
                    self.ran_at_s |= dict.fromkeys(tickets, self.now_s)
                case Refuse(ticket):
                    self.refused.append(ticket)
                case Expire(ticket):
                    self.expired.append(ticket)
                case WakeAt(at_s):
                    self.wake_s = at_s
        return actions

    def pass_time(self, until_s: float) -> None:
        while self.wake_s <= until_s:
            self.now_s = max(self.now_s, self.wake_s)
            self.on(Tick())
        self.now_s = until_s

    def settle(self) -> None:
        """Lets everything that waits run or expire."""
        while self.running or self.batcher.depth:
            if self.running:
                self.on(Finished())
            else:
                self.pass_time(self.wake_s)


@st.composite
def histories(draw: st.DrawFn) -> House:
    house = House()
    for ticket in range(draw(st.integers(1, 40))):
        house.pass_time(house.now_s + draw(st.sampled_from([0.0, 0.001, 0.02])))
        step = draw(st.sampled_from(["arrive", "arrive", "arrive", "finish", "cancel"]))
        if step == "arrive":
            deadline_s = draw(st.sampled_from([NEVER, house.now_s + 0.015, house.now_s]))
            house.on(Arrived(ticket, draw(st.sampled_from("ab")), deadline_s, draw(st.booleans())))
        elif step == "finish" and house.running:
            house.on(Finished())
        elif step == "cancel" and house.arrivals:
            chosen = draw(st.sampled_from(sorted(house.arrivals)))
            house.cancelled.add(chosen)
            house.on(Cancelled(chosen))
        assert house.batcher.depth <= LIMITS.queue
    house.settle()
    return house


@given(histories())
@settings(max_examples=100, deadline=None)
def test_every_request_ends_exactly_once_unless_it_was_cancelled(house: House) -> None:
    ends = [ticket for batch in house.ran for ticket in batch] + house.refused + house.expired
    assert len(ends) == len(set(ends))
    assert set(house.arrivals) - set(ends) <= house.cancelled


@given(histories())
@settings(max_examples=100, deadline=None)
def test_a_batch_holds_one_group_and_is_never_above_the_limit(house: House) -> None:
    for batch in house.ran:
        assert 1 <= len(batch) <= LIMITS.max_batch
        assert len({house.arrivals[ticket].group for ticket in batch}) == 1


@given(histories())
@settings(max_examples=100, deadline=None)
def test_within_a_group_the_first_to_come_is_the_first_to_run(house: House) -> None:
    order = defaultdict(list)
    for batch in house.ran:
        order[house.arrivals[batch[0]].group] += batch
    assert all(tickets == sorted(tickets) for tickets in order.values())


@given(histories())
@settings(max_examples=100, deadline=None)
def test_what_expired_never_runs_and_nothing_runs_after_its_deadline(house: House) -> None:
    assert not set(house.expired) & set(house.ran_at_s)
    assert all(at_s < house.arrivals[ticket].deadline_s for ticket, at_s in house.ran_at_s.items())


def test_a_lone_request_waits_for_company_no_longer_than_the_limit() -> None:
    house = House()
    house.on(Arrived(0, "a"))
    assert house.ran == []
    assert house.wake_s == LIMITS.max_wait_s
    house.pass_time(LIMITS.max_wait_s)
    assert house.ran == [(0,)]


def test_a_full_batch_starts_at_once() -> None:
    house = House()
    for ticket in range(3):
        house.on(Arrived(ticket, "a"))
    assert house.ran == [(0, 1, 2)]


def test_what_arrives_while_the_model_runs_goes_together_when_it_ends() -> None:
    house = House()
    house.on(Arrived(0, "a"))
    house.pass_time(0.05)
    house.on(Arrived(1, "a"))
    house.on(Arrived(2, "a"))
    house.pass_time(0.2)
    house.on(Finished())
    assert house.ran == [(0,), (1, 2)]


def test_the_group_that_waited_longest_goes_first() -> None:
    house = House()
    house.on(Arrived(0, "a"))
    house.pass_time(0.05)
    house.on(Arrived(1, "b"))
    house.pass_time(0.06)
    for ticket in (2, 3, 4):
        house.on(Arrived(ticket, "a"))
    house.pass_time(0.2)
    house.on(Finished())
    assert house.ran == [(0,), (1,)]


def test_a_full_queue_refuses_with_a_time_that_grows_with_the_measured_batch() -> None:
    def retry_after_s(batch_s: float) -> float:
        house = House()
        house.on(Arrived(0, "a"))
        for ticket in range(1, 8):
            house.pass_time(house.now_s + batch_s)
            house.on(Finished())
            house.on(Arrived(ticket, "a"))
        house.pass_time(house.now_s + 1)
        for ticket in range(100, 105):
            house.on(Arrived(ticket, "a"))
        refusal = house.on(Arrived(200, "a"))[0]
        assert isinstance(refusal, Refuse)
        return refusal.retry_after_s

    assert retry_after_s(5.0) > retry_after_s(0.1) > 0


def test_a_full_queue_gives_the_place_of_its_youngest_partial_to_a_final() -> None:
    house = House()
    house.on(Arrived(0, "a"))
    house.pass_time(0.02)
    for ticket in range(1, 6):
        house.on(Arrived(ticket, "a", partial=ticket in (2, 4)))
    house.on(Arrived(6, "b"))
    assert house.refused == [4]
    house.settle()
    assert 6 in house.ran_at_s
