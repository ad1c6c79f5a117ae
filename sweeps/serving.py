"""A study on many processes or machines, by Ray: each worker serves the study as another process would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeps import choosing, trying, tuning, workers
from sweeps.study import Claims
from sweeps.trying import Place, Request, Work
from tracking.checkpoints import Checkpoints

_LOOK = 1.0  # seconds between looks at how far they are


def on_ray(work: Work, place: Place, claims: Claims, done: Callable[[], None]) -> Any:
    """Let workers serve the study; returns what tests a setting where they are.

    Raises:
        InvalidInput: the cluster lacks the GPUs, or its nodes do not share the folder of checkpoints.
    """
    request = work.request
    resources, name = request.resources, claims.study.study_name
    options = {"num_cpus": 1, "num_gpus": resources.gpus, "max_retries": workers.RETRIES}
    where = (request, place.ledger.experiment_id, name, place.root, place.kept.folder)
    with workers.cluster(resources, place.kept) as ray:
        workers.check_shared_folder(ray, place.kept)
        count = min(workers.limit(ray, resources), max(1, len(claims.running())))
        running = [ray.remote(**options)(_serve).remote(*where) for _ in range(count)]
        try:
            while running:
                ready, running = ray.wait(running, num_returns=1, timeout=_LOOK)
                done()
                for ref in ready:
                    ray.get(ref)
        except BaseException:
            workers.cancel(ray, running)
            raise
        chosen = choosing.chosen(choosing.best(claims.study), claims.study.directions)
        if chosen is not None:
            ray.get(ray.remote(**options)(_test).remote(*where, chosen.params, chosen.number))
    return trying.test  # whose runs there are now


def _serve(request: Request, experiment_id: str, name: str, root: str, folder: Path) -> None:
    """In a worker: run trials until there are none."""
    work, place = _here(request, experiment_id, name, root, folder)
    tuning.serve(work, place, work.claims(place.kept))


def _test(
    request: Request, experiment_id: str, name: str, root: str, folder: Path, params: dict[str, Any], trial: int
) -> None:
    work, place = _here(request, experiment_id, name, root, folder)
    trying.test(params, trial, work, place)


def _here(request: Request, experiment_id: str, name: str, root: str, folder: Path) -> tuple[Work, Place]:
    return Work(request), Place.of(experiment_id, name, root, Checkpoints(folder))
