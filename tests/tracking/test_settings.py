"""A run's settings cannot be changed once they were checked."""

import dataclasses

import pytest

from tracking.settings import Settings


def test_settings_stay_as_they_were_checked() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().seed = 3  # type: ignore[misc]
