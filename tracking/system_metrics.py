"""Log what the machine does meanwhile, where MLflow's own variable asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tracking import store


@contextmanager
def system_metrics(run_id: str) -> Iterator[None]:
    """Log use of CPU, memory, disk, network and GPU as ``system/…`` metrics while the block runs.

    Only with MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=true, as MLflow's own runs: a reading every ten
    seconds, or every MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL seconds.

    Args:
        run_id: the run, which must be RUNNING.
    """
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING

    if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    # a run that goes on was measured before: the first step is the one after its last
    monitor = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=store.uri())
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
