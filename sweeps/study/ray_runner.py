"""A study on many processes or machines, by Ray: each worker serves it as another process would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps import cluster
from sweeps.study.final_test import measure_chosen
from sweeps.study.request import StudyRequest
from sweeps.study.selection import best_trials, choose
from sweeps.study.serving import POLL_SECONDS, serve
from sweeps.study.spec import StudySpec
from sweeps.study.study_runs import StudyRuns
from sweeps.study.trial_queue import TrialQueue
from tracking.checkpoints.store import Checkpoints


@dataclass(frozen=True)
class _Connection:
    """What a worker needs to take part in a study, as values that can be sent to it."""

    request: StudyRequest
    experiment_id: str
    name: str
    parent_id: str
    folder: Path

    def open(self) -> tuple[StudySpec, StudyRuns]:
        checkpoints = Checkpoints(self.folder)
        study_runs = StudyRuns.connect(self.experiment_id, self.name, self.parent_id, checkpoints)
        return StudySpec(self.request), study_runs


def serve_on_ray(
    spec: StudySpec, study_runs: StudyRuns, queue: TrialQueue, on_progress: Callable[[], None]
) -> None:
    """Let workers serve the study, and one of them measure the chosen trial on the final split.

    Args:
        spec: of the study.
        study_runs: where its runs go.
        queue: the study's trials.
        on_progress: called each second, and after each worker.

    Raises:
        InvalidInput: the cluster lacks the GPUs, or its nodes do not share the checkpoints.
    """
    resources, checkpoints = spec.request.resources, study_runs.checkpoints
    connection = _Connection(
        spec.request,
        study_runs.parent.experiment_id,
        queue.study.study_name,
        study_runs.parent_id,
        checkpoints.folder,
    )
    options = {"num_cpus": 1, "num_gpus": resources.gpus, "max_retries": cluster.TASK_RETRIES}
    with cluster.ray_cluster(resources, checkpoints) as ray:
        cluster.check_shared_folder(ray, checkpoints)
        worker_count = min(cluster.parallel_tasks(ray, resources), max(1, len(queue.unfinished())))
        task = ray.remote(**options)(_serve)
        running = [task.remote(connection) for _ in range(worker_count)]
        try:
            while running:
                ended, running = ray.wait(running, num_returns=1, timeout=POLL_SECONDS)
                on_progress()
                for ref in ended:
                    ray.get(ref)
        except BaseException:
            cluster.cancel_tasks(ray, running)
            raise
        chosen = choose(best_trials(queue.study), queue.study.directions)
        if chosen is not None:
            # in a worker: this machine may lack the device
            task = ray.remote(**options)(_measure_chosen)
            ray.get(task.remote(connection, chosen.params, chosen.number))


def _serve(connection: _Connection) -> None:
    """Run trials in a worker until there are none."""
    spec, study_runs = connection.open()
    serve(spec, study_runs, spec.open_queue(study_runs.checkpoints))


def _measure_chosen(connection: _Connection, params: dict[str, Any], trial_number: int) -> None:
    spec, study_runs = connection.open()
    measure_chosen(params, trial_number, spec, study_runs)
