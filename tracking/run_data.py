"""The data of a run: one batch of edits, or all batches that the steps of a composition write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import cast

from interventions.base import Intervention
from interventions.composition import Composition
from interventions.data.base import Data
from interventions.data.edit_sequence import edit_sequence
from interventions.data.own.data_set import DataSet
from interventions.data.paper import paper
from interventions.data.testbed import testbed
from interventions.errors import InvalidInput
from interventions.options import Split
from tracking.settings import PAPER, Settings, check_stride


class RunData:
    """What steps learn from and are judged by under some settings.

    Args:
        settings: checked; the data's name with its version.

    Example:
        >>> data = RunData(Settings(edit_batch=3))
        >>> len(data.first.edits)
        50
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def first(self) -> Data:
        """The data with the batch of edits of the settings."""
        return self._scored_alike(self._own)

    @property
    def own_window(self) -> int:
        """The window of the data, where no setting says another."""
        return self._own.window

    def of(self, steps: Iterable[Intervention]) -> Data:
        """Return the data with every batch of edits that one of the steps writes.

        Raises:
            InvalidInput: the data have no such batch, or two batches contradict one another.
        """
        batches: dict[int, Data] = {}
        for step in Composition(steps).with_branches():
            later = step.batches_later
            if "edits" not in step.reads or later in batches:
                continue
            try:
                batches[later] = self._batch(later)
            except InvalidInput as error:
                raise InvalidInput(f"{step.name}.{step.batch_field}={later}: {error}") from error
        return self._scored_alike(edit_sequence(batches)) if batches else self.first

    @cached_property
    def _own(self) -> Data:
        return self._batch(0)

    def _batch(self, later: int) -> Data:
        """Return the data with the batch that comes so many batches after the settings'."""
        settings, index = self._settings, self._settings.edit_batch + later
        if isinstance(settings.data, DataSet):
            return settings.data.batch(index, settings.split)
        make_data = paper if settings.data == PAPER else testbed
        return make_data(index, cast(Split, settings.split))  # checked with the settings

    def _scored_alike(self, data: Data) -> Data:
        """Return data whose texts are cut into windows as the settings say."""
        settings = self._settings
        window, stride, tail = settings.window or data.window, settings.stride, settings.tail
        check_stride(stride, window)
        if (window, stride, tail) == (data.window, data.stride, data.tail):
            return data
        return replace(data, window=window, stride=stride, tail=tail)


def writes_later_batches(steps: Iterable[Intervention]) -> bool:
    """Tell whether a step writes another batch of edits than the run's own."""
    return any(
        "edits" in step.reads and step.batches_later for step in Composition(steps).with_branches()
    )
