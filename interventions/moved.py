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
from types import ModuleType
from typing import Any

# old module -> the modules that have its names now
MODULES: Mapping[str, tuple[str, ...]] = {
    "interventions.layers": (
        "interventions.anatomy",
        "interventions.partial_pass",
        "interventions.feeders",
    ),
    "interventions.watching": ("interventions.callbacks",),
    "interventions.spaces": ("interventions.search_space", "interventions.base"),
    "interventions.compression.peers": ("interventions.compression.backends",),
    "tracking.liveness": ("tracking.lifecycle",),
    "tracking.checkpoints": ("tracking.checkpoints.store",),
    "tracking.changes": ("tracking.checkpoints.delta",),
    "tracking.restore": ("tracking.checkpoints.restore",),
    "tracking.pages": ("tracking.query",),
    "sweeps.choices": ("sweeps.grid.enumerate", "sweeps.grid.presets", "sweeps.grid.ranges"),
    "sweeps.jobs": ("sweeps.grid.jobs",),
    "sweeps.running": ("sweeps.grid.runner", "sweeps.failures"),
    "sweeps.workers": ("sweeps.cluster", "sweeps.grid.ray_runner"),
    "sweeps.estimate": ("sweeps.grid.estimate",),
    "sweeps.progress": ("sweeps.grid.progress",),
    "sweeps.grid": ("sweeps.grid.spec",),
    "sweeps.ledger": ("sweeps.parent_run", "sweeps.values"),
    "sweeps.patience": ("sweeps.retry",),
    "sweeps.tune": ("sweeps.study.command",),
    "sweeps.trying": ("sweeps.study.spec", "sweeps.study.trial"),
    "sweeps.tuning": ("sweeps.study.runner",),
    "sweeps.serving": ("sweeps.study.ray_runner",),
    "sweeps.spaces": ("sweeps.study.search_space",),
    "sweeps.storages": ("sweeps.study.storage",),
    "sweeps.choosing": ("sweeps.study.selection",),
    "sweeps.conclusion": ("sweeps.study.report",),
    "sweeps.plots": ("sweeps.study.plots",),
    "sweeps.study": ("sweeps.study.trial_queue", "sweeps.study.options"),
    "sweeps.objectives": ("sweeps.study.objectives",),
    "analysis.orders": (
        "analysis.metrics.align",
        "analysis.metrics.settings",
        "analysis.metrics.groups",
        "analysis.metrics.columns",
    ),
    "analysis.points": (
        "analysis.metrics.points",
        "analysis.metrics.missing",
        "analysis.metrics.measures",
        "analysis.metrics.groups",
        "analysis.metrics.columns",
    ),
    "analysis.areas": ("analysis.metrics.areas", "analysis.metrics.columns"),
    "analysis.composability": ("analysis.metrics.composability",),
    "analysis.bounds": ("analysis.metrics.bounds",),
    "analysis.wins": ("analysis.metrics.wins",),
    "analysis.statistics": (
        "analysis.inference.intervals",
        "analysis.inference.ties",
        "analysis.inference.bootstrap",
    ),
    "analysis.samples": ("analysis.inference.samples",),
    "analysis.recommendation": ("analysis.inference.recommend",),
    "analysis.layouts": (
        "analysis.tables.layouts",
        "analysis.tables.composed",
        "analysis.tables.appendix",
        "analysis.metrics.levels",
    ),
    "analysis.tables": ("analysis.tables.table",),
    "analysis.curves": ("analysis.plots.curves", "analysis.plots.panels"),
    "analysis.heat": ("analysis.plots.heat",),
    "analysis.figures": ("analysis.plots.figures", "analysis.plots.heat_figure"),
    "analysis.interactive": ("analysis.plots.interactive",),
    "analysis.findings": ("analysis.report.findings.all", "analysis.report.findings.evidence"),
    "analysis.content": ("analysis.report.content", "analysis.report.collect"),
    "analysis.report": ("analysis.report.page",),
    "analysis.request": ("analysis.report.request", "analysis.report.prepare"),
    "analysis.analyze": ("analysis.report.files", "analysis.report.collect"),
}

# old name -> new name
NAMES: Mapping[str, str] = {
    "Claims": "TrialQueue",
    "Grid": "CompositionGrid",
    "Ledger": "ParentRun",
    "Look": "Callback",
    "Place": "StudyRuns",
    "Prepared": "PreparedAnalysis",
    "Request": "StudyRequest",
    "Room": "TuningContext",
    "Shared": "PrefixUse",
    "Spent": "Cost",
    "Work": "StudySpec",
}

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
        if name.startswith("__"):
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
    """Finds a module at its old path, after every other finder has found nothing."""

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

    def is_package(self, fullname: str) -> bool:
        return False


class _OldModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return _look_up(self.__name__, name)


def _look_up(module: str, name: str) -> Any:
    for new_path in MODULES[module]:
        new_module = importlib.import_module(new_path)
        for candidate in (name, NAMES.get(name, name)):
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
