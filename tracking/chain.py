"""Take a model through the steps of a plan: load what was stored, apply and measure the rest."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from interventions.base import Intervention
from interventions.base_model import base_model
from interventions.composition import Composition, apply, copied
from interventions.criteria.base import Scores, measure
from interventions.criteria.cost import Cost, cost
from interventions.data.base import Data
from interventions.lm import LM
from interventions.options import Recompress
from interventions.step_metrics import recorded_metrics
from tracking import failures
from tracking.branches import branch_plan, warn_of_idle_steps
from tracking.model_answers import load_model, with_answers
from tracking.plan import Plan
from tracking.plan_checks import most_rounds
from tracking.step_facts import IDENTITY, StepFacts

if TYPE_CHECKING:  # tracking.checkpoints imports this module to restore a run
    from tracking.checkpoints.store import Checkpoints

# the scores of a criterion, and what the pass that measured them cost
Measured = tuple[Scores, Cost]


def keep_all(key: str) -> bool:
    """Say of every checkpoint that it is worth storing."""
    return True


class Chain:
    """The steps of one plan, with a model that goes through them; it is loaded when first needed.

    Attributes:
        plan: what is run.
        checkpoints: where checkpoints and scores are stored.
        steps: the interventions, recompressions included once they are known.
        keys: one per checkpoint, the base model's first; longer than ``steps`` by one.
        lm: the model in memory; None before it is needed.
        position: the number of interventions that were applied to ``lm``; -1 before it is loaded.
        steps_reused: how many steps came from a stored checkpoint.
        steps_applied: how many interventions were applied here.
        seconds: by what they went into: load, apply, save, measure.
        scores: what was measured, by number of interventions.
        failures: number of interventions -> criterion -> why it could not be measured.
        run_id: the run that it is logged to; "" if it is not.
    """

    def __init__(
        self, plan: Plan, checkpoints: Checkpoints, keep: Callable[[str], bool] = keep_all
    ) -> None:
        self.plan, self.checkpoints, self._keep = plan, checkpoints, keep
        self.steps: list[Intervention] = list(plan.composition)
        self.keys = list(plan.keys)
        self.lm: LM | None = None
        self.steps_reused = self.steps_applied = 0
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.scores: dict[int, dict[str, Scores]] = {}
        self.failures: failures.Failures = {}
        self.position, self.run_id = -1, ""
        # is told what is done now: "applying lora", "measuring mmlu"
        self.on_stage: Callable[[str], None] = lambda text: None
        # what a branch starts from is at hand
        self._first: int = 0
        self._load_first: Callable[[], LM] = lambda: load_model(self.plan)
        self._costs: dict[str, Cost] = {}
        self._facts: dict[str, StepFacts] = {}
        self._weights = ""  # the fingerprint of ``lm``, where it is known
        self._data: Data | None = None

    @property
    def final_scores(self) -> dict[str, Scores]:
        """The criteria after all steps, recompressions included."""
        return self.scores[len(self.steps)]

    @property
    def data(self) -> Data:
        """What the criteria are measured on, with the other models' answers that one reads."""
        if self._data is None:
            self._data = with_answers(
                self.plan, lambda: self.model_after(0), self.checkpoints.values
            )
        return self._data

    def cost_of_step(self, k: int) -> Cost | None:
        """Return what applying step k cost, here or when its checkpoint was stored, if known."""
        return self._costs.get(self.keys[k]) or self.checkpoints.cost(self.keys[k])

    def facts_of_step(self, k: int) -> StepFacts:
        """Return what applying step k showed, here or before; what was lost is applied again.

        A run records it, the hash of its weights too, by which equal runs are told.
        """
        key = self.keys[k]
        if key not in self._facts:
            stored = StepFacts.from_json(self.checkpoints.values.load(key, IDENTITY))
            if stored is None:
                self.model_after(k - 1)
                self._apply(k)
            else:
                self._facts[key] = stored
        return self._facts[key]

    def may_recompress(self) -> bool:
        """Return whether there is anything that could have to be compressed again."""
        categories = {step.category for step in self.plan.composition}
        return "compression" in categories and self.plan.settings.recompress != "never"

    def recompress(self) -> Composition:
        """Add the recompressions to the steps, and return them.

        With ``recompress=auto`` a compression is applied again if the weights are measured to have
        lost what it gave them.
        """
        added: list[Intervention] = []
        mode = cast(Recompress, self.plan.settings.recompress)  # checked with the settings
        for _ in range(most_rounds(mode)):
            lm = self.model_after(len(self.steps))
            lost = self.plan.composition.recompression(lm, mode)
            added += lost
            self.steps += lost
            self.keys += lost.keys_after(self.keys[-1], self.plan.data)
            if not lost:
                break
        return Composition(added)

    def measure(self, k: int) -> tuple[dict[str, Scores], Cost]:
        """Measure the plan's criteria after k interventions, but for those with stored scores.

        A criterion that fails is left out, and ``failures`` says why.

        Returns:
            The scores by criterion, and the cost of the pass that measured them, now or before.
        """
        measured = self._stored_scores(k)
        if None in measured.values():
            with self.checkpoints.claim(f"{self.keys[k]}-scores") as waited:
                if waited:
                    measured = self._stored_scores(k)
                missing = [name for name, entry in measured.items() if entry is None]
                is_all = len(missing) == len(measured)
                measured |= self._measure(k, missing, is_all)
        entries = {name: entry for name, entry in measured.items() if entry is not None}
        seconds = max(spent.seconds for _, spent in entries.values())
        peak_gib = max(spent.peak_gib for _, spent in entries.values())
        step_gib = max(spent.step_gib for _, spent in entries.values())
        self.scores[k] = {name: scores for name, (scores, _) in entries.items()}
        return self.scores[k], Cost(seconds, peak_gib, step_gib)

    def model_after(self, k: int) -> LM:
        """Return the model after k interventions.

        It starts from the nearest stored checkpoint; the steps after that are applied and stored.
        """
        stored_ahead = any(key in self.checkpoints for key in self.keys[self.position + 1 : k + 1])
        if self.lm is None or self.position > k or stored_ahead:
            self._load_nearest(k)
        for j in range(self.position + 1, k + 1):
            if not self._worth_storing(j):
                self._apply(j)
                continue
            with self.checkpoints.claim(self.keys[j]) as waited:
                if not (waited and self._load(j)):
                    self._apply(j)
        assert self.lm is not None
        return self.lm

    def checkpoint_folder(self, k: int) -> Path | None:
        """Return the folder of the checkpoint after k interventions, verified.

        It is stored if it was not, or was damaged. None, with a warning, if it cannot be.
        """
        key = self.keys[k]
        # scores may be stored too, so that nothing has loaded and verified it
        if self.checkpoints.is_sound(key, again=False):
            return self.checkpoints.path(key)
        lm = self.model_after(k)
        # model_after stores what is worth it
        if self.checkpoints.is_sound(key, again=False):
            return self.checkpoints.path(key)
        return self.checkpoints.save(key, lm, self.cost_of_step(k) or Cost(0.0, 0.0))

    def _stored_scores(self, k: int) -> dict[str, Measured | None]:
        with self._timed("load"):
            data = self.data
            return {
                each.name: self.checkpoints.values.load_scores(self.keys[k], each.identity(data))
                for each in self.plan.criteria
            }

    def _measure(self, k: int, names: list[str], is_all: bool) -> dict[str, Measured | None]:
        """Measure criteria by name, which are all of the plan's if ``is_all``."""
        if not names:
            return {}
        errors: dict[str, Exception] = {}
        lm, criteria = self.model_after(k), {each.name: each for each in self.plan.criteria}
        with cost(lm.device) as measuring:
            scores_of_name = measure(
                lm,
                self.data,
                names,
                errors.__setitem__,
                lambda name: self.on_stage(f"measuring {name}"),
            )
        self.seconds["measure"] += measuring.seconds
        if is_all and len(errors) == len(names):
            raise next(iter(errors.values()))
        failures.keep(self.failures, k, errors)
        with self._timed("save"):
            for name, scores in scores_of_name.items():
                identity = criteria[name].identity(self.data)
                self.checkpoints.values.save_scores(self.keys[k], identity, scores, measuring)
        return {name: (scores, measuring) for name, scores in scores_of_name.items()}

    def _apply(self, j: int) -> None:
        assert self.lm is not None
        key = self.keys[j]
        lm, before = self.lm, self._weights or self._fingerprint(self.lm)
        # before the first step it is the base model itself
        known = base_model((lambda: load_model(self.plan)) if j > 1 else lambda: lm)
        step, data = self.steps[j - 1], self.plan.data
        self.on_stage(f"applying {step.name}")
        # before the cost is measured: the steps of a branch have costs of their own
        models = [self._branch_model(j, branch) for branch in step.compositions()]
        with known, cost(lm.device) as applying, recorded_metrics() as metrics:
            self.lm = apply(step, lm, data, key, *([models.__getitem__] if models else []))
        self._weights = self._fingerprint(self.lm)
        self._facts[key] = StepFacts(self._weights != before, metrics, self._weights)
        self.checkpoints.values.save(key, IDENTITY, self._facts[key].as_json())
        self.position, self._costs[key] = j, applying
        self.steps_applied += 1
        self.seconds["apply"] += applying.seconds
        if self._worth_storing(j):
            with self._timed("save"):
                self.checkpoints.save(key, self.lm, applying)

    def _branch_model(self, j: int, branch: Composition) -> LM:
        """Return the model at the end of a branch of step j: as of the plain composition."""
        assert self.lm is not None
        start = self.lm
        plan = branch_plan(self.plan, self.steps[: j - 1], self.keys[:j], branch)
        chain = Chain(plan, self.checkpoints, self._keep)
        chain._first, chain._load_first = j - 1, lambda: copied(start)
        model = chain.model_after(len(chain.steps))
        warn_of_idle_steps(chain, j)
        self.steps_applied += chain.steps_applied
        for activity, seconds in chain.seconds.items():
            self.seconds[activity] += seconds
        return model

    def _fingerprint(self, lm: LM) -> str:
        with self._timed("save"):
            return lm.fingerprint()

    def _worth_storing(self, j: int) -> bool:
        # a recompression is worth storing if the checkpoint that it goes on from is
        return self._keep(self.keys[min(j, len(self.plan.composition))])

    def _load_nearest(self, k: int) -> None:
        if not any(self._load(j) for j in range(k, self._first, -1)):
            with self._timed("load"):
                self._go_on_from(self._load_first(), self._first)

    def _go_on_from(self, lm: LM, position: int) -> None:
        lm.prompt_format = self.plan.prompt_format
        self.lm, self.position, self._weights = lm, position, ""

    def _load(self, j: int) -> bool:
        settings = self.plan.settings
        with self._timed("load"):
            loaded = self.checkpoints.load(
                self.keys[j], settings.dtype, settings.device, settings.trust_remote_code
            )
        if loaded is not None:
            self._go_on_from(loaded[0], j)
            self.steps_reused = max(self.steps_reused, j)
        return loaded is not None

    @contextmanager
    def _timed(self, activity: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[activity] += time.perf_counter() - start
