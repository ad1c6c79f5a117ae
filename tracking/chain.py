"""A plan's checkpoints one after another: applied where they were not kept, measured where they were not measured."""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from interventions.base import Intervention
from interventions.composition import Composition, Recompress, apply
from interventions.criteria.base import CRITERIA, Scores, measure
from interventions.criteria.cost import Cost, cost
from interventions.criteria.editing import locality_answers
from interventions.data.base import Data
from interventions.lm import LM
from tracking.checkpoints.store import Checkpoints
from tracking.plan import Plan


def always(key: str) -> bool:
    """Keep every checkpoint."""
    return True


class Chain:
    """The steps of one plan. The model in memory is at ``at`` interventions; it is loaded when first needed.

    Attributes:
        steps, keys: the interventions, and one key per checkpoint, the base model's first.
        reused: how many steps came from a kept checkpoint.
        applied: how many interventions were applied here.
        seconds: by what they went into: load, apply, save, measure.
        scores: what was measured, by number of interventions.
        run_id: the run that it is logged to; "" if it is not.
    """

    def __init__(self, plan: Plan, kept: Checkpoints, keep: Callable[[str], bool] = always) -> None:
        self.plan, self.kept, self._keep = plan, kept, keep
        self.steps: list[Intervention] = list(plan.composition)
        self.keys = list(plan.keys)
        self.lm: LM | None = None
        self.at = -1
        self.reused = self.applied = 0
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.scores: dict[int, dict[str, Scores]] = {}
        self.run_id = ""
        self._spent: dict[str, Cost] = {}
        self._data: Data | None = None

    @property
    def last(self) -> dict[str, Scores]:
        """The criteria after all steps, recompressions included."""
        return self.scores[len(self.steps)]

    @property
    def data(self) -> Data:
        """The plan's, with the base model's answers."""
        if self._data is None:
            self._data = dataclasses.replace(self.plan.data, base_answers=self._base_answers())
        return self._data

    def spent(self, k: int) -> Cost | None:
        """What applying step k cost, if that is known."""
        return self._spent.get(self.keys[k]) or self.kept.spent(self.keys[k])

    def may_recompress(self) -> bool:
        """Whether there is anything that could have to be applied again."""
        compresses = any(step.category == "compression" for step in self.plan.composition)
        return compresses and self.plan.settings.recompress != "never"

    def recompress(self) -> Composition:
        """Add the recompressions to the steps, and return them; what is measured to be lost decides."""
        again: list[Intervention] = []
        mode = cast(Recompress, self.plan.settings.recompress)  # checked by prepare
        # a second round: one that was applied again can cost another its property (SparseGPT leaves a grid)
        for _ in range(2 if mode == "auto" else 1):
            more = self.plan.composition.recompression(self.reach(len(self.steps)), mode)
            again += more
            self.steps += more
            self.keys = Composition(self.steps).keys(self.plan.origin, self.plan.data)
            if not more:
                break
        return Composition(again)

    def measure(self, k: int) -> tuple[dict[str, Scores], Cost]:
        """All criteria at step k, kept ones first; what the pass that measured them cost."""
        found = self._kept_scores(k)
        if None in found.values():
            with self.kept.claim(f"{self.keys[k]}-scores") as waited:
                if waited:
                    found = self._kept_scores(k)
                found |= self._measure(k, [name for name, pair in found.items() if pair is None])
        pairs = {name: pair for name, pair in found.items() if pair is not None}
        seconds = max(spent.seconds for _, spent in pairs.values())
        peak = max(spent.peak_gib for _, spent in pairs.values())
        self.scores[k] = {name: scores for name, (scores, _) in pairs.items()}
        return self.scores[k], Cost(seconds, peak)

    def reach(self, k: int) -> LM:
        """The model after k interventions: from the nearest kept checkpoint, the rest applied and kept."""
        if (
            self.lm is None
            or self.at > k
            or any(self.keys[j] in self.kept for j in range(self.at + 1, k + 1))
        ):
            self._load_nearest(k)
        for j in range(self.at + 1, k + 1):
            if not self._worth_keeping(j):
                self._apply(j)
                continue
            with self.kept.claim(self.keys[j]) as waited:
                if not (waited and self._load(j)):
                    self._apply(j)
        assert self.lm is not None
        return self.lm

    def folder(self, k: int) -> Path:
        """The kept checkpoint at step k, on disk.

        Raises:
            OSError: there is no room for it.
        """
        key = self.keys[k]
        if key not in self.kept:
            lm = self.reach(k)
            if (
                key not in self.kept
                and self.kept.save(key, lm, self.spent(k) or Cost(0.0, 0.0)) is None
            ):
                raise OSError(
                    f"no room in {self.kept.folder} for the checkpoint of step {k}, which is to be logged"
                )
        return self.kept.path(key)

    def _kept_scores(self, k: int) -> dict[str, tuple[Scores, Cost] | None]:
        with self._timed("load"):
            data = self.data
            return {
                n: self.kept.load_scores(self.keys[k], c.identity(data))
                for n, c in CRITERIA.all().items()
            }

    def _measure(self, k: int, missing: list[str]) -> dict[str, tuple[Scores, Cost] | None]:
        if not missing:
            return {}
        lm, criteria = self.reach(k), CRITERIA.all()
        with cost() as passed:
            fresh = measure(lm, self.data, missing)
        spent = Cost(passed.seconds, passed.peak_gib)
        self.seconds["measure"] += spent.seconds
        with self._timed("save"):
            for name, scores in fresh.items():
                self.kept.save_scores(
                    self.keys[k], criteria[name].identity(self.data), scores, spent
                )
        return {name: (scores, spent) for name, scores in fresh.items()}

    def _base_answers(self) -> tuple[str, ...]:
        identity = ["base_answers", self.plan.data.identity("locality")]
        answers = self.kept.load_value(self.keys[0], identity)
        if answers is None:
            answers = list(locality_answers(self.reach(0), self.plan.data))
            self.kept.save_value(self.keys[0], identity, answers)
        return tuple(answers)

    def _apply(self, j: int) -> None:
        assert self.lm is not None
        key = self.keys[j]
        with cost() as spent:
            self.lm = apply(self.steps[j - 1], self.lm, self.plan.data, key)
        self.at, self._spent[key] = j, Cost(spent.seconds, spent.peak_gib)
        self.applied += 1
        self.seconds["apply"] += spent.seconds
        if self._worth_keeping(j):
            with self._timed("save"):
                self.kept.save(key, self.lm, self._spent[key])

    def _worth_keeping(self, j: int) -> bool:
        """A recompression is, where what it goes on from is."""
        return self._keep(self.keys[min(j, len(self.plan.composition))])

    def _load_nearest(self, k: int) -> None:
        if any(self._load(j) for j in range(k, 0, -1)):
            return
        with self._timed("load"):
            settings = self.plan.settings
            self.lm, self.at = LM.load(self.plan.source, settings.dtype, settings.device), 0

    def _load(self, j: int) -> bool:
        with self._timed("load"):
            loaded = self.kept.load(
                self.keys[j], self.plan.settings.dtype, self.plan.settings.device
            )
        if loaded is None:
            return False
        self.lm, self.at = loaded[0], j
        self.reused = max(self.reused, j)
        return True

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - start
