"""Write into MLflow what a run does, and measure how long the writing takes."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from interventions.aside import scratch_folder
from interventions.base import Intervention
from interventions.composition import Composition
from interventions.criteria.base import Scores
from interventions.criteria.cost import Cost
from tracking import catalogue, failures, schema, step_record
from tracking.artifact_files import log_checkpoint_files
from tracking.checkpoints.logged_models import CheckpointModel, log_checkpoint_model
from tracking.datasets import RunDataset, datasets_of_criteria, log_datasets
from tracking.plan import Plan
from tracking.run_note import run_note
from tracking.settings import settings_params
from tracking.step_facts import StepFacts

P = ParamSpec("P")
R = TypeVar("R")

_BATCH_SECONDS = 5.0  # that values wait for others, to be sent in one request
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})


def _timed(method: Callable[Concatenate[Log, P], R]) -> Callable[Concatenate[Log, P], R]:
    def timed(self: Log, /, *args: P.args, **kwargs: P.kwargs) -> R:
        start = time.perf_counter()
        try:
            return method(self, *args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - start

    functools.update_wrapper(timed, method)
    return timed


@dataclass
class _Batch:
    """What waits to be sent."""

    metrics: list[Metric] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class Log:
    """One run's log. What is logged within some seconds goes out in one request.

    Args:
        client: of the store.
        run_id, experiment_id: of the run.
        plan: what is run.
        launched_params: the params that `mlflow run` has logged.
        tags: to log beside our own.

    Attributes:
        seconds: the time spent on logging.
        seconds_load: the time spent on loading models and data; the caller sets it before ``end``.
        failures: number of interventions -> criterion -> why it failed; the caller sets it, too.
    """

    def __init__(
        self,
        client: MlflowClient,
        run_id: str,
        experiment_id: str,
        plan: Plan,
        launched_params: Mapping[str, str] = _NO_TEXTS,
        tags: Mapping[str, str] = _NO_TEXTS,
    ) -> None:
        self.client, self.run_id, self.plan = client, run_id, plan
        self.experiment_id = experiment_id
        self._launched_params, self._tags = launched_params, {schema.SWEEP: "", **tags}
        self.seconds = self.seconds_load = 0.0
        self.failures: Mapping[int, Mapping[str, str]] = {}
        self._steps: list[dict[str, Any]] = []
        self._items: list[pd.DataFrame] = []
        self._diverged: set[str] = set()
        self._without_effect: list[str] = []
        self._weights = ""
        self._waiting = _Batch()
        self._sent_at = time.monotonic()
        self._lock = threading.RLock()  # the heartbeat's thread sends what has waited

    @_timed
    def begin(self) -> None:
        """Log the params and the tags that are known before the first step."""
        plan, names = self.plan, [step.name for step in self.plan.composition]
        params = {
            schema.COMPOSITION: plan.spec(),
            schema.PAIR: schema.pair_name(names),
            **schema.step_params(names),
            **schema.hyperparameter_params(plan.composition.with_branches()),
            **settings_params(plan.requested, plan.settings, self._launched_params),
            **plan.sources(),
        }
        interventions = catalogue.facts_of_steps(plan.composition.with_branches())
        criteria = catalogue.facts_of_criteria(plan.criteria)
        tags = {
            schema.KEY: plan.keys[-1],
            schema.LEAKAGE: plan.leakage,
            **self._tags,
            schema.ABOUT_INTERVENTIONS: catalogue.as_tag(interventions),
            schema.ABOUT_CRITERIA: catalogue.as_tag(criteria),
        }
        self._add(params=params, tags=tags)
        log_datasets(self.client, self.run_id, plan)

    @functools.cached_property
    def _datasets(self) -> dict[str, RunDataset]:
        return datasets_of_criteria(self.plan)

    @_timed
    def recompression(self, added: Composition, key: str) -> None:
        """Show the recompressions in the run's name, its params and a tag.

        Args:
            added: the recompressions; the empty composition if there are none.
            key: of the last checkpoint.
        """
        profile, steps = self.plan.settings.profile, self.plan.composition
        if added:
            specs = [step.spec(profile) for step in steps]
            name = schema.run_name(specs, [step.spec(profile) for step in added])
            self.client.update_run(self.run_id, name=name)
        text = added.spec(profile)
        all_names = [step.name for step in (*steps, *added)]
        # the params of the planned steps are logged already
        new_params = dict(list(schema.step_params(all_names).items())[len(steps) :])
        self._add(
            params={schema.RECOMPRESSED_PARAM: text, **new_params},
            tags={schema.RECOMPRESSED: text, schema.KEY: key},
        )

    @_timed
    def checkpoint(self, about: CheckpointModel, folder: Path) -> str | None:
        """Log a checkpoint as a LoggedModel; what changed of it only is an artifact alone.

        Args:
            about: what is known of the checkpoint.
            folder: where its files are, or what changed of them.

        Returns:
            The LoggedModel's id; None if there is none.
        """
        checksum = schema.checksum_tag(about.step)
        self._add(tags={checksum: about.tags[checksum]})
        if self.plan.settings.checkpoints == "changed":
            log_checkpoint_files(self.client, self.run_id, folder, about.artifact)
            return None
        run = self.client.get_run(self.run_id)
        return str(log_checkpoint_model(self.client, run, about, folder).model_id)

    @_timed
    def step(
        self,
        step: int,
        intervention: Intervention | None,
        key: str,
        measured: Mapping[str, Scores],
        applying: Cost | None,
        measuring: Cost,
        model_id: str | None,
        facts: StepFacts | None = None,
    ) -> None:
        """Log the criteria after ``step`` interventions, and what they cost.

        Args:
            step: the number of interventions applied.
            intervention: the last of them; None at step 0.
            key: the checkpoint's.
            measured: scores by criterion.
            applying: what applying the intervention cost, if known.
            measuring: what measuring cost.
            model_id: the LoggedModel to link the metrics to, if there is one.
            facts: what applying the intervention showed, if known.
        """
        for name, metrics in step_record.ordered_metrics(measured):
            self._add_metrics(metrics, step, model_id, self._datasets.get(name))
        self._weights = facts.weights if facts else ""
        if facts:
            self._without_effect += [] if facts.changed else [str(step)]
        step_metrics = {
            **step_record.cost_metrics(applying, measuring),
            **(facts.metrics if facts else {}),
        }
        self._add_metrics(step_metrics, step, model_id)
        self._diverged |= {name for name, scores in measured.items() if math.isinf(scores.value)}
        spec = intervention.spec(self.plan.settings.profile) if intervention else None
        about = {
            "step": step,
            "intervention": spec,
            "key": key,
            "criteria": step_record.exact_scores(measured),
        }
        self._steps.append(about)
        self._items += step_record.item_frames(measured, step)

    def reused(self, steps: int, is_all_cached: bool = False) -> None:
        """Log how many steps came from the cache, and whether everything did."""
        self._add(tags={schema.REUSED_PREFIX: str(steps)})
        if is_all_cached:
            self._add(tags={schema.ALL_CACHED: "true"})

    def end(self) -> None:
        """Log the files of all steps and the last tags, and send all that waits."""
        self._log_files()
        tags = {
            schema.WITHOUT_EFFECT: ",".join(self._without_effect),
            schema.FAILED_CRITERIA: failures.failures_tag(self.failures) if self.failures else "",
            schema.WEIGHTS: self._weights,
            schema.DIVERGED: ",".join(sorted(self._diverged)),
        }
        self._add(tags={tag: text for tag, text in tags.items() if text})
        self._describe()
        seconds = {schema.SECONDS_LOG: self.seconds, schema.SECONDS_LOAD: self.seconds_load}
        self._add_metrics(seconds, step=len(self._steps) - 1)
        self.flush()

    def _describe(self) -> None:
        """Write the run's description, unless somebody has written one meanwhile."""
        names = [step.name for step in self.plan.composition]
        pair = schema.pair_name(names) if len(set(names)) > 1 else ""
        note = run_note(
            self._steps, catalogue.facts_in_order(self.plan.criteria), self.experiment_id, pair
        )
        if note and schema.NOTE not in self.client.get_run(self.run_id).data.tags:
            self._add(tags={schema.NOTE: note})

    def tick(self) -> None:
        """Send what has waited for some seconds; called every second, from another thread."""
        if time.monotonic() - self._sent_at > _BATCH_SECONDS:
            self.flush()

    @_timed
    def flush(self) -> None:
        """Send what waits; if the store does not take it, it goes on waiting."""
        with self._lock:
            self.client.log_batch(
                self.run_id,
                metrics=self._waiting.metrics,
                params=[Param(name, value) for name, value in self._waiting.params.items()],
                tags=[RunTag(name, value) for name, value in self._waiting.tags.items()],
            )
            self._waiting, self._sent_at = _Batch(), time.monotonic()

    @_timed
    def _log_files(self) -> None:
        with scratch_folder() as folder:
            steps = {"composition": self.plan.spec(), "steps": self._steps}
            # a grid has hundreds of runs, and a table is ten times its parquet file
            has_table = not self._tags[schema.SWEEP]
            tags = step_record.write_run_files(folder, steps, self._items, has_table)
            self._add(tags=tags)
            self.client.log_artifacts(self.run_id, str(folder))

    def _add_metrics(
        self,
        metrics: Mapping[str, float],
        step: int,
        model_id: str | None = None,
        dataset: RunDataset | None = None,
    ) -> None:
        about = {"timestamp": int(time.time() * 1000), "step": step, "run_id": self.run_id}
        if dataset is not None:
            about |= {"dataset_name": dataset.name, "dataset_digest": dataset.digest}
        entries = [
            Metric(name, value, model_id=model_id, **about)
            for name, value in schema.without_nan(metrics).items()
        ]
        self._add(metrics=entries)

    def _add(
        self,
        params: Mapping[str, str] = _NO_TEXTS,
        tags: Mapping[str, str] = _NO_TEXTS,
        metrics: list[Metric] | None = None,
    ) -> None:
        with self._lock:
            self._waiting.metrics += metrics or []
            self._waiting.params |= params
            self._waiting.tags |= tags
