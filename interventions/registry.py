"""Where interventions and criteria are found: by walking packages, and through entry points of third parties."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import warnings
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from interventions.errors import InvalidInput

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to things. A module registers its thing when it is imported; all are imported on the first look-up."""

    def __init__(self, kind: str, packages: tuple[str, ...], group: str) -> None:
        self.kind = kind
        self.packages = packages
        self.group = group
        self._things: dict[str, T] = {}
        self._complete = False

    def add(self, name: str, thing: T) -> None:
        """Register ``thing``; a taken name raises ValueError."""
        if name in self._things:
            raise ValueError(
                f"{self.kind} {name!r} is taken by {self._things[name]!r}; choose another name"
            )
        self._things[name] = thing

    def all(self) -> Mapping[str, T]:
        """Everything known, sorted by name."""
        if not self._complete:
            self._complete = True
            self._discover()
        return dict(sorted(self._things.items()))

    def get(self, name: str) -> T:
        """The thing of that name; raises InvalidInput with the nearest names."""
        known = self.all()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise InvalidInput(f"no {self.kind} is named {name!r}.{hint} Known: {', '.join(known)}")
        return known[name]

    def _discover(self) -> None:
        for package in self.packages:
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                importlib.import_module(f"{package}.{module.name}")
        for entry in entry_points(group=self.group):
            try:
                entry.load()
            except Exception as error:  # a stranger's plug-in must not stop ours
                warnings.warn(
                    f"{self.kind} plug-in {entry.name!r} ({entry.value}) failed: {error}",
                    stacklevel=3,
                )
