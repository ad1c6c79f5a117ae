"""A lock that the tracking store holds: one process at a time, none waits for the dead."""

import json
import threading
import time
from typing import Any

import pytest
from mlflow import MlflowClient

from interventions.errors import InvalidInput
from tracking import schema, store
from tracking.processes import process_tags
from tracking.store_lock import store_lock

GONE = {**process_tags(), schema.PID: "999999"}
ELSEWHERE = {**process_tags(), schema.HOST: "elsewhere"}


@pytest.fixture
def client(local_store: str) -> MlflowClient:
    return MlflowClient(local_store)


def claims(client: MlflowClient) -> dict[str, str]:
    tags = client.get_experiment(store.ensure_experiment()).tags
    return {key: value for key, value in tags.items() if key.startswith(schema.CLAIM)}


def test_of_several_that_come_at_once_one_at_a_time_goes_in(client: MlflowClient) -> None:
    experiment_id = store.ensure_experiment()
    inside, most, entered = 0, 0, 0
    together = threading.Barrier(4)

    def come() -> None:
        nonlocal inside, most, entered
        together.wait()
        with store_lock(client, experiment_id, "mine"):
            inside += 1
            most, entered = max(most, inside), entered + 1
            time.sleep(0.05)
            inside -= 1

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, entered, claims(client)) == (1, 4, {})


def test_locks_of_other_names_do_not_wait(client: MlflowClient) -> None:
    experiment_id = store.ensure_experiment()
    with store_lock(client, experiment_id, "one"), store_lock(client, experiment_id, "two"):
        assert len(claims(client)) == 2
    assert not claims(client)


def test_a_failure_inside_gives_the_lock_back(client: MlflowClient) -> None:
    with (
        pytest.raises(RuntimeError, match="inside"),
        store_lock(client, store.ensure_experiment(), "mine"),
    ):
        raise RuntimeError("inside")
    assert not claims(client)


@pytest.mark.parametrize(
    "left",
    [
        GONE,
        {**ELSEWHERE, schema.HEARTBEAT: str(time.time() - 61)},
        "no claim of ours",
        [],
    ],
)
def test_what_a_killed_process_left_is_passed_over(client: MlflowClient, left: Any) -> None:
    experiment_id = store.ensure_experiment()
    with store_lock(client, experiment_id, "mine"):
        (claim,) = claims(client)
    client.set_experiment_tag(experiment_id, claim, json.dumps(left))
    start = time.monotonic()
    with store_lock(client, experiment_id, "mine"):
        assert len(claims(client)) == 1
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("prefix", [schema.MACHINE, "composability."])  # of today, and until 0.2
def test_a_process_elsewhere_is_waited_for_and_then_said(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    experiment_id = store.ensure_experiment()
    with store_lock(client, experiment_id, "mine"):
        (claim,) = claims(client)
    monkeypatch.setattr("tracking.store_lock._MOST_SECONDS", 0.2)
    ahead = {**ELSEWHERE, schema.HEARTBEAT: str(time.time() + 100)}
    owner = {name.replace(schema.MACHINE, prefix): text for name, text in ahead.items()}
    client.set_experiment_tag(experiment_id, claim, json.dumps(owner))
    with (
        pytest.raises(InvalidInput, match="'mine' is being opened by others"),
        store_lock(client, experiment_id, "mine"),
    ):
        pass
    assert list(claims(client)) == [claim]
