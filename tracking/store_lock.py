"""A lock in the tracking store: what one process at a time may do, on whichever machine it runs.

MLflow has no locks. A process that wants one writes a claim, a tag of the experiment under a name
of its own, where there is none, and looks who else has one. Who is alone has the lock. Of several
that wrote at one instant, the first by name waits until the others have taken their claims back.

Whoever has the lock was alone when it looked, and its claim stayed: so each later one sees it. Two
processes that have the lock at once would each have looked before the other wrote, and each has
written before it looked.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from interventions.errors import InvalidInput, shown
from tracking import schema
from tracking.processes import is_here, is_process_gone, process_tags

_WAIT_SECONDS = 0.1  # between two looks
_MOST_SECONDS = 60.0  # for which a process that cannot be seen from here is waited for


@contextmanager
def store_lock(
    client: MlflowClient,
    experiment_id: str,
    name: str,
    is_quiet: Callable[[], bool] | None = None,
) -> Iterator[None]:
    """Hold a lock while the block runs; wait for it as long as another process holds it.

    A process that was killed with the lock is passed over: on this machine at once. On another,
    where it cannot be seen, after a minute, so that the block is to take seconds; or, where it may
    take long, by what ``is_quiet`` says.

    Args:
        client: of the store.
        experiment_id: whose tags hold the claims.
        name: of the lock.
        is_quiet: says whether nothing shows that the work on another machine goes on. With it, the
            lock of a process there is passed over once that says so, ten minutes after it was taken
            at the earliest, and is waited for without end.

    Raises:
        InvalidInput: others held it for minutes; never with ``is_quiet``.
    """
    prefix = f"{schema.CLAIM}.{hashlib.sha256(name.encode()).hexdigest()[:16]}."

    def is_lost(owner: Mapping[str, str]) -> bool:
        if is_here(owner):
            return is_process_gone(owner)
        if is_quiet is None:
            return time.time() - float(schema.renamed(owner)[schema.HEARTBEAT]) > _MOST_SECONDS
        return is_process_gone(owner) and is_quiet()

    deadline = time.monotonic() + (3 * _MOST_SECONDS if is_quiet is None else math.inf)
    own_claim = _acquire(client, experiment_id, prefix, is_lost, deadline)
    if not own_claim:
        raise InvalidInput(f"{shown(name, 100)} is being opened by others; try again")
    try:
        yield
    finally:
        _take_back(client, experiment_id, own_claim)


def _acquire(
    client: MlflowClient,
    experiment_id: str,
    prefix: str,
    is_lost: Callable[[Mapping[str, str]], bool],
    deadline: float,
) -> str:
    """Return the name of this process's claim, once it is the only one; "" after the deadline."""
    claim = ""
    while True:
        claims = _living_claims(client, experiment_id, prefix, is_lost)
        if claims == {claim}:
            return claim
        if claim and (claim not in claims or claim != min(claims)):
            # not the first, or taken back by a process from which this one cannot be seen
            _take_back(client, experiment_id, claim)
            claim = ""
        elif not claims:
            claim = prefix + uuid.uuid4().hex
            client.set_experiment_tag(experiment_id, claim, json.dumps(process_tags()))
            continue
        if time.monotonic() > deadline:
            _take_back(client, experiment_id, claim)
            return ""
        time.sleep(_WAIT_SECONDS)


def _living_claims(
    client: MlflowClient,
    experiment_id: str,
    prefix: str,
    is_lost: Callable[[Mapping[str, str]], bool],
) -> set[str]:
    """Return the claims whose processes live; those of others are taken back."""
    tags = client.get_experiment(experiment_id).tags
    claims = {key: value for key, value in tags.items() if key.startswith(prefix)}
    lost = {key for key, value in claims.items() if _says_lost(value, is_lost)}
    for key in lost:
        _take_back(client, experiment_id, key)
    return set(claims) - lost


def _says_lost(value: str, is_lost: Callable[[Mapping[str, str]], bool]) -> bool:
    try:
        return is_lost(json.loads(value))
    except (ValueError, KeyError, TypeError, AttributeError):
        return True  # no claim of ours


def _take_back(client: MlflowClient, experiment_id: str, claim: str) -> None:
    # another process may have found it to be lost
    with suppress(MlflowException):
        client.delete_experiment_tag(experiment_id, claim)
