"""What the store knows of a sweep: its parent run, which of its jobs are finished, which runs are superseded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Param, Run, RunTag
from mlflow.tracking.context.registry import resolve_tags

from interventions.errors import InvalidInput
from tracking import lifecycle, pages, schema


def check_name(name: str) -> str:
    """A sweep's name, as a filter can hold it; raises InvalidInput."""
    if not re.fullmatch(r"[\w .+-]{1,200}", name):
        raise InvalidInput(f"name must be of letters, digits, spaces and . + - _, but got {name!r}")
    return name


@dataclass(frozen=True)
class Ledger:
    """One sweep in one experiment.

    Attributes:
        client: of the store.
        experiment_id: where its runs are.
        name: by which it is found again.
    """

    client: MlflowClient
    experiment_id: str
    name: str

    def finished(self) -> dict[str, str]:
        """Job -> run, of those that are finished. Runs that others have superseded are deleted on the way.

        Of every job stays the first that finished; if none did, the last that was tried. Deleted ones can be restored.
        """
        by_job: dict[str, list[Run]] = {}
        for run in self._runs(schema.SWEEP):
            by_job.setdefault(run.data.tags.get(schema.JOB, ""), []).append(run)
        done = {}
        for job, runs in by_job.items():
            runs.sort(key=lambda run: run.info.start_time)
            ended = [run for run in runs if run.info.status == "FINISHED"]
            kept = ended[0] if ended else runs[-1]
            for run in runs:
                if run is not kept and not _is_alive(run):
                    self.client.delete_run(run.info.run_id)
            if kept.info.status == "RUNNING" and not _is_alive(kept):
                self.client.set_terminated(kept.info.run_id, "KILLED")
            if ended:
                done[job] = kept.info.run_id
        return done

    def open(self, params: Mapping[str, str], together: bool = False) -> str:
        """The parent run, made or taken up again; the run that `mlflow run` made becomes it, or is nested under it.

        Args:
            params: to log.
            together: whether several processes may be at it.

        Raises:
            InvalidInput: the sweep is being run, and only one process may.
        """
        launched, found = lifecycle.launched(), next(self._runs(schema.SWEEP_ROOT), None)
        if found is None:
            tags = {**resolve_tags(), schema.SWEEP_ROOT: self.name}
            root = launched or self.client.create_run(self.experiment_id, tags=tags).info.run_id
        else:
            tags, root = found.data.tags, found.info.run_id
            if (
                not together
                and found.info.status == "RUNNING"
                and root != launched
                and not lifecycle.is_dead(found)
            ):
                raise InvalidInput(
                    f"{self.name!r} is being run by process {tags.get(schema.PID)} on {tags.get(schema.HOST)}: wait"
                    " for it or end it, or give this one another name"
                )
            self.client.update_run(root, status="RUNNING")
            if launched:
                self.client.update_run(launched, name=f"{self.name} (again)")
                self.client.set_tag(launched, schema.PARENT, root)
        there = self.client.get_run(root).data.params  # a param cannot be changed
        self.client.update_run(root, name=self.name)
        others = ", ".join(
            f"{key}={value}" for key, value in params.items() if there.get(key, value) != value
        )
        self.client.log_batch(
            root,
            params=[Param(key, value) for key, value in params.items() if key not in there],
            tags=[
                RunTag(schema.SWEEP_ROOT, self.name),
                *([RunTag(schema.ASKED_AGAIN, others)] if others else []),
            ],
        )
        return root

    def _runs(self, tag: str) -> Iterator[Run]:
        return pages.runs(self.client, [self.experiment_id], f"tags.`{tag}` = '{self.name}'")


def _is_alive(run: Run) -> bool:
    """Whether another process is at it; this one is at none while it looks."""
    return run.info.status == "RUNNING" and not lifecycle.is_own(run) and not lifecycle.is_dead(run)
