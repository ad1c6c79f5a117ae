"""Who goes in first, who waits, and for how long, on a clock that stands still while none waits."""

import json
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow import MlflowClient

from interventions.errors import InvalidInput
from tracking import schema, store_lock
from tracking.processes import process_tags

NOW = 1_700_000_000.0


class Store:
    """An experiment whose tags others write, too.

    Attributes:
        tags: the experiment's.
        writes: how often this process wrote a claim.
        seconds: that this process has waited.
        arriving: the tags that others write right after each of those claims.
        leaving: the tag that goes while this process waits.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tags: dict[str, str] = {}
        self.writes = 0
        self.seconds = 0.0
        self.leaving = ""
        self.arriving: Iterator[dict[str, str]] = iter(())
        clock = SimpleNamespace(
            monotonic=lambda: self.seconds, time=lambda: NOW, sleep=lambda seconds: self._wait()
        )
        monkeypatch.setattr(store_lock, "time", clock)

    def _wait(self) -> None:
        self.seconds += 1
        self.tags = {name: text for name, text in self.tags.items() if name != self.leaving}

    def get_experiment(self, experiment_id: str) -> Any:
        return SimpleNamespace(tags=dict(self.tags))

    def set_experiment_tag(self, experiment_id: str, name: str, text: str) -> None:
        self.writes += 1
        self.tags[name] = text
        self.tags |= next(self.arriving, {})

    def delete_experiment_tag(self, experiment_id: str, name: str) -> None:
        self.tags.pop(name, None)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(monkeypatch)


def acquire(store: Store, deadline: float = 10.0) -> str:
    def is_lost(owner: Mapping[str, str]) -> bool:
        return False

    client = cast(MlflowClient, store)
    return store_lock._acquire(client, "7", "claim.", is_lost, deadline)


# an own claim is of the digits and letters of a hexadecimal number
@pytest.mark.parametrize(("rival", "writes"), [("claim.~", 1), ("claim.!", 2)])
def test_of_two_that_came_at_once_the_first_by_name_waits_with_its_claim(
    store: Store, rival: str, writes: int
) -> None:
    store.arriving, store.leaving = iter([{rival: "{}"}]), rival
    claim = acquire(store)
    assert claim.startswith("claim.") and set(store.tags) == {claim}
    assert store.writes == writes and store.seconds == 1


def test_a_claim_is_given_up_once_the_deadline_has_passed(store: Store) -> None:
    store.tags["claim.!"] = "{}"
    assert acquire(store, deadline=10.0) == ""
    assert store.seconds == 11 and set(store.tags) == {"claim.!"}


@pytest.mark.parametrize(("silent_seconds", "is_waited_for"), [(0, True), (1, False)])
def test_a_process_elsewhere_is_lost_once_it_was_silent_for_longer_than_the_most(
    store: Store, silent_seconds: int, is_waited_for: bool
) -> None:
    beat = NOW - store_lock._MOST_SECONDS - silent_seconds
    owner = {**process_tags(), schema.HOST: "elsewhere", schema.HEARTBEAT: str(beat)}
    client = cast(MlflowClient, store)
    with store_lock.store_lock(client, "7", "mine"):
        (claim,) = store.tags
    store.tags = {claim: json.dumps(owner)}
    lock = store_lock.store_lock(client, "7", "mine")
    if is_waited_for:
        with pytest.raises(InvalidInput, match="'mine' is being opened by others"), lock:
            pass
        assert store.seconds == 3 * store_lock._MOST_SECONDS + 1
    else:
        with lock:
            assert claim not in store.tags
