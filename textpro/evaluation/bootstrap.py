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


def interval(groups: Sequence[np.ndarray], *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The mean over groups of their items' means, with its 95 % interval.

    groups: (S, n_k) values, a row a seed; for a paired comparison, the items' differences. Items are drawn again within
    their group and seeds for all groups at once, so the interval says how far other questions and another training
    would change the mean. One seed counts as fixed. Raises StatisticsError without values or with unequal S.
    """
    if not groups or any(group.ndim != 2 or not group.size for group in groups):
        raise StatisticsError("a mean needs values: there is no seed, no item or no group")
    n_seeds = len(groups[0])
    if any(len(group) != n_seeds for group in groups):
        raise StatisticsError(f"every group must hold the same seeds; found {[len(group) for group in groups]}")
    rng = np.random.default_rng(seed)
    seeds = _shares(rng, n_seeds, draws)
    means = np.zeros(draws)
    for group in groups:
        items = _shares(rng, group.shape[1], draws)
        means += np.einsum("ds,sn,dn->d", seeds, group.astype(float), items, optimize=True) / len(groups)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(np.mean([group.mean() for group in groups])), float(low), float(high))


def _shares(rng: np.random.Generator, n: int, draws: int) -> np.ndarray:
    """(D, n): how often each of n was drawn, as its weight in the mean."""
    return rng.multinomial(n, np.full(n, 1 / n), size=draws) / n
