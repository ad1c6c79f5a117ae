"""Many runs, page by page; imports no torch."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mlflow import MlflowClient
from mlflow.entities import Run

SIZE = 1000  # the most that a page may have where the store is a server's


def runs(client: MlflowClient, experiment_ids: Sequence[str], filter: str = "") -> Iterator[Run]:
    """All runs that a filter in MLflow's search syntax lets through, newest first; a request per thousand."""
    token = None
    while True:
        with _uncollected():
            page = client.search_runs(
                list(experiment_ids), filter, max_results=SIZE, page_token=token
            )
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def _uncollected() -> Iterator[None]:
    """A page is made of 60,000 objects that all live: to look for garbage among them takes longer than to read them."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
