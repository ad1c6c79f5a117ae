"""A model in memory on its way through steps, registered ones and functions, each logged."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from transformers import PreTrainedModel

from interventions.base import Intervention
from interventions.base_model import base_model
from interventions.composition import Composition, apply, computed_branches, digest
from interventions.criteria.base import Scores, measure
from interventions.criteria.cost import Cost, cost
from interventions.data.base import Data
from interventions.errors import InvalidInput, shown
from interventions.lm import LM
from interventions.step_metrics import recorded_metrics
from tracking import failures, schema
from tracking.checkpoints.integrity import content_checksum
from tracking.checkpoints.logged_models import CheckpointModel
from tracking.checkpoints.store import Checkpoints
from tracking.function_step import Function, changed_model, function_step
from tracking.log import Log
from tracking.model_answers import with_answers
from tracking.plan import Plan
from tracking.plan_checks import check_length, check_parts
from tracking.step_facts import StepFacts

_NO_PARAMS: Mapping[str, Any] = {}


class TrackedComposition:
    """A model on its way through steps, each of which is measured and logged.

    Attributes:
        run_id: of the MLflow run.
        model: the transformers model as it is now.
    """

    def __init__(self, lm: LM, plan: Plan, log: Log, checkpoints: Checkpoints) -> None:
        """Take the base model; ``track`` makes it."""
        self.run_id = log.run_id
        self._lm, self._plan, self._log, self._checkpoints = lm, plan, log, checkpoints
        self._steps: list[Intervention] = []
        self._keys = list(plan.keys)
        self._weights = lm.fingerprint()
        self._failures: failures.Failures = {}
        self._data: Data = plan.measured_data

    @property
    def model(self) -> PreTrainedModel:
        """The transformers model as it is now: a step may have made another of it."""
        return self._lm.model

    def apply(
        self,
        step: str | Intervention | Function,
        *,
        name: str = "",
        category: str = "training",
        params: Mapping[str, Any] = _NO_PARAMS,
    ) -> PreTrainedModel:
        """Apply a step to the model, measure every criterion, and log both.

        Args:
            step: ``"lora"`` or ``"lora | wanda(sparsity=0.25)"``; an Intervention; or a function of
                the transformers model, which changes it in place or returns another one.
            name: of a function's step; the function's own by default.
            category: of a function's step: "editing", "compression", "unlearning", "training" or
                "merging".
            params: of a function's step, to be logged with it.

        Returns:
            The model after it.

        Raises:
            InvalidInput: before anything is applied: the step cannot be read or does not fit the
                model or data, the name is a registered intervention's, the composition would be
                longer than one may be, or the weights were changed outside of a step.
        """
        self._check_untouched()
        if callable(step) and not isinstance(step, Intervention):
            function_based = function_step(name or getattr(step, "__name__", ""), category, params)
            self._function_step(function_based, step)
            return self.model
        if name or params or category != "training":
            raise InvalidInput(
                "name, category and params are those of a function's step; an intervention has its"
                f" own: {shown(str(step), 100)}"
            )
        if isinstance(step, str):
            steps = Composition.parse(step, self._plan.settings.profile)
        else:
            steps = Composition([step])
        self._check_length(*steps)
        for intervention in steps:
            intervention.check(self.model)
            check_parts(intervention, self._plan.data)
            intervention.check_texts(intervention.own_data(self._plan.data))
        for intervention in steps:
            self._intervention(intervention)
        return self.model

    def changed(
        self, name: str, *, category: str = "training", params: Mapping[str, Any] = _NO_PARAMS
    ) -> None:
        """Log as a step what your own code has done to the model since the step before.

        Args:
            name: of the step.
            category: as in ``apply``.
            params: likewise.
        """
        function_based = function_step(name, category, params)
        self._check_length(function_based)
        self._log_step(function_based, Cost(), {}, before=self._weights)

    def _intervention(self, step: Intervention) -> None:
        before, first = self._weights, not self._steps
        lm, data, key_before = self._lm, self._plan.data, self._keys[-1]
        key = Composition([step]).keys_after(key_before, data)[-1]

        def base() -> LM:
            if first:
                return lm
            raise InvalidInput(f"{step.name} asks for the base model, which is changed already")

        with base_model(base), cost(lm.device) as applying, recorded_metrics() as metrics:
            models = computed_branches(step, lm, data, key_before)
            self._lm = apply(step, lm, data, key, models)
        self._log_step(step, applying, metrics, before, key)

    def _function_step(self, step: Intervention, function: Function) -> None:
        before = self._weights
        self._check_length(step)
        with cost(self._lm.device) as applying, recorded_metrics() as metrics:
            # as training code expects it
            self.model.requires_grad_(True)
            self._lm = changed_model(function, self._lm, step.name)
        self._log_step(step, applying, metrics, before)

    def _log_step(
        self,
        step: Intervention,
        applying: Cost,
        metrics: Mapping[str, float],
        before: str,
        key: str = "",
    ) -> None:
        self._lm.model.eval()
        self._lm.model.requires_grad_(False)
        self._weights = self._lm.fingerprint()
        # of a function it is not known what it depends on: what it led to is its identity
        key = key or digest(self._keys[-1], step.name, step.params(), self._weights)
        self._steps.append(step)
        self._keys.append(key)
        specs = [applied.spec(self._plan.settings.profile) for applied in self._steps]
        facts = StepFacts(self._weights != before, metrics, self._weights)
        if not facts.changed:
            warnings.warn(
                f"step {len(self._steps)}, {specs[-1]}, changed no weight: what follows is what was"
                " before it",
                stacklevel=4,
            )
        self._log.client.update_run(self.run_id, name=schema.run_name(specs))
        scores, measuring = self._measure()
        model_id = self._log_checkpoint() if self._plan.settings.checkpoints == "all" else None
        self._log.step(len(self._steps), step, key, scores, applying, measuring, model_id, facts)

    def begin(self) -> None:
        """Measure the base model."""
        self._data = with_answers(self._plan, lambda: self._lm)
        scores, measuring = self._measure()
        self._log.step(0, None, self._keys[0], scores, None, measuring, None)

    def end(self) -> None:
        """Log what is known only after the last step.

        Raises:
            InvalidInput: the weights were changed after it.
        """
        self._check_untouched()
        if self._steps and self._plan.settings.checkpoints == "last":
            self._log_checkpoint()
        self.describe()
        self._log.failures = self._failures
        self._log.end()

    def describe(self) -> None:
        """Log the params of all steps so far."""
        steps = Composition(self._steps)
        self._log.plan = replace(self._plan, composition=steps, keys=self._keys)
        self._log.begin()

    def _check_length(self, *steps: Intervention) -> None:
        check_length(Composition([*self._steps, *steps]), self._plan.settings.profile)

    def _check_untouched(self) -> None:
        if self._lm.fingerprint() != self._weights:
            raise InvalidInput(
                "the weights were changed outside of a step: give the code as a function to"
                ' composition.apply(function, name="mine"), or say composition.changed("mine")'
                " after it"
            )

    def _measure(self) -> tuple[dict[str, Scores], Cost]:
        errors: dict[str, Exception] = {}
        names = [criterion.name for criterion in self._plan.criteria]
        with cost(self._lm.device) as measuring:
            scores = measure(self._lm, self._data, names, errors.__setitem__)
        if errors and not scores:
            raise next(iter(errors.values()))
        failures.keep(self._failures, len(self._steps), errors)
        return scores, measuring

    def _log_checkpoint(self) -> str | None:
        key, step = self._keys[-1], self._steps[-1]
        folder = self._checkpoints.save(key, self._lm, Cost())
        if folder is None:
            raise OSError(f"no room in {self._checkpoints.folder} for a checkpoint to be logged")
        specs = [applied.spec(self._plan.settings.profile) for applied in self._steps]
        with self._checkpoints.held(key) as held:
            checksum = schema.checksum_tag(len(self._steps))
            about = CheckpointModel(
                step=len(self._steps),
                name=step.name,
                spec=schema.run_name(specs),
                params={name: str(value) for name, value in step.params().items()},
                tags={schema.KEY: key, checksum: content_checksum(held)},
            )
            return self._log.checkpoint(about, held)
