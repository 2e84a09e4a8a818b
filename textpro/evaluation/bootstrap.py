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
    seeds = [_shares(rng, len(side[0]), draws, drawn=max(1, len(side[0]) - 1)) for side in sides]
    mean, means = 0.0, np.zeros(draws)
    for k, group in enumerate(groups):
        items = _shares(rng, group.shape[1], draws)
        for sign, shares, side in zip((1, -1), seeds, sides, strict=False):
            values = sign * side[k].astype(float) / len(groups)
            mean += values.mean()
            means += np.einsum("ds,sn,dn->d", shares, values, items, optimize=True)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(mean), float(low), float(high))


def _shares(rng: np.random.Generator, n: int, draws: int, *, drawn: int | None = None) -> np.ndarray:
    """(D, n): how often each of n was drawn, as its weight in the mean. drawn: how many are; n of them without it."""
    drawn = n if drawn is None else drawn
    return rng.multinomial(drawn, np.full(n, 1 / n), size=draws) / drawn
