"""How sure a mean is: percentile intervals by bootstrap, over items and training seeds together.

Letters: S seeds, n items, K groups of items, D draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from textpro.errors import TextProError

DRAWS = 4_000
CONFIDENCE = 0.95


class StatisticsError(TextProError, ValueError):
    """There is nothing to take a mean of, or what should be compared is not of the same items."""


@dataclass(frozen=True)
class Interval:
    """A mean and the ends of its confidence interval."""

    mean: float
    low: float
    high: float

    def times(self, factor: float) -> "Interval":
        """Of another unit, such as percent."""
        return Interval(self.mean * factor, self.low * factor, self.high * factor)


def interval(
    groups: Sequence[np.ndarray], *, minus: Sequence[np.ndarray] = (), draws: int = DRAWS, seed: int = 0
) -> Interval:
    """The mean over groups of their items' means, with its 95 % interval.

    groups: (S, n_k) values, a row a seed. minus: for a paired comparison, another's values of the same items, whose
    mean is taken off. Items are drawn again within their group, and seeds, each system's on their own, for all groups
    at once: the interval says how far other questions and another training would change the mean. Of S seeds S - 1 are
    drawn, without which the spread of so few would count too little (Rao and Wu 1988). One seed counts as fixed.
    Raises StatisticsError without values, with unequal S, or where `minus` is of other items.
    """
    sides = [groups, minus] if minus else [groups]
    for side in sides:
        if not side or any(group.ndim != 2 or not group.size for group in side):
            raise StatisticsError("a mean needs values: there is no seed, no item or no group")
        if any(len(group) != len(side[0]) for group in side):
            raise StatisticsError(f"every group must hold the same seeds; found {[len(group) for group in side]}")
        if [group.shape[1] for group in side] != [group.shape[1] for group in groups]:
            raise StatisticsError("a paired comparison needs the same items on both sides")
    rng = np.random.default_rng(seed)
    shares = [_shares(rng, len(side[0]), draws) for side in sides]
    mean, means = 0.0, np.zeros(draws)
    for k, group in enumerate(groups):
        n = group.shape[1]
        items = rng.integers(n, size=(draws, n), dtype=np.int32)
        for sign, shares_of_side, side in zip((1, -1), shares, sides, strict=False):
            values = sign * side[k].astype(np.float32) / len(groups)
            mean += values.mean(dtype=float)
            for seed_share, row in zip(shares_of_side.T, values, strict=True):
                means += seed_share * row[items].mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(mean), float(low), float(high))


def _shares(rng: np.random.Generator, n_seeds: int, draws: int) -> np.ndarray:
    """(D, S): the weight of each seed in the mean of those drawn."""
    drawn = max(1, n_seeds - 1)
    return rng.multinomial(drawn, np.full(n_seeds, 1 / n_seeds), size=draws) / drawn
