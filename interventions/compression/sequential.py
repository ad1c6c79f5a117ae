"""A block's layers in the order of computation, each stage on what those before it give."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from torch import Tensor

from interventions.compression.calibration import Inputs, Observe, input_statistics
from interventions.token_taps import See

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")  # of an expert, as in "mlp.experts.3.down_proj"


def stage_statistics(observe: Observe, wanted: Container[str]) -> Iterator[dict[str, Inputs]]:
    """Yield the statistics of a block's inputs, stage by stage, in the order of computation.

    A stage is the layers that share their inputs, and all experts' layers of one name: in Llama q,
    k, v; o; gate, up; down. Before the next stage is yielded the caller changes the layers of this
    one, so that the inputs of the next are those of the changed block. Every stage takes a pass of
    the calibration texts through the block.

    Args:
        observe: runs the texts through the block, see ``calibrated_blocks``.
        wanted: names of layers; a stage without any of them is left out, except the first.

    Example:
        >>> import torch
        >>> x, y = torch.ones(3, 2), torch.zeros(3, 4)
        >>> def observe(see):
        ...     for name, inputs in [("q", x), ("k", x), ("o", y)]:
        ...         see(name, inputs)
        >>> [list(statistics) for statistics in stage_statistics(observe, {"q", "k", "o"})]
        [['q', 'k'], ['o']]
    """
    stages = _Stages()
    yield input_statistics(stages.only(0, observe))
    for stage in range(1, len(stages)):
        if any(name in wanted for name in stages.names(stage)):
            yield input_statistics(stages.only(stage, observe))


class _Stages:
    """The stage of every layer that was seen, learned while the first one is observed."""

    def __init__(self) -> None:
        self._stage_of: dict[str, int] = {}
        self._stage_of_pattern: dict[str, int] = {}
        self._latest: tuple[Tensor, int] | None = None  # inputs, and the stage of who read them

    def __len__(self) -> int:
        return max(self._stage_of.values(), default=-1) + 1

    def names(self, stage: int) -> list[str]:
        """Return the layers of a stage."""
        return [name for name, its_stage in self._stage_of.items() if its_stage == stage]

    def only(self, stage: int, observe: Observe) -> Observe:
        """Return ``observe`` that shows the layers of one stage alone."""

        def observe_stage(see: See) -> None:
            def see_stage(name: str, inputs: Tensor) -> None:
                if self._find(name, inputs) == stage:
                    see(name, inputs)

            observe(see_stage)
            self._latest = None

        return observe_stage

    def _find(self, name: str, inputs: Tensor) -> int:
        """Return the stage of a layer, a new one if it is seen for the first time."""
        if name not in self._stage_of:
            pattern = _NUMBER.sub("*", name)
            if self._latest is not None and self._latest[0] is inputs:
                stage = self._latest[1]
            else:
                stage = self._stage_of_pattern.get(pattern, len(self))
            self._stage_of[name] = stage
            self._stage_of_pattern.setdefault(pattern, stage)
        stage = self._stage_of[name]
        self._latest = (inputs, stage)
        return stage
