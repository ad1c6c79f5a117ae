"""What a sweep runs on: this process, or tasks on a Ray cluster that is started or joined."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from interventions import cache
from interventions.errors import InvalidInput, shown
from interventions.masking import STUDY_STORAGE, has_secret
from tracking import lifecycle, store
from tracking.checkpoints.store import Checkpoints
from tracking.settings import Settings

# as tests/sweeps/grid/test_on_ray.py checks, this many lose and double nothing; more: not tried
SQLITE_WORKERS = 8
MOST_WORKERS, MOST_GPUS = 10_000, 1_000  # on a cluster, and of one worker
TASK_RETRIES = 3  # of a task whose worker died
_ANSWER_SECONDS = 5.0  # that a cluster may take to answer


@dataclass(frozen=True)
class Resources:
    """What a sweep runs on.

    Attributes:
        workers: how many jobs run at once; 1 is this process, unless there is a cluster or a GPU to
            ask for.
        address: ``host:port`` of a Ray cluster; "" starts one on this machine.
        gpus: GPUs per worker; a fraction shares one.

    Example:
        >>> Resources.read("1", "", "0").on_ray
        False
    """

    workers: int = 1
    address: str = ""
    gpus: float = 0.0

    @classmethod
    def read(cls, workers: str | int, address: str, gpus: str | float) -> Resources:
        """Read resources as a user gives them, and check what can be checked before anything runs.

        Args:
            workers: a number of at least 1.
            address: "" or ``host:port``.
            gpus: a number of at least 0.

        Raises:
            InvalidInput: not a number; Ray is not installed; the store does not take as many
                workers; or no cluster answers at the address.
        """
        try:
            resources = cls(int(workers), address, float(gpus))
        except ValueError:
            resources = cls(workers=0)
        is_any = 1 <= resources.workers <= MOST_WORKERS and 0 <= resources.gpus <= MOST_GPUS
        if not is_any:
            raise InvalidInput(
                f"workers must be at least 1 and gpus at least 0, but got {shown(workers, 80)} and"
                f" {shown(gpus, 80)}; at most {MOST_WORKERS} and {MOST_GPUS} are possible"
            )
        if resources.on_ray:
            resources._check_ray()
        return resources

    @property
    def on_ray(self) -> bool:
        """Whether Ray is needed."""
        return self.workers > 1 or bool(self.address) or self.gpus > 0

    def settings(self, requested: Settings) -> Settings:
        """Return the settings with the device and dtype of the workers, which may be elsewhere."""
        if not self.on_ray:
            return requested
        if self.gpus:
            dtype = "bfloat16" if requested.dtype == "auto" else requested.dtype
            return replace(requested, device="cuda", dtype=dtype)
        return replace(requested, device="cpu")

    def _check_ray(self) -> None:
        if importlib.util.find_spec("ray") is None:
            raise InvalidInput(
                "workers, ray_address and gpus need Ray:"
                " pip install 'composable-interventions[ray]'"
            )
        too_many = bool(self.address) or self.workers > SQLITE_WORKERS
        if too_many and store.uri().startswith("sqlite"):
            address = f" and ray_address={self.address}" if self.address else ""
            raise InvalidInput(
                f"SQLite takes {SQLITE_WORKERS} workers on one machine, but got"
                f" workers={self.workers}{address}: set MLFLOW_TRACKING_URI to PostgreSQL"
                " or to an MLflow server"
            )
        if self.address:
            self._check_address()

    def _check_address(self) -> None:
        host, _, port = self.address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), _ANSWER_SECONDS).close()
        except (OSError, ValueError, OverflowError) as error:
            raise InvalidInput(
                f"no Ray cluster answers at {shown(self.address, 100)} (host:port): {error}"
            ) from error


@contextlib.contextmanager
def ray_cluster(resources: Resources, checkpoints: Checkpoints) -> Iterator[Any]:
    """Start or join Ray, yield its module, and leave the cluster at the end.

    Args:
        resources: how many workers, and the address of a cluster to join.
        checkpoints: the cache, whose folder the workers use too.

    Raises:
        InvalidInput: Ray does not start.
    """
    import ray

    # workers import this project from the checkout; what the user had on the path stays
    python_path = filter(None, (str(cache.root()), os.environ.get("PYTHONPATH")))
    variables = {
        **_addresses(resources),
        "COMPOSABILITY_CACHE": str(checkpoints.folder),
        "PYTHONPATH": os.pathsep.join(python_path),
        "TQDM_DISABLE": "1",
    }
    options: dict[str, Any] = {
        "runtime_env": {"env_vars": variables},
        "log_to_driver": False,
        "logging_level": "ERROR",
    }
    if resources.address:
        options["address"] = resources.address
    else:
        options |= {"num_cpus": resources.workers, "include_dashboard": False}
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InvalidInput(f"Ray does not start: {lifecycle.one_line(error)}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _addresses(resources: Resources) -> dict[str, str]:
    """Return the variables with addresses that workers need.

    Ray writes these variables into its logs and shows them on its pages. Workers of a cluster that
    is started here have this process's environment anyway, so that no password need be among them.
    """
    addresses = {"MLFLOW_TRACKING_URI": store.uri()}
    if STUDY_STORAGE in os.environ:
        addresses[STUDY_STORAGE] = os.environ[STUDY_STORAGE]
    if resources.address:
        return addresses
    return {name: address for name, address in addresses.items() if not has_secret(address)}


def parallel_tasks(ray: Any, resources: Resources) -> int:
    """Return how many tasks may run at once.

    Args:
        ray: the module, connected to a cluster.
        resources: with workers=1, as many tasks as fit on the cluster's processors and GPUs.

    Raises:
        InvalidInput: no node has the GPUs that one task needs.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most_gpus = max(node.get("GPU", 0.0) for node in nodes)
    if resources.gpus > most_gpus:
        raise InvalidInput(
            f"gpus={resources.gpus:g} per worker, but no node has more than {most_gpus:g}"
        )
    if resources.workers > 1:
        return resources.workers
    return max(1, sum(_tasks_that_fit(node, resources.gpus) for node in nodes))


def _tasks_that_fit(node: dict[str, float], gpus: float) -> int:
    """Return how many tasks of one processor and ``gpus`` each fit on a node."""
    processors = node.get("CPU", 0.0)
    if not gpus:
        return int(processors)
    return int(min(processors, node.get("GPU", 0.0) / gpus))


def check_shared_folder(ray: Any, checkpoints: Checkpoints) -> None:
    """Check that every node of the cluster sees this machine's folder of checkpoints.

    Raises:
        InvalidInput: a node does not see it; names the node.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) < 2:
        return
    probe = checkpoints.folder / f".probe-{uuid.uuid4().hex}"
    probe.touch()
    on_node = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    try:
        for node in nodes:
            strategy = on_node(node["NodeID"], soft=False)
            exists = ray.remote(num_cpus=0, scheduling_strategy=strategy)(os.path.exists)
            if not ray.get(exists.remote(str(probe))):
                raise InvalidInput(
                    f"node {node['NodeManagerAddress']} does not see {checkpoints.folder}:"
                    " set COMPOSABILITY_CACHE to a folder that all nodes share"
                )
    finally:
        probe.unlink()


def cancel_tasks(ray: Any, running: Sequence[Any]) -> None:
    """End tasks: each gets a KeyboardInterrupt, so that its run ends KILLED."""
    for ref in running:
        ray.cancel(ref)
    if running:
        ray.wait(list(running), num_returns=len(running), timeout=_ANSWER_SECONDS)
