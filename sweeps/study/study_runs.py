"""The MLflow runs of a study: their parent, and what the store has of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlflow.entities import Run

from sweeps.parent_run import ParentRun
from sweeps.study.objectives import RESTORED, Objective
from tracking import failures, schema, store
from tracking.checkpoints.store import Checkpoints
from tracking.run import SweepMember


@dataclass(frozen=True)
class StudyRuns:
    """Where the runs of a study are logged, and the cache that they share.

    Attributes:
        parent: the study in its experiment.
        parent_id: id of the run under which all others are nested.
        checkpoints: the cache.
    """

    parent: ParentRun
    parent_id: str
    checkpoints: Checkpoints

    @classmethod
    def connect(
        cls, experiment_id: str, name: str, parent_id: str, checkpoints: Checkpoints
    ) -> StudyRuns:
        """Return the runs of a study that another process has opened."""
        client = store.client()
        return cls(ParentRun(client, experiment_id, name), parent_id, checkpoints)

    def member(
        self, job: str, trial_number: int, keep: Callable[[str], bool], **tags: str
    ) -> SweepMember:
        """Return what makes a run one of the study's.

        Args:
            job: names what the run computes: equal jobs, equal results.
            trial_number: of the trial that it belongs to.
            keep: says by its key which checkpoint is worth keeping for other runs.
            **tags: more tags of the run.
        """
        study_tags = {
            schema.PARENT: self.parent_id,
            schema.SWEEP: self.parent.name,
            schema.JOB: job,
            schema.TRIAL: str(trial_number),
        }
        return SweepMember(self.parent.experiment_id, {**study_tags, **tags}, keep)

    def search(self, condition: str) -> list[Run]:
        """Return the study's runs that meet a condition.

        Args:
            condition: in MLflow's filter language, such as ``attributes.status = 'RUNNING'``.
        """
        is_member = f"tags.`{schema.SWEEP}` = '{self.parent.name}'"
        runs = self.parent.client.search_runs(
            [self.parent.experiment_id], f"{is_member} and {condition}"
        )
        return list(runs)

    def finished(self, job: str, key: str) -> Run | None:
        """Return the finished run of a job, if there is one.

        A process may have been killed after its run had finished and before its trial was told.

        Args:
            job: what the run computed.
            key: of the checkpoint that the run must have ended with. A sampler may give a slot
                other values when it fills it again.
        """
        runs = self.search(
            f"tags.`{schema.JOB}` = '{job}' and tags.`{schema.KEY}` = '{key}'"
            " and attributes.status = 'FINISHED'"
        )
        # where a criterion failed, the job is done again: the other scores are stored
        complete = [run for run in runs if not failures.from_tag(run.data.tags)]
        return complete[0] if complete else None

    def path(self, run: Run, objectives: Sequence[Objective]) -> list[Mapping[str, float]]:
        """Return a finished run's criteria after every step.

        Before the last one only those are read that an objective needs from there.

        Args:
            run: of the store.
            objectives: of the study.
        """
        last = failures.final_metrics(run)
        needed = [sought.criterion for sought in objectives if sought.measure == RESTORED]
        path: dict[int, dict[str, float]] = {}
        for name in dict.fromkeys(needed):
            for metric in self.parent.client.get_metric_history(run.info.run_id, name):
                path.setdefault(metric.step, {})[name] = schema.from_store(metric.value)
        return [*(path.get(step, {}) for step in range(max(path, default=0))), last]

    def of_trial(self, trial_number: int) -> list[Run]:
        """Return the runs of one trial."""
        return self.search(f"tags.`{schema.TRIAL}` = '{trial_number}'")
