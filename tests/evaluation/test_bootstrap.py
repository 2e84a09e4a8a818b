import numpy as np
import pytest

from textpro.evaluation.bootstrap import Interval, StatisticsError, interval


def test_the_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    made = [interval([rng.random((1, 200)) < 0.7], draws=500) for _ in range(200)]
    assert 0.9 <= np.mean([one.low <= 0.7 <= one.high for one in made]) <= 0.99


def test_it_covers_the_mean_over_seeds_that_differ() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        rates = rng.normal(0.6, 0.1, size=8)[:, None]
        made = interval([rng.random((8, 300)) < rates], draws=500)
        hits += made.low <= 0.6 <= made.high
    assert hits >= 80


def test_few_seeds_spread_as_far_as_a_mean_of_so_many_does() -> None:
    seeds = np.linspace(0, 1, 4)
    made = interval([np.repeat(seeds[:, None], 9, axis=1)])
    # Were as many drawn as there are, it would be 13 % less.
    assert made.high - made.low == pytest.approx(2 * 1.96 * seeds.std(ddof=1) / 2, rel=0.1)


def test_what_is_the_same_everywhere_has_no_width() -> None:
    assert interval([np.zeros((3, 50))]) == Interval(0.0, 0.0, 0.0)


def test_more_items_make_it_narrower() -> None:
    few, many = (interval([np.arange(n)[None] % 2]) for n in (50, 5000))
    assert many.high - many.low < 0.2 * (few.high - few.low)


def test_a_paired_difference_is_surer_than_one_of_other_items() -> None:
    rng = np.random.default_rng(3)
    ours = (rng.random((2, 400)) < 0.7).astype(float)
    paired, unpaired = (interval([ours], minus=[theirs]) for theirs in (ours[:1], rng.permutation(ours[0])[None]))
    assert paired.mean == pytest.approx(ours.mean() - ours[0].mean())
    assert paired.high - paired.low < unpaired.high - unpaired.low


def test_seeds_of_both_sides_widen_a_difference() -> None:
    sure, unsure = np.full((2, 50), 0.5), np.repeat([[0.0], [1.0]], 50, axis=1)
    widths = [
        made.high - made.low for made in (interval([a], minus=[b]) for a in (sure, unsure) for b in (sure, unsure))
    ]
    assert widths[0] == 0
    assert 0 < widths[1] == pytest.approx(widths[2])
    assert widths[3] > widths[1]


def test_a_difference_of_other_items_is_refused() -> None:
    with pytest.raises(StatisticsError, match="same items"):
        interval([np.zeros((1, 3))], minus=[np.zeros((1, 4))])


def test_groups_count_the_same_whatever_their_size() -> None:
    made = interval([np.ones((1, 10)), np.zeros((1, 990))])
    assert (made.mean, made.low, made.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(2).random((2, 40))
    assert interval([values]) == interval([values])


@pytest.mark.parametrize("groups", [[], [np.zeros((1, 0))], [np.zeros((0, 3))], [np.zeros((1, 3)), np.zeros((2, 3))]])
def test_nothing_and_unequal_seeds_are_refused(groups: list[np.ndarray]) -> None:
    with pytest.raises(StatisticsError):
        interval(groups)
