"""Add up task vectors: linear, TIES and DARE, in float64, a piece of a tensor at a time."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LINEAR, TIES, DARE = "linear", "ties", "dare"
_PIECE = 2**22  # elements that are worked on at once: 32 MiB in float64
_DIGIT = 16  # bits of a size that one pass over all weights tells
_GREATEST = 2**63 - 1  # of the integers that sizes are compared as


@dataclass(frozen=True)
class Mixer:
    """How the task vectors of branches are added up.

    Attributes:
        how: "linear", "ties" or "dare".
        scales: the weight of every branch.
        density: share of a task vector that "ties" keeps.
        drop: share of a task vector that "dare" drops.

    Example:
        >>> before = torch.zeros(3)
        >>> first, second = torch.tensor([1.0, 0, 2]), torch.tensor([3.0, 1, -1])
        >>> mixer = Mixer("ties", (1.0, 1.0), density=1.0)
        >>> [(_, merged)] = mixer.mixed({"w": before}, [{"w": first}, {"w": second}])
        >>> merged
        tensor([2., 1., 2.])
    """

    how: str
    scales: tuple[float, ...]
    density: float = 1.0
    drop: float = 0.0

    def mixed(
        self, before: Mapping[str, Tensor], after: Sequence[Mapping[str, Tensor]]
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the merged weights by name, in the dtype of those before.

        Args:
            before: the weights that all branches start from; those that were yielded may change.
            after: the weights at the end of every branch.
        """
        active = [index for index, scale in enumerate(self.scales) if scale]
        if not active:
            return
        ends, scales = [after[index] for index in active], [self.scales[i] for i in active]
        if scales == [1.0] and self._keeps_all:
            # the sign of a zero, too, which no sum would keep
            yield from ends[0].items()
            return
        least = [self._least_size(before, end) for end in ends]
        for name, start in before.items():
            flat_ends = [end[name].reshape(-1) for end in ends]
            pieces = [
                self._mix(flat, parts, scales, least).to(start.dtype)
                for flat, *parts in _pieces(start.reshape(-1), *flat_ends)
            ]
            yield name, torch.cat(pieces).view(start.shape)

    @property
    def _keeps_all(self) -> bool:
        """Whether a task vector is added as it is."""
        return (self.how != TIES or self.density == 1) and (self.how != DARE or not self.drop)

    def _least_size(self, before: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> float:
        """Return the size from which on TIES keeps an element of a branch's task vector."""
        if self.how != TIES or self.density == 1:
            return 0.0
        return size_of_rank(before, end, self.density)

    def _mix(
        self, start: Tensor, ends: Sequence[Tensor], scales: Sequence[float], least: Sequence[float]
    ) -> Tensor:
        """Return a piece of the merged weights, float64.

        It is a sum of the branches' weights, not of their task vectors: where one branch alone has
        the coefficient 1 it is that branch's weight exactly, however small beside the one before.

        Args:
            start: (n), float64, before.
            ends: (n) each, float64, after a branch.
            scales: of the branches.
            least: size of a task vector's smallest element that TIES keeps, by branch.
        """
        vectors = [end - start for end in ends]
        if self.how == TIES:
            coefficients = _elected(vectors, scales, least)
        elif self.how == DARE:
            coefficients = [
                scale * self._survives(vector) * (vector != 0)
                for vector, scale in zip(vectors, scales, strict=True)
            ]
        else:
            coefficients = [
                scale * (vector != 0).double()
                for vector, scale in zip(vectors, scales, strict=True)
            ]
        # 0 x inf and 0 x nan are nan: no election or draw hides that a branch has diverged
        merged = (1 - sum(coefficients)) * start
        for coefficient, end in zip(coefficients, ends, strict=True):
            merged += coefficient * end
        return merged

    def _survives(self, vector: Tensor) -> Tensor:
        """Return 1 / (1 - drop) for the elements that DARE keeps, 0 for those that it drops."""
        # drawn on the CPU: a GPU would draw others
        drawn = torch.rand(vector.shape, device="cpu").to(vector.device)
        return (drawn >= self.drop).double() / (1 - self.drop)


def size_of_rank(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor], density: float
) -> float:
    """Return the size of the smallest element of a task vector that is among its largest.

    Sizes are compared as the integers that their bits are, which are in the same order: each of
    four passes over the weights tells 16 bits of the size.

    Args:
        before: weights by name.
        after: likewise.
        density: share of all elements that are among the largest.

    Example:
        >>> before, after = {"w": torch.zeros(4)}, {"w": torch.tensor([1.0, -4.0, 3.0, 2.0])}
        >>> size_of_rank(before, after, density=0.5)
        3.0
    """
    rank = max(1, round(density * sum(weight.numel() for weight in before.values())))
    prefix = 0
    for shift in (48, 32, 16, 0):
        counts = sum(
            _count_digits((end - start).abs(), shift, prefix)
            for name, weight in before.items()
            for start, end in _pieces(weight.reshape(-1), after[name].reshape(-1))
        )
        assert isinstance(counts, Tensor)  # a model has weights
        at_least = counts.flip(0).cumsum(0)  # from the greatest digit down
        place = int((at_least < rank).sum().item())
        rank -= int(at_least[place - 1].item()) if place else 0
        prefix = (prefix << _DIGIT) + len(counts) - 1 - place
    size: float = struct.unpack("<d", struct.pack("<q", min(prefix, _GREATEST)))[0]
    return size


def _count_digits(sizes: Tensor, shift: int, prefix: int) -> Tensor:
    """Return how many sizes have each digit after a prefix.

    Args:
        sizes: (n), float64, none below 0.
        shift: bits after the digit.
        prefix: the bits before it.

    Returns:
        (2 ** 16), integers.
    """
    shifted = sizes.view(torch.int64) >> shift
    # in two shifts: one by all 64 bits is not defined
    is_counted = shifted >> _DIGIT == prefix
    counts = torch.zeros(2**_DIGIT, dtype=torch.int64, device=sizes.device)
    return counts.scatter_add_(0, shifted & (2**_DIGIT - 1), is_counted.long())


def _elected(
    vectors: Sequence[Tensor], scales: Sequence[float], least: Sequence[float]
) -> list[Tensor]:
    """Return the coefficients of TIES: of the trimmed elements, those of the sign that has more."""
    trimmed = [
        torch.where(vector.abs() >= size, scale * vector, 0.0)
        for vector, scale, size in zip(vectors, scales, least, strict=True)
    ]
    elected_sign = torch.stack(trimmed).sum(0).sign()
    agrees = [(element.sign() == elected_sign) & (element != 0) for element in trimmed]
    count = torch.stack(agrees).sum(0).clamp(min=1)
    return [
        scale * agreeing / count.double() for scale, agreeing in zip(scales, agrees, strict=True)
    ]


def _pieces(*flat: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield pieces of equally long tensors, in float64."""
    for pieces in zip(*(tensor.split(_PIECE) for tensor in flat), strict=True):
        yield tuple(piece.double() for piece in pieces)
