"""Shared by the tests of editing methods."""

import dataclasses

import pytest

from interventions.data import testbed as bed
from interventions.data.base import Edit
from tests.interventions.editing.reference import Reference


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


@pytest.fixture(scope="module")
def edits() -> tuple[Edit, ...]:
    """The testbed's, of which the third has a target of many tokens."""
    first, second, third, *rest = bed.testbed().edits
    return first, second, dataclasses.replace(third, target="the old mill by the river"), *rest
