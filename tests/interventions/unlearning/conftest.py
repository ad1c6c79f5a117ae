"""Shared by the tests of unlearning methods."""

import pytest

from tests.interventions.unlearning.reference import (
    Losses,
)


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> Losses:
    return Losses(monkeypatch)
