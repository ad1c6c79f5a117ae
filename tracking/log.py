"""Write into MLflow what a run does, and measure how long the writing takes."""

from __future__ import annotations

import functools
import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from interventions.aside import scratch_folder
from interventions.base import Intervention
from interventions.composition import Composition
from interventions.criteria.base import Scores
from interventions.criteria.cost import Cost
from tracking import catalogue, failures, schema
from tracking.artifact_files import log_checkpoint_files
from tracking.plan import Plan
from tracking.settings import recorded_settings
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
            **schema.hyperparameter_params(plan.composition),
            **self._settings(),
            **plan.sources(),
        }
        interventions = catalogue.facts_of_steps(plan.composition)
        criteria = catalogue.facts_of_criteria(plan.criteria)
        tags = {
            schema.KEY: plan.keys[-1],
            **self._tags,
            schema.ABOUT_INTERVENTIONS: catalogue.as_tag(interventions),
            schema.ABOUT_CRITERIA: catalogue.as_tag(criteria),
        }
        self._add(params=params, tags=tags)

    def _settings(self) -> dict[str, str]:
        requested = recorded_settings(self.plan.requested)
        used = recorded_settings(self.plan.settings)
        # `mlflow run` has logged what it was given, with the shell's quotes, and MLflow lets
        # nobody change a param: what was used goes into one of its own
        logged = {name: self._launched_params.get(name, requested[name]) for name in used}
        always_shown = ("dtype", "device", "window", "recompress")
        params = {name: requested[name] for name in requested if name not in self._launched_params}
        for name, value in used.items():
            if name in always_shown or logged[name] != value:
                params[f"{schema.USED}{name}"] = value
        return params

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
    def checkpoint(
        self, step: int, intervention: Intervention, key: str, folder: Path, checksum: str
    ) -> str:
        """Log a checkpoint as an artifact, and as a LoggedModel that points at it.

        Args:
            step: the number of interventions applied.
            intervention: the last of them.
            key: the checkpoint's.
            folder: where its files are, or what changed of them.
            checksum: of all files of the full checkpoint; becomes a tag, by which what is
                restored is verified.

        Returns:
            The LoggedModel's id.
        """
        artifact = schema.checkpoint_folder(step, intervention.name)
        self._add(tags={schema.checksum_tag(step): checksum})
        log_checkpoint_files(self.client, self.run_id, folder, artifact)
        tags = {schema.KEY: key, "composability.artifact": f"runs:/{self.run_id}/{artifact}"}
        model = mlflow.create_external_model(
            name=f"{step}-{intervention.name}",
            source_run_id=self.run_id,
            experiment_id=self.experiment_id,
            model_type="checkpoint",
            params={name: str(value) for name, value in intervention.params().items()},
            tags=tags,
        )
        return str(model.model_id)

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
        metrics = {name: scores.value for name, scores in measured.items()}
        metrics |= {f"{schema.STDERR}{name}": scores.stderr for name, scores in measured.items()}
        metrics[schema.SECONDS_MEASURE] = measuring.seconds
        metrics[schema.PEAK_MEMORY] = max(measuring.peak_gib, applying.peak_gib if applying else 0)
        if applying:
            metrics[schema.SECONDS_APPLY] = applying.seconds
        metrics[schema.STEP_MEMORY] = (applying or measuring).step_gib
        self._weights = facts.weights if facts else ""
        if facts:
            metrics |= facts.metrics
            self._without_effect += [] if facts.changed else [str(step)]
        self._add_metrics(metrics, step, model_id)
        self._diverged |= {name for name, scores in measured.items() if math.isinf(scores.value)}
        number = schema.json_number
        exact_scores = {
            name: {"value": number(x.value), "stderr": number(x.stderr)}
            for name, x in measured.items()
        }
        spec = intervention.spec(self.plan.settings.profile) if intervention else None
        about = {"step": step, "intervention": spec, "key": key, "criteria": exact_scores}
        self._steps.append(about)
        for name, scores in measured.items():
            columns = {"item": list(scores.items), "score": list(scores.items.values())}
            self._items.append(pd.DataFrame({"criterion": name, "step": step, **columns}))

    def reused(self, steps: int) -> None:
        """Log how many steps came from a stored checkpoint."""
        self._add(tags={schema.REUSED_PREFIX: str(steps)})

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
        seconds = {schema.SECONDS_LOG: self.seconds, schema.SECONDS_LOAD: self.seconds_load}
        self._add_metrics(seconds, step=len(self._steps) - 1)
        self.flush()

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
            (folder / schema.CRITERIA_JSON).write_text(json.dumps(steps, indent=1))
            items = pd.concat(self._items, ignore_index=True)
            items.to_parquet(folder / schema.ITEMS, index=False)
            self.client.log_artifacts(self.run_id, str(folder))

    def _add_metrics(
        self, metrics: Mapping[str, float], step: int, model_id: str | None = None
    ) -> None:
        timestamp = int(time.time() * 1000)
        entries = [
            Metric(name, value, timestamp, step, model_id=model_id, run_id=self.run_id)
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
