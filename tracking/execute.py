"""Runs a plan: applies what was not applied before, measures what was not measured before."""

from __future__ import annotations

import dataclasses
import time
from typing import cast

from tqdm import tqdm

from interventions.base import Intervention
from interventions.composition import Composition, Recompress, apply
from interventions.criteria.base import CRITERIA, Scores, measure
from interventions.criteria.cost import cost
from interventions.criteria.editing import locality_answers
from interventions.data.base import Data
from interventions.lm import LM
from tracking.checkpoints import Checkpoints, Spent
from tracking.log import Log
from tracking.plan import Plan


class Execution:
    """One run of a plan. The model in memory is at ``at`` interventions; it is loaded when first needed."""

    def __init__(self, plan: Plan, kept: Checkpoints, log: Log) -> None:
        self.plan, self.kept, self.log = plan, kept, log
        self.steps: list[Intervention] = list(plan.composition)
        self.keys = list(plan.keys)
        self.data: Data = plan.data
        self.lm: LM | None = None
        self.at = -1
        self.reused = 0

    def go(self) -> None:
        """Step 0, 1, …; then the recompressions, each a step of its own."""
        self.data = dataclasses.replace(self.data, base_answers=self._base_answers())
        with tqdm(total=len(self.steps) + 1, unit="step", desc=self.plan.spec(), delay=5) as bar:
            for k in range(len(self.steps) + 1):
                self._step(k, last=k == len(self.steps) and not self._may_recompress())
                bar.update()
            planned = len(self.steps)
            again = self._recompress() if self._may_recompress() else Composition()
            self.log.recompression(again, self.keys[-1])
            for k in range(planned + 1, len(self.steps) + 1):
                self._step(k, last=k == len(self.steps))
        if self._may_recompress() and not again and self.steps and self.plan.settings.checkpoints == "last":
            self._log_checkpoint(planned)
        self.log.reused(self.reused)

    def _may_recompress(self) -> bool:
        compresses = any(step.category == "compression" for step in self.plan.composition)
        return compresses and self.plan.settings.recompress != "never"

    def _recompress(self) -> Composition:
        """Add the recompressions to the steps; what is measured to be lost decides."""
        again: list[Intervention] = []
        mode = cast(Recompress, self.plan.settings.recompress)  # checked by prepare
        # a second round: one that was applied again can cost another its property (SparseGPT leaves a grid)
        for _ in range(2 if mode == "auto" else 1):
            more = self.plan.composition.recompression(self._reach(len(self.steps)), mode)
            again += more
            self.steps += more
            self.keys = Composition(self.steps).keys(self.plan.origin, self.data)
            if not more:
                break
        return Composition(again)

    def _step(self, k: int, last: bool) -> None:
        measured, measuring = self._measure(k)
        keep = self.plan.settings.checkpoints
        if k and keep != "none":
            self._reach_folder(k)
        applied = self.kept.spent(self.keys[k]) if k and self.keys[k] in self.kept else None
        model_id = None
        if k and (keep == "all" or (keep == "last" and last)):
            model_id = self._log_checkpoint(k)
        step = self.steps[k - 1] if k else None
        self.log.step(k, step, self.keys[k], measured, applied, measuring, model_id)

    def _log_checkpoint(self, k: int) -> str:
        return self.log.checkpoint(k, self.steps[k - 1], self.keys[k], self.kept.path(self.keys[k]))

    def _reach_folder(self, k: int) -> None:
        if self.keys[k] not in self.kept:
            self._reach(k)

    def _measure(self, k: int) -> tuple[dict[str, Scores], Spent]:
        """All criteria at step k, kept ones first; what the pass that measured them cost."""
        criteria = CRITERIA.all()
        found = {n: self.kept.load_scores(self.keys[k], c.identity(self.data)) for n, c in criteria.items()}
        missing = [name for name, scores in found.items() if scores is None]
        if missing:
            lm = self._reach(k)
            with cost() as spent:
                fresh = measure(lm, self.data, missing)
            passed = Spent(spent.seconds, spent.peak_gib)
            for name, scores in fresh.items():
                self.kept.save_scores(self.keys[k], criteria[name].identity(self.data), scores, passed)
                found[name] = (scores, passed)
        pairs = {name: pair for name, pair in found.items() if pair is not None}
        seconds = max(spent.seconds for _, spent in pairs.values())
        peak = max(spent.peak_gib for _, spent in pairs.values())
        return {name: scores for name, (scores, _) in pairs.items()}, Spent(seconds, peak)

    def _base_answers(self) -> tuple[str, ...]:
        identity = ["base_answers", self.data.identity("locality")]
        answers = self.kept.load_value(self.keys[0], identity)
        if answers is None:
            answers = list(locality_answers(self._reach(0), self.data))
            self.kept.save_value(self.keys[0], identity, answers)
        return tuple(answers)

    def _reach(self, k: int) -> LM:
        """The model after k interventions: from the nearest kept checkpoint, the rest applied and kept."""
        if self.lm is None or self.at > k or any(self.keys[j] in self.kept for j in range(self.at + 1, k + 1)):
            self._load_nearest(k)
        assert self.lm is not None
        for j in range(self.at + 1, k + 1):
            with cost() as spent:
                self.lm = apply(self.steps[j - 1], self.lm, self.data, self.keys[j])
            self.kept.save(self.keys[j], self.lm, Spent(spent.seconds, spent.peak_gib))
            self.at = j
        return self.lm

    def _load_nearest(self, k: int) -> None:
        start = time.perf_counter()
        settings = self.plan.settings
        for j in range(k, 0, -1):
            loaded = self.kept.load(self.keys[j], settings.dtype, settings.device)
            if loaded is not None:
                self.lm, self.at = loaded[0], j
                self.reused = max(self.reused, j)
                break
        else:
            self.lm, self.at = LM.load(self.plan.source, settings.dtype, settings.device), 0
        self.log.seconds_load += time.perf_counter() - start
