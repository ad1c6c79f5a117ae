"""Old module paths and commands lead to the new ones, with a warning."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from interventions import moved
from interventions.moved_names import MODULES, NAMES

ROOT = Path(__file__).resolve().parents[1]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
PACKAGES_NOW = (
    *("tracking.checkpoints", "sweeps.grid", "sweeps.study", "analysis.tables", "analysis.report"),
)


def forget(module: str) -> None:
    sys.modules.pop(module, None)


@pytest.mark.parametrize("module", sorted(moved.COMMANDS))
def test_an_old_command_hands_on_every_argument_and_the_status(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[list[str]] = []

    def main(words: list[str]) -> int:
        received.append(words)
        return 7

    monkeypatch.setattr("composability.command.main", main)
    monkeypatch.setattr(sys, "argv", ["python -m", "first", "--second=2", "third"])
    with pytest.warns(FutureWarning, match=rf"python -m {module}` goes with version 0.3"):
        assert moved.run_old_command(module) == 7
    assert received == [[*moved.COMMANDS[module], "first", "--second=2", "third"]]


@pytest.mark.parametrize("old_path", sorted(set(MODULES) - set(PACKAGES_NOW)))
def test_an_old_module_is_imported_with_a_warning(old_path: str) -> None:
    forget(old_path)
    with pytest.warns(DeprecationWarning, match=rf"{old_path} goes with version 0.3: import from"):
        module = importlib.import_module(old_path)
    public = [
        name
        for name in vars(importlib.import_module(MODULES[old_path][0]))
        if not name.startswith("_")
    ]
    assert all(hasattr(module, name) for name in public)
    forget(old_path)


@pytest.mark.parametrize(
    ("old_path", "name", "new_path", "new_name"),
    [
        ("interventions.layers", "block_linears", "interventions.anatomy", "block_linears"),
        ("tracking.liveness", "SILENT", "tracking.processes", "SILENT_SECONDS"),
        ("interventions.spaces", "Room", "interventions.search_space", "TuningContext"),
        ("interventions.watching", "Look", "interventions.callbacks", "Callback"),
        ("sweeps.trying", "Request", "sweeps.study.spec", "StudyRequest"),
        ("sweeps.jobs", "Shared", "sweeps.grid.jobs", "PrefixUse"),
        ("analysis.composability", "point", "analysis.metrics.composability", "point"),
        ("analysis.recommendation", "recommend", "analysis.inference.recommend", "recommend"),
    ],
)
@pytest.mark.filterwarnings("ignore:.* goes with version 0.3:DeprecationWarning")
def test_an_old_name_is_the_new_thing(
    old_path: str, name: str, new_path: str, new_name: str
) -> None:
    forget(old_path)
    old_value = getattr(importlib.import_module(old_path), name)
    assert old_value is getattr(importlib.import_module(new_path), new_name)
    forget(old_path)


@pytest.mark.parametrize("old_path", PACKAGES_NOW)
def test_a_path_that_became_a_package_has_its_old_names_with_a_warning(old_path: str) -> None:
    package = importlib.import_module(old_path)
    new_module = importlib.import_module(MODULES[old_path][0])
    names = {
        "tracking.checkpoints": "MANIFEST",
        "sweeps.grid": "GridRequest",
        "sweeps.study": "TrialQueue",
        "analysis.tables": "Table",
        "analysis.report": "Content",
    }
    with pytest.warns(DeprecationWarning, match=f"{old_path} goes with version 0.3"):
        value = getattr(package, names[old_path])
    assert value is getattr(new_module, names[old_path])
    with pytest.raises(AttributeError, match=r"CHANGELOG\.md says what moved"):
        package.nonsense  # noqa: B018 - the look-up is the test


@pytest.mark.parametrize("old_path", sorted(NAMES))
def test_every_renamed_name_has_its_new_one_and_a_place_in_the_changelog(old_path: str) -> None:
    new_modules = [importlib.import_module(new_path) for new_path in MODULES[old_path]]
    for new_name in NAMES[old_path].values():
        assert any(hasattr(module, new_name) for module in new_modules), new_name
    names = ", ".join(f"`{old}`: `{new}`" for old, new in NAMES[old_path].items())
    assert f"| `{old_path}` | {names} |" in CHANGELOG.splitlines()


def test_a_submodule_is_imported_without_what_the_old_module_had() -> None:
    code = (
        "from sweeps.grid import presets; import sys\n"
        "assert 'sweeps.grid.spec' not in sys.modules and presets.PRESETS"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.filterwarnings("ignore:.* goes with version 0.3:DeprecationWarning")
def test_a_star_import_of_an_old_module_gives_its_names() -> None:
    names: dict[str, object] = {}
    exec("from interventions.layers import *", names)
    assert {"block_linears", "split", "feeders"} <= set(names)


def test_an_old_modules_public_names_are_in_order_and_none_is_private() -> None:
    names = moved._public_names("interventions.layers")
    assert names == sorted(names) and not [name for name in names if name.startswith("_")]
    public = {name for name in vars(importlib.import_module("interventions.anatomy"))}
    assert {name for name in public if not name.startswith("_")} <= set(names)


def test_old_paths_are_looked_up_by_one_finder_however_many_packages_ask_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "meta_path", [object()])
    moved.install()
    moved.install()
    assert [type(finder) for finder in sys.meta_path] == [object, moved._OldModules]


def test_a_private_name_of_an_old_path_is_looked_up_nowhere() -> None:
    attribute = moved.attribute_of_old_module("sweeps.grid")
    for name in ("__path__of__", "presets"):
        with pytest.raises(AttributeError, match=f"'sweeps.grid' has no attribute '{name}'"):
            attribute(name)
    with pytest.raises(AttributeError, match="'old' has no attribute '__wrapped__'"):
        moved._OldModule("old").__wrapped__  # noqa: B018 - the look-up is the test


def test_an_unknown_module_is_still_an_error() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("interventions.nonsense")


@pytest.mark.parametrize("old_path", sorted(MODULES))
def test_the_changelog_lists_every_old_path_with_the_new_one(old_path: str) -> None:
    rows = [line for line in CHANGELOG.splitlines() if f"`{old_path}`" in line]
    assert any(f"`{MODULES[old_path][0]}`" in row for row in rows), old_path


@pytest.mark.parametrize("module", sorted(moved.COMMANDS))
def test_an_old_command_runs_with_a_warning(module: str, tmp_path: Path) -> None:
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    ended = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    command = " ".join(moved.COMMANDS[module])
    assert f"use `composability {command}`" in ended.stderr
    assert ended.stdout.startswith(f"Usage: composability {command}")


def test_an_old_commands_options_with_underscores_are_read(tmp_path: Path) -> None:
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    words = ["tracking.run", "--first", "wnda", "--edit_batch", "1"]
    ended = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert re.search(r"^error: .*Did you mean 'wanda'\?", ended.stderr, re.MULTILINE)
