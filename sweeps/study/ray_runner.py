"""A study on many processes or machines, by Ray: each worker serves the study as another process would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeps.grid import ray_runner
from sweeps.study import runner, selection
from sweeps.study.trial import StudyRequest, StudyRuns, StudySpec, test
from sweeps.study.trial_queue import TrialQueue
from tracking.checkpoints.store import Checkpoints

_LOOK = 1.0  # seconds between looks at how far they are


def on_ray(work: StudySpec, place: StudyRuns, claims: TrialQueue, done: Callable[[], None]) -> Any:
    """Let workers serve the study; returns what tests a setting where they are.

    Raises:
        InvalidInput: the cluster lacks the GPUs, or its nodes do not share the folder of checkpoints.
    """
    request = work.request
    resources, name = request.resources, claims.study.study_name
    options = {"num_cpus": 1, "num_gpus": resources.gpus, "max_retries": ray_runner.RETRIES}
    where = (request, place.ledger.experiment_id, name, place.root, place.kept.folder)
    with ray_runner.cluster(resources, place.kept) as ray:
        ray_runner.check_shared_folder(ray, place.kept)
        count = min(ray_runner.limit(ray, resources), max(1, len(claims.running())))
        running = [ray.remote(**options)(_serve).remote(*where) for _ in range(count)]
        try:
            while running:
                ready, running = ray.wait(running, num_returns=1, timeout=_LOOK)
                done()
                for ref in ready:
                    ray.get(ref)
        except BaseException:
            ray_runner.cancel(ray, running)
            raise
        chosen = selection.chosen(selection.best(claims.study), claims.study.directions)
        if chosen is not None:
            ray.get(ray.remote(**options)(_test).remote(*where, chosen.params, chosen.number))
    return test  # whose runs there are now


def _serve(request: StudyRequest, experiment_id: str, name: str, root: str, folder: Path) -> None:
    """In a worker: run trials until there are none."""
    work, place = _here(request, experiment_id, name, root, folder)
    runner.serve(work, place, work.claims(place.kept))


def _test(
    request: StudyRequest,
    experiment_id: str,
    name: str,
    root: str,
    folder: Path,
    params: dict[str, Any],
    trial: int,
) -> None:
    work, place = _here(request, experiment_id, name, root, folder)
    test(params, trial, work, place)


def _here(
    request: StudyRequest, experiment_id: str, name: str, root: str, folder: Path
) -> tuple[StudySpec, StudyRuns]:
    return StudySpec(request), StudyRuns.of(experiment_id, name, root, Checkpoints(folder))
