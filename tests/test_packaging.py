"""The wheel, its metadata, and the plug-in beside the project of somebody else."""

import ast
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.checkouts import (
    ROOT,
    artifact_folder,
    copy_checkout,
    make_environment,
    recorded_runs,
    run_program,
)

PACKAGES = ("interventions", "tracking", "sweeps", "analysis", "composability")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# libraries of extras, which are not installed here: import name -> distribution
EXTRAS = {
    "awq": "autoawq",
    "gptqmodel": "gptqmodel",
    "llmcompressor": "llmcompressor",
    "ray": "ray",
}
INDIRECT = {"tabulate"}  # pandas imports it: to_markdown


# what is declared


def imported_modules(tree: ast.AST, inside_functions: bool) -> Iterator[str]:
    """Yield the top-level name of every module that code imports; without relative imports."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if inside_functions or not is_function:
            yield from imported_modules(node, inside_functions)


def imported_distributions(inside_functions: bool) -> dict[str, str]:
    """Return the libraries that the packages import: distribution -> a file that imports it."""
    distributions = packages_distributions()
    importers: dict[str, str] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for module in imported_modules(ast.parse(path.read_text()), inside_functions):
                if module in sys.stdlib_module_names or module in PACKAGES:
                    continue
                # of several distributions with one module (mlflow), the one that has its name
                candidates = distributions.get(module, [EXTRAS.get(module, module)])
                distribution = module if module in candidates else candidates[0]
                importers[canonicalize_name(distribution)] = str(path.relative_to(ROOT))
    return importers


def declared(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def test_every_import_is_a_declared_dependency() -> None:
    core = declared(PROJECT["dependencies"])
    undeclared = {
        name: path
        for name, path in imported_distributions(inside_functions=True).items()
        if name not in core | set(EXTRAS.values())
    }
    assert undeclared == {}


def test_no_extra_is_imported_by_a_module_before_it_is_asked_for() -> None:
    core = declared(PROJECT["dependencies"])
    assert set(imported_distributions(inside_functions=False)) <= core


def test_every_dependency_is_imported() -> None:
    core = declared(PROJECT["dependencies"])
    assert core - set(imported_distributions(inside_functions=True)) == INDIRECT


def test_the_metadata_names_a_licence_and_nobody() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert not {"authors", "maintainers", "urls"} & set(PROJECT)


# the wheel, in an environment that cannot import the checkout


@pytest.fixture(scope="module")
def checkout_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("copy") / "checkout")


@pytest.fixture(scope="module")
def wheel(checkout_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run_program([*build, "--wheel-dir", str(folder), str(checkout_copy)], folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("environment") / "venv", wheel)


@pytest.fixture(scope="module")
def checkout_python(checkout_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which the copy is installed as `pip install -e` does."""
    folder = tmp_path_factory.mktemp("editable") / "venv"
    return make_environment(folder, None, checkout_copy)


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """An MLflow project of somebody else."""
    (tmp_path / "MLproject").write_text(
        "name: another\nentry_points:\n  main:\n    command: python train.py\n"
    )
    (tmp_path / "train.py").write_text(
        "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('loss', 1.0)\n"
    )
    return tmp_path


@pytest.mark.full
def test_the_wheel_has_licence_types_and_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    (licence,) = [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    assert zipfile.ZipFile(wheel).read(licence) == (ROOT / "LICENSE").read_bytes()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    # every data file of the packages is in it
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert str(path.relative_to(ROOT)) in names


@pytest.mark.full
def test_the_command_of_the_wheel_works_in_another_folder(
    wheel_python: Path, tmp_path: Path
) -> None:
    locate = "import interventions; print(interventions.__file__)"
    location = run_program([str(wheel_python), "-c", locate], tmp_path)
    assert location.startswith(str(wheel_python.parents[1]))
    command = str(wheel_python.with_name("composability"))
    assert "wanda (compression)" in run_program([command, "list", "interventions"], tmp_path)
    line = "error: no intervention is named 'wnda'. Did you mean 'wanda'?"
    assert line in run_program([command, "run", "wnda"], tmp_path, expected_status=2)
    assert not (tmp_path / "mlflow.db").exists()
    run_program([command, "run", "magnitude", "--checkpoints", "none"], tmp_path)
    assert recorded_runs(tmp_path) == [("composability", "FINISHED")]
    assert (tmp_path / ".cache" / "checkpoints").is_dir()


@pytest.mark.slow
@pytest.mark.full
def test_the_wheel_has_the_papers_rows_and_writes_their_report(
    wheel_python: Path, tmp_path: Path
) -> None:
    command = str(wheel_python.with_name("composability"))
    run_program([command, "published"], tmp_path)
    runs = recorded_runs(tmp_path)
    assert runs.count(("published", "FINISHED")) == len(runs) == 311
    options = ["--experiment", "published", "--output", "tables", "--items", "none"]
    run_program([command, "analyze", *options], tmp_path)
    report = (tmp_path / "tables" / "report.html").read_text()
    assert "<style>" in report and "<script" in report and "Wanda" in report


@pytest.mark.full
@pytest.mark.parametrize("environment", ["wheel_python", "checkout_python"])
def test_the_project_of_somebody_else_keeps_its_own_store_and_experiment(
    environment: str, stranger: Path, request: pytest.FixtureRequest, checkout_copy: Path
) -> None:
    python: Path = request.getfixturevalue(environment)
    known = run_program([str(python), "-c", "import tracking; print(tracking.__file__)"], stranger)
    assert known.strip() != str(ROOT / "tracking" / "__init__.py")
    run_program([str(python), "-m", "mlflow", "run", ".", "--env-manager", "local"], stranger)
    assert recorded_runs(stranger) == [("Default", "FINISHED")]
    assert not (checkout_copy / "mlflow.db").exists()


# a checkout from another folder; the real one's store is not touched


@pytest.mark.full
def test_a_launch_from_another_folder_uses_the_checkouts_store(
    tmp_path: Path,
) -> None:
    """Also with `--experiment-name`, where MLflow does not ask the plug-in for an experiment."""
    checkout = copy_checkout(tmp_path / "checkout")
    python = make_environment(tmp_path / "venv", None, checkout)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    mlflow_run = [str(python), "-m", "mlflow", "run", "--env-manager", "local"]
    settings = ["-P", "first=magnitude", "-P", "checkpoints=none"]
    run_program([*mlflow_run, *settings, str(checkout)], elsewhere)
    assert recorded_runs(checkout) == [("composability", "FINISHED")]
    plan = ["-e", "grid", "-P", "preset=quick", "-P", "dry_run=true"]
    run_program([*mlflow_run, "--experiment-name", "mine", str(checkout), *plan], elsewhere)
    assert recorded_runs(checkout)[1:] == [("mine", "FINISHED")]
    assert re.match(r"file://.*/checkout/mlruns/\d+", artifact_folder(checkout, "mine"))
    assert list(elsewhere.iterdir()) == []
