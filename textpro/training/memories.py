"""Encoder outputs computed once and kept: behind a frozen encoder the decoder trains at several times the speed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from textpro.training.batches import Batch


class Memories:
    """Batches that carry the encoder's output (B, E, W) in place of their spectrograms, endless from `first_step` on.

    An epoch is the same batches as the one before in another order. They lie on the CPU: with a width of 256 in
    bfloat16, a second of speech takes 25 kB, and 16 kB more where the mel loss needs its target.
    """

    def __init__(
        self,
        loader: Iterable[Batch],
        encode: Callable[[Batch], Tensor],
        *,
        n_clips: int,
        seed: int,
        first_step: int = 0,
        visible: bool = False,
    ) -> None:
        """Takes batches from the loader until they hold `n_clips`. encode: a batch -> (B, E, W)."""
        self._seed, self._first_step = seed, first_step
        self._batches: list[Batch] = []
        kept = 0
        with tqdm(total=n_clips, unit="clip", desc="encoding once", disable=not visible) as progress:
            for batch in loader:
                with torch.no_grad():
                    memory = encode(batch).cpu()
                # What nobody will look at goes, and what only a loss looks at is kept in half the space.
                nothing, target = batch.mel[:, :, :0].clone(), batch.target.to(memory.dtype)
                self._batches.append(replace(batch, mel=nothing, target=target, memory=memory))
                progress.update(len(batch))
                kept += len(batch)
                if kept >= n_clips:
                    break

    def __iter__(self) -> Iterator[Batch]:
        step, epoch = 0, 0
        while True:
            for place in np.random.default_rng([self._seed, epoch]).permutation(len(self._batches)):
                if step >= self._first_step:
                    yield self._batches[place]
                step += 1
            epoch += 1
