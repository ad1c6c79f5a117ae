"""Where interventions and criteria are found: in packages of the house, and in plug-ins."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from interventions.errors import InvalidInput, did_you_mean, shown

T = TypeVar("T")
_MOST_NAME = 100  # characters: with a field's name after it, still a key that MLflow takes


class Registry(Generic[T]):
    """A mapping of names to entries, which modules make when they are imported.

    All modules of the packages, and all entry points of the group, are imported on the first
    look-up.

    Example:
        >>> numbers: Registry[int] = Registry("number", packages=(), group="example.numbers")
        >>> numbers.add("one", 1)
        >>> numbers.get("one"), dict(numbers.all())
        (1, {'one': 1})
    """

    def __init__(self, kind: str, packages: tuple[str, ...], group: str) -> None:
        """Make an empty registry.

        Args:
            kind: what messages call an entry, such as "intervention".
            packages: whose modules make entries.
            group: of the entry points through which third parties add entries.
        """
        self.kind = kind
        self.packages = packages
        self.group = group
        self._entries: dict[str, T] = {}
        self._complete = False

    def add(self, name: str, entry: T) -> None:
        """Register an entry.

        Raises:
            InvalidInput: the name is taken, or is none that a spec or a metric can have.
        """
        if not (name.isidentifier() and name.isascii() and len(name) <= _MOST_NAME):
            raise InvalidInput(
                f"a {self.kind} must be named by at most {_MOST_NAME} letters, digits and _,"
                f" but got {shown(name, 100)}"
            )
        if name in self._entries:
            taken_by = shown(self._entries[name])
            raise InvalidInput(
                f"{self.kind} {shown(name, 100)} is taken by {taken_by}; choose another name"
            )
        self._entries[name] = entry

    def remove(self, name: str) -> None:
        """Forget an entry, so that the name is free: to define it again in a notebook."""
        del self._entries[name]

    def all(self) -> Mapping[str, T]:
        """Return all entries, sorted by name."""
        if not self._complete:
            # first, as a module that is imported below may look something up
            self._complete = True
            self._discover()
        return dict(sorted(self._entries.items()))

    def get(self, name: str) -> T:
        """Return the entry of that name.

        Raises:
            InvalidInput: there is none; the message proposes the nearest names.
        """
        entries = self.all()
        if not isinstance(name, str) or name not in entries:
            hint = did_you_mean(name, entries, most=3)
            raise InvalidInput(
                f"no {self.kind} is named {shown(name, 100)}.{hint} Known: {', '.join(entries)}"
            )
        return entries[name]

    def _discover(self) -> None:
        for package in self.packages:
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                importlib.import_module(f"{package}.{module.name}")
        for entry_point in entry_points(group=self.group):
            try:
                entry_point.load()
            except Exception as error:
                # a stranger's plug-in must not stop ours
                warnings.warn(
                    f"{self.kind} plug-in {entry_point.name!r} ({entry_point.value}) failed: "
                    f"{error}",
                    stacklevel=3,
                )
