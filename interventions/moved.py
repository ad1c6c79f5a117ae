"""Old module paths and commands, which lead to the new ones with a warning; they go with 0.3.

``import interventions.layers`` gives the names of ``interventions.anatomy``, and
``python -m tracking.run`` runs ``composability run``. CHANGELOG.md has the same table.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from interventions.moved_names import MODULES, NAMES

# what followed `python -m` -> what follows `composability`
COMMANDS: Mapping[str, Sequence[str]] = {
    "interventions": ("list", "interventions"),
    "tracking.run": ("run",),
    "tracking.published": ("published",),
    "tracking.restore": ("restore",),
    "tracking.setup": ("setup",),
    "sweeps.grid": ("grid",),
    "sweeps.tune": ("tune",),
    "analysis": ("analyze",),
}


def run_old_command(module: str) -> int:
    """Run what ``python -m module`` is now with this process's arguments; return its status."""
    command = COMMANDS[module]
    warnings.warn(
        f"`python -m {module}` goes with version 0.3: use `composability {' '.join(command)}`",
        FutureWarning,
        stacklevel=2,
    )
    # dynamic, as the package that the user calls lies over this one
    main = importlib.import_module("composability.command").main
    status: int = main([*command, *sys.argv[1:]])
    return status


def attribute_of_old_module(module: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package whose path was a module before."""

    def attribute(name: str) -> Any:
        # `from sweeps.grid import jobs` asks for an attribute before it imports the submodule
        is_submodule = find_spec(f"{module}.{name}") is not None
        if name.startswith("__") or is_submodule:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = _look_up(module, name)
        _warn(module, stacklevel=3)
        return value

    return attribute


def install() -> None:
    """Let the old paths be imported; every package that had such modules calls it."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())


class _OldModules(MetaPathFinder):
    """Finds a module at its old path; it is asked when every finder before it found nothing."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, _Loader(), origin="moved") if fullname in MODULES else None


class _Loader(InspectLoader):
    """Loads an old path as a module whose names come from the new ones."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _OldModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        _warn(module.__name__, stacklevel=6)

    def get_source(self, fullname: str) -> str:
        """Return what ``python -m`` runs."""
        return (
            "import sys\nfrom interventions.moved import run_old_command\n"
            f"sys.exit(run_old_command({fullname!r}))\n"
        )


class _OldModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name == "__all__":  # for `from interventions.layers import *`
            return _public_names(self.__name__)
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return _look_up(self.__name__, name)


def _public_names(module: str) -> list[str]:
    """Return what can be imported from an old module: its old names and those of its new homes."""
    names = set(NAMES.get(module, {}))
    for new_path in MODULES[module]:
        names |= {name for name in vars(importlib.import_module(new_path)) if name[0] != "_"}
    return sorted(names)


def _look_up(module: str, name: str) -> Any:
    for new_path in MODULES[module]:
        new_module = importlib.import_module(new_path)
        for candidate in (NAMES.get(module, {}).get(name, name), name):
            if hasattr(new_module, candidate):
                return getattr(new_module, candidate)
    raise AttributeError(
        f"{module}.{name} is not in {' or '.join(MODULES[module])}: CHANGELOG.md says what moved"
    )


def _warn(module: str, stacklevel: int) -> None:
    warnings.warn(
        f"{module} goes with version 0.3: import from {' or '.join(MODULES[module])}",
        DeprecationWarning,
        stacklevel=stacklevel,
    )
