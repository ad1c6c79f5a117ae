import json
import shlex
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from pathlib import Path

import mlflow
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.projects._project_spec import load_project
from mlflow.utils import env_manager
from mlflow.utils.environment import _PythonEnv
from mlflow.utils.virtualenv import _create_virtualenv

from interventions.cache import root
from interventions.criteria.base import CRITERIA
from tracking import plugin, run, setup, store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def local_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


# the store


def test_the_store_is_the_checkouts_wherever_the_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert root() == ROOT
    assert store.uri() == f"sqlite:///{ROOT}/mlflow.db"


def test_the_environment_names_another_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert store.uri() == "http://127.0.0.1:5000"


def test_the_experiment_is_made_once_and_describes_every_criterion(
    local_store: str, tmp_path: Path
) -> None:
    made = store.experiment()
    assert store.experiment() == made
    found = MlflowClient(local_store).get_experiment(made)
    assert found.name == "composability"
    assert found.artifact_location == (tmp_path / "mlruns" / "composability").as_uri()
    for name in CRITERIA.all():
        assert f"`{name}`" in found.tags["mlflow.note.content"]


def test_the_link_opens_a_saved_view_with_columns_that_exist(local_store: str) -> None:
    found = MlflowClient(local_store).get_experiment(store.experiment())
    key = setup.link_to_ui(5000).rpartition("viewStateShareKey=")[2]
    state = json.loads(json.loads(found.tags[f"mlflow.sharedViewState.{key}"])["state"])
    metrics = {c.split("`")[1] for c in state["selectedColumns"] if c.startswith("metrics.")}
    assert metrics <= set(CRITERIA.all()) and metrics


def test_an_experiments_name_cannot_lead_its_artifacts_elsewhere(
    local_store: str, tmp_path: Path
) -> None:
    found = MlflowClient(local_store).get_experiment(store.experiment("../../a b"))
    assert found.artifact_location == (tmp_path / "mlruns" / "______a_b").as_uri()


@pytest.mark.full
def test_processes_that_make_store_and_experiment_at_once_get_one_id(local_store: str) -> None:
    command = [sys.executable, "-c", "from tracking import store; print(store.experiment())"]

    def launch(_: int) -> str:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor() as pool:
        ids = set(pool.map(launch, range(3)))
    assert ids == {f"{store.experiment()}\n"}


def test_a_deleted_experiment_says_how_to_restore_it(local_store: str) -> None:
    made = store.experiment()
    MlflowClient(local_store).delete_experiment(made)
    with pytest.raises(ValueError, match=f"was deleted .* mlflow experiments restore -x {made}"):
        store.experiment()


# the plug-in


def test_mlflow_knows_the_plugin() -> None:
    (found,) = entry_points(group="mlflow.default_experiment_provider", name="composability")
    assert found.load() is plugin.CheckoutExperiment


@pytest.mark.parametrize(
    ("argv", "cwd", "expected"),
    [
        (["mlflow", "run", "."], ROOT, True),
        (["/somewhere/bin/mlflow", "run", str(ROOT), "-P", "first=lora"], Path("/"), True),
        (
            ["/site-packages/mlflow/__main__.py", "run", "-e", "main", f"{ROOT}/tests/.."],
            Path("/"),
            True,
        ),
        (["mlflow", "run", "/another/project"], ROOT, False),
        (["mlflow", "run", "https://github.com/another/project"], Path("/"), False),
        (["my_script.py"], ROOT, True),
        (["my_script.py", "run", str(ROOT)], Path("/"), False),
    ],
)
def test_the_context_is_a_launch_of_the_checkout_or_work_in_it(
    argv: list[str], cwd: Path, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.chdir(cwd)
    assert plugin.CheckoutExperiment().in_context() is expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "composability"),
        (["-P", "first=lora", "-P", "experiment=mine"], "mine"),
        (["--param-list", "experiment=my own"], "my own"),
        (["--param-list=experiment=mine"], "mine"),
        (["-P", "experiment="], "composability"),
    ],
)
def test_a_launch_lands_in_the_experiment_that_it_names(
    arguments: list[str], expected: str, local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mlflow", "run", str(ROOT), *arguments])
    made = plugin.CheckoutExperiment().get_experiment_id()
    assert MlflowClient(local_store).get_experiment(made).name == expected


def test_a_launch_into_a_deleted_experiment_stops(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MlflowClient(local_store).delete_experiment(store.experiment())
    monkeypatch.setattr(sys, "argv", ["mlflow", "run", str(ROOT)])
    with pytest.raises(SystemExit, match="was deleted"):
        plugin.CheckoutExperiment().get_experiment_id()


@pytest.mark.full
def test_importing_the_plugin_first_is_no_cycle() -> None:
    code = "import tracking.plugin, sys; assert not {'mlflow', 'torch'} & set(sys.modules); import mlflow"
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True)


# the environment


def test_the_registered_environment_is_the_one_that_mlflow_run_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "envs"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # no pyenv
    link = setup.register(Path(sys.prefix))
    project = load_project(str(ROOT))
    activate = _create_virtualenv(
        ROOT,
        _PythonEnv.from_yaml(project.env_config_path),
        link,
        env_manager=env_manager.VIRTUALENV,
    )
    assert activate == f"source {link}/bin/activate"
    assert link.resolve() == Path(sys.prefix).resolve()


def test_registering_again_replaces_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "envs"))
    link = setup.environment_link()
    link.parent.mkdir()
    link.symlink_to(tmp_path / "gone")
    assert setup.register(Path(sys.prefix)).readlink() == Path(sys.prefix)
    assert list(link.parent.iterdir()) == [link]


def test_an_environment_that_is_no_link_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "envs"))
    setup.environment_link().mkdir(parents=True)
    with pytest.raises(FileExistsError, match="remove it"):
        setup.register(Path(sys.prefix))


# the project


def test_mlproject_has_the_command_lines_options_and_defaults() -> None:
    entry = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]["main"]
    defaults = {name: parameter["default"] for name, parameter in entry["parameters"].items()}
    options = {
        action.dest: action.default for action in run.parser()._actions if action.dest != "help"
    }
    assert defaults == {name: str(default) for name, default in options.items()}
    assert None not in defaults.values()
    assert shlex.split(entry["command"])[3:] == [
        word for name in defaults for word in (f"--{name}", f"{{{name}}}")
    ]


def test_the_lock_meets_the_ranges_with_the_running_versions() -> None:
    from importlib.metadata import version

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = dict(line.split("==") for line in lines if not line.startswith("#"))
    locked = {name.lower().replace("_", "-"): exact for name, exact in locked.items()}
    for text in project["dependencies"] + project["optional-dependencies"]["dev"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(locked[wanted.name.lower()]), text
        assert version(wanted.name).split("+")[0] == locked[wanted.name.lower()]
    assert mlflow.__version__ == locked["mlflow"]
