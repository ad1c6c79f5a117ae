"""Shared by the tests of fine-tuning."""

import pytest

from tests.interventions.unlearning.reference import Losses


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> Losses:
    return Losses(monkeypatch)
