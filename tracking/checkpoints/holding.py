"""Keep the checkpoints of a chain while they are logged, however small the cache is."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from interventions.aside import scratch_folder
from interventions.criteria.cost import Cost
from tracking.chain import Chain
from tracking.checkpoints.writing import write_checkpoint

_ATTEMPTS = 3  # at holding what other processes drop


class HeldCheckpoints:
    """Checkpoints of a chain, held until they are released; a context that releases all.

    What a step changed is written from two checkpoints, and the second may take the first's place
    in a cache that has no room for both.

    Args:
        chain: whose checkpoints they are.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._held: dict[int, tuple[Path, ExitStack]] = {}

    def folder(self, k: int) -> Path:
        """Return the files of the checkpoint after k interventions, verified; they stay.

        It is computed and stored if it was not: in the cache, or, where that has no room or can
        only be read, in the system's temporary folder.

        Raises:
            OSError: there is no room for it there either.
        """
        if k not in self._held:
            self._held[k] = self._hold(k)
        return self._held[k][0]

    def release(self, before: int) -> None:
        """Hold no longer the checkpoints after fewer than ``before`` interventions."""
        for k in [k for k in self._held if k < before]:
            self._held.pop(k)[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release(len(self._chain.keys))

    def _hold(self, k: int) -> tuple[Path, ExitStack]:
        checkpoints, key = self._chain.checkpoints, self._chain.keys[k]
        for _ in range(_ATTEMPTS):
            if self._chain.checkpoint_folder(k) is None:
                break
            stack = ExitStack()
            try:
                return stack.enter_context(checkpoints.held(key)), stack
            except FileNotFoundError:  # another process has dropped it since
                continue
        return self._outside_of_cache(k)

    def _outside_of_cache(self, k: int) -> tuple[Path, ExitStack]:
        lm, key = self._chain.model_after(k), self._chain.keys[k]
        with ExitStack() as stack:
            folder = stack.enter_context(scratch_folder()) / key
            write_checkpoint(folder, key, lm, self._chain.cost_of_step(k) or Cost(0.0, 0.0))
            return folder, stack.pop_all()
