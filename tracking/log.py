"""What a run writes into MLflow, and how long that took."""

from __future__ import annotations

import functools
import json
import math
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from interventions.base import Intervention
from interventions.composition import Composition
from interventions.criteria.base import CRITERIA, Scores
from interventions.criteria.cost import Cost
from tracking import catalogue, schema
from tracking.plan import Plan

P = ParamSpec("P")
R = TypeVar("R")


def _timed(method: Callable[Concatenate[Log, P], R]) -> Callable[Concatenate[Log, P], R]:
    def timed(self: Log, /, *args: P.args, **kwargs: P.kwargs) -> R:
        start = time.perf_counter()
        try:
            return method(self, *args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - start

    functools.update_wrapper(timed, method)
    return timed


_PATIENCE = 5.0  # seconds that values wait for others, to be sent in one request


class Log:
    """One run's log. What is logged within seconds goes out together; ``seconds`` adds up the time spent here.

    Args:
        client: of the store.
        run_id: of the run.
        experiment_id: its experiment's.
        plan: what is run.
        launched: the params that `mlflow run` has logged.
        tags: to log beside our own.
    """

    def __init__(
        self,
        client: MlflowClient,
        run_id: str,
        experiment_id: str,
        plan: Plan,
        launched: Mapping[str, str] = MappingProxyType({}),
        tags: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.client, self.run_id, self.experiment_id, self.plan = (
            client,
            run_id,
            experiment_id,
            plan,
        )
        self._launched, self._tags = launched, {schema.SWEEP: "", **tags}
        self.seconds = 0.0
        self.seconds_load = 0.0
        self._steps: list[dict[str, Any]] = []
        self._items: list[pd.DataFrame] = []
        self._diverged: set[str] = set()
        self._waiting: tuple[list[Metric], dict[str, str], dict[str, str]] = ([], {}, {})
        self._since = time.monotonic()
        self._lock = threading.RLock()  # the heartbeat's thread sends what has waited

    @_timed
    def begin(self) -> None:
        """Params and tags."""
        plan, names = self.plan, [step.name for step in self.plan.composition]
        # `mlflow run` has logged what it was given, shell-quoted, and a param cannot be changed
        launched = self._launched
        asked = {name: str(getattr(plan.asked, name)) for name in schema.SETTINGS}
        used = {name: str(getattr(plan.settings, name)) for name in schema.SETTINGS}
        params = {
            schema.COMPOSITION: plan.spec(),
            schema.PAIR: schema.pair(names),
            **schema.step_params(names),
            **schema.hyperparameters(plan.composition),
            **{name: value for name, value in asked.items() if name not in launched},
            **{
                schema.USED + n: used[n]
                for n in used
                if n in ("dtype", "device") or launched.get(n, asked[n]) != used[n]
            },
        }
        about = {
            schema.ABOUT_INTERVENTIONS: catalogue.as_tag(catalogue.of_steps(plan.composition)),
            schema.ABOUT_CRITERIA: catalogue.as_tag(catalogue.of_criteria(CRITERIA.all().values())),
        }
        self._batch(params=params, tags={schema.KEY: plan.keys[-1], **self._tags, **about})

    @_timed
    def recompression(self, again: Composition, key: str) -> None:
        """Show the steps that were added: in the run's name, its params and a tag."""
        profile, steps = self.plan.settings.data, self.plan.composition
        added = [step.spec(profile) for step in again]
        if again:
            self.client.update_run(
                self.run_id, name=schema.run_name([s.spec(profile) for s in steps], added)
            )
        shown = again.spec(profile)
        names = [step.name for step in (*steps, *again)]
        more = dict(list(schema.step_params(names).items())[len(steps) :])
        self._batch(
            params={schema.RECOMPRESSED_PARAM: shown, **more},
            tags={schema.RECOMPRESSED: shown, schema.KEY: key},
        )

    @_timed
    def checkpoint(self, step: int, intervention: Intervention, key: str, folder: Path) -> str:
        """Log a checkpoint folder as an artifact, and as a LoggedModel that points at it; returns the model's id."""
        place = schema.checkpoint_folder(step, intervention.name)
        self.client.log_artifacts(self.run_id, str(folder), place)
        model = mlflow.create_external_model(
            name=f"{step}-{intervention.name}",
            source_run_id=self.run_id,
            experiment_id=self.experiment_id,
            model_type="checkpoint",
            params={k: str(v) for k, v in intervention.params().items()},
            tags={schema.KEY: key, "composability.artifact": f"runs:/{self.run_id}/{place}"},
        )
        return str(model.model_id)

    @_timed
    def step(
        self,
        step: int,
        intervention: Intervention | None,
        key: str,
        measured: Mapping[str, Scores],
        applied: Cost | None,
        measuring: Cost,
        model_id: str | None,
    ) -> None:
        """The criteria after ``step`` interventions, and what they cost."""
        metrics = {name: scores.value for name, scores in measured.items()}
        metrics |= {f"{schema.STDERR}{name}": scores.stderr for name, scores in measured.items()}
        metrics[schema.SECONDS_MEASURE] = measuring.seconds
        metrics[schema.PEAK_MEMORY] = max(measuring.peak_gib, applied.peak_gib if applied else 0.0)
        if applied:
            metrics[schema.SECONDS_APPLY] = applied.seconds
        self._metrics(metrics, step, model_id)
        self._diverged |= {name for name, scores in measured.items() if math.isinf(scores.value)}
        self._steps.append(
            {
                "step": step,
                "intervention": intervention.spec(self.plan.settings.data)
                if intervention
                else None,
                "key": key,
                "criteria": {
                    name: {"value": schema.exact(s.value), "stderr": schema.exact(s.stderr)}
                    for name, s in measured.items()
                },
            }
        )
        self._items += [
            pd.DataFrame(
                {
                    "criterion": name,
                    "step": step,
                    "item": list(s.items),
                    "score": list(s.items.values()),
                }
            )
            for name, s in measured.items()
        ]

    @_timed
    def _artifacts(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            exact = json.dumps({"composition": self.plan.spec(), "steps": self._steps}, indent=1)
            (Path(folder) / schema.CRITERIA_JSON).write_text(exact)
            pd.concat(self._items, ignore_index=True).to_parquet(
                Path(folder) / schema.ITEMS, index=False
            )
            self.client.log_artifacts(self.run_id, folder)

    def end(self) -> None:
        """The files of all steps, and the last tags."""
        self._artifacts()
        if self._diverged:
            self._batch(tags={schema.DIVERGED: ",".join(sorted(self._diverged))})
        spent = {schema.SECONDS_LOG: self.seconds, schema.SECONDS_LOAD: self.seconds_load}
        self._metrics(spent, step=len(self._steps) - 1)
        self.flush()

    def reused(self, steps: int) -> None:
        """How many steps came from a kept checkpoint."""
        self._batch(tags={schema.REUSED_PREFIX: str(steps)})

    def _metrics(
        self, metrics: Mapping[str, float], step: int, model_id: str | None = None
    ) -> None:
        now = int(time.time() * 1000)
        self._batch(
            metrics=[
                Metric(name, value, now, step, model_id=model_id, run_id=self.run_id)
                for name, value in schema.finite(metrics).items()
            ]
        )

    def _batch(
        self,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        metrics: list[Metric] | None = None,
    ) -> None:
        with self._lock:
            waiting_metrics, waiting_params, waiting_tags = self._waiting
            waiting_metrics += metrics or []
            waiting_params |= params or {}
            waiting_tags |= tags or {}

    def tick(self) -> None:
        """Send what has waited for some seconds; called every second, from another thread."""
        if time.monotonic() - self._since > _PATIENCE:
            self.flush()

    @_timed
    def flush(self) -> None:
        """Send what waits; if the store does not take it, it goes on waiting."""
        with self._lock:
            metrics, params, tags = self._waiting
            self.client.log_batch(
                self.run_id,
                metrics=metrics,
                params=[Param(k, v) for k, v in params.items()],
                tags=[RunTag(k, v) for k, v in tags.items()],
            )
            self._waiting, self._since = ([], {}, {}), time.monotonic()
