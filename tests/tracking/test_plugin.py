import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from mlflow import MlflowClient

from interventions import cache
from tracking import plugin, schema, store
from tracking.processes import LAUNCHER

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A folder with the MLproject of somebody else."""
    (tmp_path / "MLproject").write_text("name: another\n")
    return tmp_path


def set_process(monkeypatch: pytest.MonkeyPatch, argv: list[str], folder: Path) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.chdir(folder)


def test_mlflow_knows_the_plugin() -> None:
    (entry_point,) = entry_points(group="mlflow.default_experiment_provider", name="composability")
    assert entry_point.load() is plugin.CheckoutExperiment


@pytest.mark.full
def test_importing_the_plugin_first_is_no_cycle() -> None:
    code = (
        "import tracking.plugin, sys; assert not {'mlflow', 'torch'} & set(sys.modules);"
        "import mlflow"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True)


# whose process it is


@pytest.mark.parametrize(
    ("argv", "folder", "is_ours"),
    [
        (["mlflow", "run", "."], ROOT, True),
        (["mlflow", "run", ROOT.name], ROOT.parent, True),
        (["/somewhere/bin/mlflow", "run", str(ROOT), "-P", "first=lora"], Path("/"), True),
        (["mlflow", "run", "-P", "first=lora", str(ROOT)], Path("/"), True),
        (["mlflow", "run", "-Pfirst=lora", "--build-image", str(ROOT)], Path("/"), True),
        (["mlflow", "run", "--experiment-name", "mine", str(ROOT)], Path("/"), True),
        (["mlflow", "run", "--experiment-name=mine", "--", str(ROOT)], Path("/"), True),
        (["mlflow", "--env-file", "settings", "run", str(ROOT)], Path("/"), True),
        (
            ["/packages/mlflow/__main__.py", "run", "-e", "main", f"{ROOT}/tests/.."],
            Path("/"),
            True,
        ),
        (["mlflow", "run", "/another/project"], ROOT, False),
        (["mlflow", "run", "/another/project", "--storage-dir", str(ROOT)], ROOT, False),
        (["mlflow", "run", "--storage-dir", str(ROOT), "/another/project"], ROOT, False),
        (["mlflow", "run", "-e", ".", "/another/project"], ROOT, False),
        (["mlflow", "run", "https://github.com/another/project"], ROOT, False),
        (["mlflow", "run", f"{ROOT}#tests"], ROOT, False),
        (["mlflow", "run"], ROOT, False),
        (["mlflow", "experiments", "run", str(ROOT)], Path("/"), False),
        (["my_script.py"], ROOT, True),
        (["-c"], ROOT, True),
        ([""], ROOT, True),
        (["/elsewhere/script.py"], ROOT, False),
        (["my_script.py"], ROOT / "tests", False),
        (["my_script.py", "run", str(ROOT)], Path("/"), False),
    ],
)
def test_the_context_is_a_launch_of_the_checkout_or_a_program_of_it(
    argv: list[str], folder: Path, is_ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///nowhere.db")
    set_process(monkeypatch, argv, folder)
    assert plugin.CheckoutExperiment().in_context() is is_ours


@pytest.mark.parametrize(
    "argv", [["mlflow", "run", "."], ["mlflow", "run", "../{}"], ["train.py"], ["-c"], ["/x/a.py"]]
)
def test_a_project_that_merely_lies_in_the_current_folder_is_a_stranger(
    argv: list[str], stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_process(monkeypatch, [word.format(stranger.name) for word in argv], stranger)
    assert not plugin.CheckoutExperiment().in_context()


def test_a_wheel_is_never_in_context(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is installed into the stranger's own folder, beside its MLproject."""
    for package_folder in (stranger, stranger / "site-packages"):
        monkeypatch.setattr(cache, "__file__", str(package_folder / "interventions" / "cache.py"))
        assert cache.checkout() is None
        for argv in (["mlflow", "run", "."], ["mlflow", "run", str(ROOT)], ["-c"]):
            set_process(monkeypatch, argv, stranger)
            assert not plugin.CheckoutExperiment().in_context()


def test_what_follows_two_dashes_is_no_option() -> None:
    launch = plugin.parse_launch(["mlflow", "run", "-e", "main", "--", "-path"])
    assert launch == plugin.Launch("-path", (("-e", "main"),))


@pytest.mark.full
def test_the_table_of_flags_is_that_of_mlflow() -> None:
    code = (
        "from mlflow.cli import cli; params = cli.commands['run'].params;"
        "print(*(name for param in params if getattr(param, 'is_flag', 0) for name in param.opts))"
    )  # importing MLflow's command line warns
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert {*output.decode().split(), "--help"} == set(plugin._FLAGS)


def test_python_m_mlflow_is_known_while_mlflow_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["-m", "run", "path"])
    for module, project in (("mlflow", "path"), ("another", None)):
        monkeypatch.setattr(sys, "orig_argv", ["python", "-I", "-m", module, "run", "path"])
        launch = plugin.parse_launch(sys.argv)
        assert (launch and launch.project) == project


# the store and the experiment


@pytest.fixture
def without_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store is named; what the plug-in sets is undone after the test."""
    for name in ("MLFLOW_TRACKING_URI", "_MLFLOW_SERVER_ARTIFACT_ROOT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("without_store")
def test_a_launch_has_the_checkouts_store_before_mlflow_asks_for_an_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_process(monkeypatch, ["mlflow", "run", "--experiment-name", "x", str(ROOT)], tmp_path)
    plugin.CheckoutExperiment()
    assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{ROOT}/mlflow.db"
    assert os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] == (ROOT / "mlruns").as_uri()


@pytest.mark.usefixtures("without_store")
@pytest.mark.parametrize(
    "argv",
    [
        ["mlflow", "run", "."],
        ["mlflow", "--env-file", "settings", "run", str(ROOT)],
        ["mlflow", "ui"],
        ["my_script.py"],
    ],
)
def test_no_other_process_has(
    argv: list[str], stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_process(monkeypatch, argv, stranger)
    plugin.CheckoutExperiment()
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_the_store_that_the_user_names_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    set_process(monkeypatch, ["mlflow", "run", "."], ROOT)
    assert plugin.CheckoutExperiment().in_context()
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"
    assert "_MLFLOW_SERVER_ARTIFACT_ROOT" not in os.environ


@pytest.mark.parametrize(
    ("arguments", "experiment"),
    [
        ([], "composability"),
        (["-P", "first=lora", "-P", "experiment=mine"], "mine"),
        (["--param-list", "experiment=my own"], "my own"),
        (["--param-list=experiment=mine"], "mine"),
        (["-Pexperiment=mine"], "mine"),
        (["-P", "experiment="], "composability"),
        (["-P", "first=experiment=mine"], "composability"),
        (["-e", "analyze", "-P", "experiment=mine"], "reports"),
        (["--entry-point=published"], "reports"),
        (["-e", "tune", "-P", "experiment=mine"], "mine"),
    ],
)
def test_a_launch_lands_in_the_experiment_that_it_names(
    arguments: list[str], experiment: str, local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mlflow", "run", str(ROOT), *arguments])
    experiment_id = plugin.CheckoutExperiment().get_experiment_id()
    assert MlflowClient(local_store).get_experiment(experiment_id).name == experiment


def test_a_launch_into_a_deleted_experiment_stops(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    MlflowClient(local_store).delete_experiment(store.ensure_experiment())
    monkeypatch.setattr(sys, "argv", ["mlflow", "run", str(ROOT)])
    with pytest.raises(SystemExit, match="was deleted"):
        plugin.CheckoutExperiment().get_experiment_id()


@pytest.mark.parametrize(
    ("options", "is_left"),
    [([], True), (["-b", "local"], True), (["--backend=kubernetes"], False)],
)
def test_a_launcher_leaves_who_it_is_to_what_ends_with_it(
    options: list[str], is_left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///nowhere.db")
    monkeypatch.setenv(LAUNCHER, "of an earlier one")
    set_process(monkeypatch, ["mlflow", "run", str(ROOT), *options], Path("/"))
    plugin.CheckoutExperiment()
    owner = json.loads(os.environ.get(LAUNCHER, "{}"))
    assert owner.get(schema.PID) == (str(os.getpid()) if is_left else None)
