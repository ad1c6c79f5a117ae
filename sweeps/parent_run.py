"""The parent run of a sweep, and what the store knows of the sweep's jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Param, Run, RunTag
from mlflow.tracking.context.registry import resolve_tags

from interventions.errors import InvalidInput
from tracking import failures, history, lifecycle, query, schema
from tracking.store_lock import store_lock
from tracking.versions import VERSIONED, base_name, check_same_version


@dataclass(frozen=True)
class ParentRun:
    """The run in one experiment under which all runs of a sweep are nested.

    Attributes:
        client: of the store.
        experiment_id: where its runs are.
        name: the sweep's name, by which it is found again.
    """

    client: MlflowClient
    experiment_id: str
    name: str

    def settle_runs(self, named: Collection[str] = (), all_ended: bool = False) -> dict[str, str]:
        """Delete the runs that are superseded, and return the finished ones.

        Of every job, the first run that finished stays; if none did, the one that was started last.
        Runs at which another process is at work stay too. Deleted runs can be restored.

        Args:
            named: ids of runs that something else names, such as a trial of a study; of a job's
                finished runs these count before the others.
            all_ended: whether all of the sweep's work has ended: a run that still says RUNNING is
                then an attempt which was made again elsewhere, even if its process lives.

        Returns:
            Job id -> run id, of the jobs that are finished.
        """
        runs_by_job: dict[str, list[Run]] = {}
        for run in self._tagged_runs(schema.SWEEP):
            # a run that somebody copied the sweep's name to is not the sweep's to delete
            if schema.JOB in run.data.tags:
                runs_by_job.setdefault(run.data.tags[schema.JOB], []).append(run)
        finished_jobs = {}
        for job_id, runs in runs_by_job.items():
            by_start = sorted(runs, key=lambda run: run.info.start_time)
            valid = self._settle_job(by_start, named, all_ended)
            # where a criterion failed, the job is done again: the other scores are stored
            if valid.info.status == "FINISHED" and not _lacks_scores(valid):
                finished_jobs[job_id] = valid.info.run_id
        return finished_jobs

    def _settle_job(self, runs: list[Run], named: Collection[str], all_ended: bool) -> Run:
        """Delete all runs of one job but the one that counts; return that one. Oldest first."""
        finished = [run for run in runs if run.info.status == "FINISHED"]
        # the sort is stable
        finished.sort(key=lambda run: (_lacks_scores(run), run.info.run_id not in named))
        valid = finished[0] if finished else runs[-1]
        for run in runs:
            if not all_ended and _is_running_elsewhere(run):
                continue
            if run.info.status == "RUNNING":
                self.client.set_terminated(run.info.run_id, "KILLED")
            if run is not valid:
                self.client.delete_run(run.info.run_id)
        return valid

    def open_run(self, params: Mapping[str, str], shared: bool = False) -> str:
        """Make the parent run, or take up the one that the store has, and return its id.

        The run that `mlflow run` made for this process becomes the parent; if there is a parent
        already, it is nested under that one.

        Args:
            params: to log. Those that the parent has with another value go into a tag.
            shared: whether several processes may run the sweep at once.

        Raises:
            InvalidInput: another process runs the sweep, and it is not shared; or it has runs on
                another version of the testbed.
        """
        self.check_version(params)
        # of two processes that open a sweep at one instant, the second finds the first's run
        with store_lock(self.client, self.experiment_id, self.name):
            launched = lifecycle.launched_run_id()
            parent = next(self._tagged_runs(schema.SWEEP_ROOT), None)
            if parent is None:
                run_id = launched or self._create_run()
            else:
                run_id = parent.info.run_id
                if not shared and run_id != launched:
                    self._check_not_running(parent)
                self._reopen(run_id, launched)
            self.client.update_run(run_id, name=self.name)
            self._log_params(run_id, params)
        return run_id

    def turn(
        self, task: str, is_quiet: Callable[[], bool] = lambda: True
    ) -> AbstractContextManager[None]:
        """Return a lock for a task that one process of the sweep may do at a time.

        Args:
            task: its name; the tasks of one sweep do not wait for each other.
            is_quiet: says whether no run of the sweep lives; see ``store_lock``.
        """
        return store_lock(self.client, self.experiment_id, f"{self.name} ({task})", is_quiet)

    def check_version(self, params: Mapping[str, str]) -> None:
        """Check that the sweep has no runs on another version of the testbed.

        Args:
            params: of the sweep, as it is asked for now.

        Raises:
            InvalidInput: it has; its runs would be mixed with those of now.
        """
        for setting in VERSIONED:
            now = params.get(setting, "")
            if base_name(now) == now:
                continue  # it is no name of the testbed
            others = f"params.{setting} LIKE '{base_name(now)}%' and params.{setting} != '{now}'"
            for run in self._tagged_runs(schema.SWEEP_ROOT, schema.SWEEP, condition=others):
                recorded = history.recorded_names(run.data.params)[setting]
                check_same_version(repr(self.name), setting, recorded, now)

    def _create_run(self) -> str:
        # with the process from the first request on: killed after it, the sweep is free at once
        tags = {**resolve_tags(), **lifecycle.process_tags(), schema.SWEEP_ROOT: self.name}
        run = self.client.create_run(self.experiment_id, tags=tags)
        return str(run.info.run_id)

    def _check_not_running(self, parent: Run) -> None:
        if parent.info.status != "RUNNING" or lifecycle.is_run_dead(parent):
            return
        tags = schema.renamed(parent.data.tags)
        raise InvalidInput(
            f"{self.name!r} is being run by process {tags.get(schema.PID)} on"
            f" {tags.get(schema.HOST)}: wait for it or end it, or give this one another name"
        )

    def _reopen(self, run_id: str, launched: str | None) -> None:
        self.client.update_run(run_id, status="RUNNING")
        if launched and launched != run_id:
            self.client.update_run(launched, name=f"{self.name} (again)")
            self.client.set_tag(launched, schema.PARENT, run_id)

    def _log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Log the params that are new; a param cannot be changed, so changed ones go into a tag."""
        logged = self.client.get_run(run_id).data.params
        # `mlflow run` has logged the testbed's name without its version
        used = {
            f"{schema.USED}{setting}": params[setting]
            for setting in VERSIONED
            if setting in params and logged.get(setting) == base_name(params[setting])
        }
        new = [Param(key, value) for key, value in {**params, **used}.items() if key not in logged]
        changed = [
            f"{key}={value}"
            for key, value in params.items()
            if logged.get(key, value) != value and f"{schema.USED}{key}" not in used
        ]
        owner = {**lifecycle.process_tags(), schema.SWEEP_ROOT: self.name}
        tags = [RunTag(key, value) for key, value in owner.items()]
        if changed:
            tags.append(RunTag(schema.ASKED_AGAIN, ", ".join(changed)))
        self.client.log_batch(run_id, params=new, tags=tags)

    def _tagged_runs(self, *tags: str, condition: str = "") -> Iterator[Run]:
        for tag in tags:
            tagged = f"tags.`{tag}` = '{self.name}'"
            whole = f"{tagged} and {condition}" if condition else tagged
            yield from query.all_runs(self.client, [self.experiment_id], whole)


def _lacks_scores(run: Run) -> bool:
    return bool(failures.from_tag(run.data.tags))


def _is_running_elsewhere(run: Run) -> bool:
    """Return whether another process works on a run; this process works on none while it asks."""
    is_running = run.info.status == "RUNNING"
    return is_running and not lifecycle.is_own_run(run) and not lifecycle.is_run_dead(run)
