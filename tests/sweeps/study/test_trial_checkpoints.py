"""Which checkpoints of a trial are worth keeping for others."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from interventions.composition import Composition
from sweeps.study.trial import _shared_checkpoints


@pytest.mark.parametrize(
    ("is_tuned", "space", "shared"),
    [
        # on a grid every prefix repeats, but not the whole
        ([True, True], "paper", "ab"),
        ([False, True, False], "paper", "abc"),
        # elsewhere what is before the first tuned step
        ([True, False], "default", "a"),
        ([False, True], "default", "ab"),
        ([False, False, True], "default", "abc"),
        ([False, False], "default", "abc"),
    ],
)
def test_what_is_before_the_first_tuned_step_is_shared(
    is_tuned: list[bool], space: str, shared: str
) -> None:
    keys = "abcd"[: len(is_tuned) + 1]
    plan = SimpleNamespace(keys=tuple(keys), composition=Composition([]), data=None)
    keep = _shared_checkpoints(cast(Any, plan), is_tuned, space)
    assert "".join(filter(keep, keys)) == shared
