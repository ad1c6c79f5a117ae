"""What the commands call, stood in for."""

from collections.abc import Callable
from typing import Any

import pytest

Calls = list[tuple[Any, ...]]


@pytest.fixture
def calls() -> Calls:
    return []


@pytest.fixture
def stand_in(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a function in a work's place that notes what it is called with."""

    def put(place: str, answer: object = None) -> None:
        def work(*arguments: object, **options: object) -> object:
            calls.append((place.rpartition(".")[2], *arguments, *([options] if options else [])))
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(place, work)

    put("tracking.store.check_reachable")
    return put
