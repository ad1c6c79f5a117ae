"""Sweeps are tested on a testbed of a few questions."""

import pytest

from tests.sweeps.small_testbed import use_small_testbed


@pytest.fixture(autouse=True)
def _small_testbed(monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_testbed(monkeypatch)
