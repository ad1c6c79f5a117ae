"""Run code on the meta device, and count the memory and the time that it would take elsewhere."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import mock

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from tqdm import tqdm

from interventions.live_memory import FusedAttention, LiveMemory, is_made_of_others
from interventions.loops import rehearsing
from interventions.rehearsal.known_values import KnownValues, NewTensors
from interventions.rehearsal.outputs import tensors_in
from interventions.rehearsal.speed import Speed

T = TypeVar("T")
_MOST_OPERATORS = 400_000  # a minute or so


class TooLong(Exception):
    """A rehearsal has run more operators than it may."""


@dataclass(frozen=True)
class Takes:
    """What some code would take on a device.

    Attributes:
        peak_bytes: the most that is in the device's memory, what was there before included.
        kept_bytes: what is there after it.
        seconds: an estimate.
        made_up: how often the code asked for a number that only a real run has.
    """

    peak_bytes: int
    kept_bytes: int
    seconds: float
    made_up: int = 0


def rehearse(
    action: Callable[[], T],
    there: Iterable[Tensor | nn.Module],
    speed: Speed,
    more_bytes: int = 0,
) -> tuple[T, Takes]:
    """Run code on the meta device, and return its result with what it would take on a real one.

    Nothing is computed. Where the code asks for a number, it gets it if it follows from what is on
    the CPU, such as a mask; else a made-up one. Of loops over ``iterations`` two passes are run.

    Args:
        action: the code.
        there: tensors and modules that it starts from, on the meta device.
        speed: of the device.
        more_bytes: that are in memory, too.

    Raises:
        TooLong: the code runs too many operators.
        Exception: whatever the code raises, as where it needs values that are not known.

    Example:
        >>> import torch
        >>> from interventions.rehearsal.speed import H100
        >>> weight = torch.zeros(1000, 1000, device="meta")
        >>> _, takes = rehearse(lambda: weight @ weight, [weight], H100)
        >>> takes.peak_bytes, takes.kept_bytes
        (8000000, 8000000)
    """
    counter = _Counter(speed)
    counter.memory.current_bytes = more_bytes
    counter.memory.register(*there)
    # what a step warns of, and how far it is, it says when it is run
    quiet = functools.partialmethod(tqdm.__init__, disable=True)
    with (
        warnings.catch_warnings(),
        mock.patch.object(tqdm, "__init__", quiet),
        FusedAttention(),
        NewTensors(),
        rehearsing(counter),
        counter,
    ):
        warnings.simplefilter("ignore")
        result = action()
    memory, made_up = counter.memory, counter.values.made_up
    return result, Takes(memory.peak_bytes, memory.current_bytes, counter.seconds, made_up)


class _Counter(TorchDispatchMode):
    """Counts what operators on the meta device would take."""

    def __init__(self, speed: Speed) -> None:
        super().__init__()
        self.memory = LiveMemory("meta")
        self.seconds = 0.0
        self.values = KnownValues(speed.is_host)
        self._speed, self._operators = speed, 0
        self._passes: list[tuple[float, int, int]] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if is_made_of_others(func):
            with self:
                return func.decompose(*args, **(kwargs or {}))
        self._operators += 1
        if self._operators > _MOST_OPERATORS:
            raise TooLong(f"over {_MOST_OPERATORS} operators")
        outputs = self.values.call(func, args, kwargs or {})
        inputs = [each for each in tensors_in((*args, *(kwargs or {}).values())) if each.is_meta]
        results = [each for each in tensors_in([outputs]) if each.is_meta]
        if results or inputs:
            self.memory.see(results, inputs)
            self.seconds += self._speed.seconds(func, inputs, results)
        return outputs

    def begin_pass(self) -> None:
        """Note the seconds, the live bytes and the peak so far."""
        self._passes.append((self.seconds, self.memory.current_bytes, self.memory.peak_bytes))
        self.memory.reset_peak()

    def end_pass(self, times: float, passes: int) -> None:
        """Add what the passes that are not run would have taken, and left behind."""
        seconds, live_bytes, peak_bytes = self._passes.pop()
        self.seconds += (self.seconds - seconds) * times
        left_behind = max(0, self.memory.current_bytes - live_bytes) * passes
        self.memory.current_bytes += left_behind
        # the last pass has what all others left behind, and its own peak
        self.memory.peak_bytes = max(peak_bytes, self.memory.peak_bytes + left_behind)
