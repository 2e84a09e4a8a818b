"""Prompts of different lengths as one padded batch for the LLM, and which of them to batch together.

Letters: B batch, L positions, R prosody rows, W Whisper width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from textpro.prompt import ProsodyRows, Segment, TextSpan, n_positions


@dataclass(frozen=True)
class Packed:
    """ids (B, L), 0 where no token stands; real (B, L), false on padding; soft (B, L), true where a prosody row stands;
    rows (R, W) in reading order. prefix: so many tokens begin all sequences alike, as the template's do. branches
    (B, L): 0 where a sequence's trunk stands, which all see, and k in its k-th branch, which no other sees; None where
    sequences have no branches."""

    ids: Tensor
    real: Tensor
    soft: Tensor
    rows: Tensor
    prefix: int
    branches: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> "Packed":
        ids, real, soft, rows = (
            value.to(device, non_blocking=True) for value in (self.ids, self.real, self.soft, self.rows)
        )
        branches = None if self.branches is None else self.branches.to(device, non_blocking=True)
        return Packed(ids, real, soft, rows, self.prefix, branches)

    def visible(self) -> Tensor:
        """Which positions (last axis) each position sees, itself among them, where there are branches: (B, L, L)."""
        assert self.branches is not None
        own, other = self.branches[:, :, None], self.branches[:, None, :]
        return ((other == 0) | (other == own)).tril()


def pack(sequences: Sequence[Sequence[Segment]], *, pad_left: bool = False) -> Packed:
    """Pads behind the sequences, where a causal model needs no mask, or in front, for generating."""
    length = max(map(n_positions, sequences))
    ids = torch.zeros(len(sequences), length, dtype=torch.long)
    real = torch.zeros(len(sequences), length, dtype=torch.bool)
    soft = torch.zeros(len(sequences), length, dtype=torch.bool)
    rows: list[Tensor] = []
    for i, segments in enumerate(sequences):
        place = length - n_positions(segments) if pad_left else 0
        for segment in segments:
            here = slice(place, place + len(segment))
            real[i, here] = True
            if isinstance(segment, ProsodyRows):
                soft[i, here] = True
                rows.append(segment.rows.float())
            else:
                ids[i, here] = torch.tensor(segment.token_ids)
            place = here.stop
    alike = ((ids == ids[0]) & real & ~soft).all(dim=0)
    # Something is left of every sequence: where nothing is read nothing can be told.
    prefix = min(int(alike.cumprod(0).sum()), min(map(n_positions, sequences)) - 1)
    return Packed(ids, real, soft, torch.cat(rows) if rows else torch.empty(0, 0), prefix)


def pack_tree(trunks: Sequence[Sequence[Segment]], branches: Sequence[Sequence[Sequence[int]]]) -> Packed:
    """Each trunk once, and behind it its branches: what continues the same prompt in several ways, without reading it
    again for each."""
    grown = [[*trunk, *map(TextSpan, map(tuple, of))] for trunk, of in zip(trunks, branches, strict=True)]
    packed = pack(grown)
    number = torch.zeros_like(packed.ids)
    for row, (trunk, of) in enumerate(zip(trunks, branches, strict=True)):
        place = n_positions(trunk)
        for k, branch in enumerate(of, start=1):
            number[row, place : place + len(branch)] = k
            place += len(branch)
    prefix = min(packed.prefix, min(map(n_positions, trunks)) - 1)
    return replace(packed, prefix=prefix, branches=number)


def buckets(lengths: Sequence[int], positions: int) -> list[list[int]]:
    """Indices in batches of like length, the longest first; a padded batch has at most `positions` unless it is one."""
    made: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if made and (len(made[-1]) + 1) * lengths[made[-1][0]] <= positions:
            made[-1].append(index)
        else:
            made.append([index])
    return made
