import os
import shlex
import socket
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.projects._project_spec import load_project
from mlflow.utils import env_manager
from mlflow.utils.environment import _PythonEnv
from mlflow.utils.virtualenv import _create_virtualenv
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from composability.command import main
from tests.command_line import option_defaults
from tracking import setup

ROOT = Path(__file__).resolve().parents[2]
ENTRY_POINTS: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


# the environment


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where MLflow keeps the environments of projects."""
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "envs"))
    return tmp_path / "envs"


@pytest.mark.usefixtures("environments")
def test_the_registered_environment_is_the_one_that_mlflow_run_uses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # no pyenv
    link = setup.link_environment(Path(sys.prefix))
    project = load_project(str(ROOT))
    activate = _create_virtualenv(
        ROOT,
        _PythonEnv.from_yaml(project.env_config_path),
        link,
        env_manager=env_manager.VIRTUALENV,
    )
    assert activate == f"source {link}/bin/activate"
    assert link.resolve() == Path(sys.prefix).resolve()


def test_registering_again_replaces_the_link(environments: Path) -> None:
    link = setup.environment_link()
    link.parent.mkdir()
    link.symlink_to(environments / "gone")
    assert setup.link_environment(Path(sys.prefix)).readlink() == Path(sys.prefix)
    assert list(link.parent.iterdir()) == [link]


@pytest.mark.usefixtures("environments")
def test_an_environment_that_is_no_link_is_not_touched() -> None:
    setup.environment_link().mkdir(parents=True)
    with pytest.raises(FileExistsError, match="remove it"):
        setup.link_environment(Path(sys.prefix))


def test_set_up_prints_the_store_and_the_link(
    environments: Path, local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    setup.set_up()
    store_line, environment_line = capsys.readouterr().out.splitlines()
    assert store_line == f"store {local_store}"
    assert environment_line == f"environment {setup.environment_link()} -> {sys.prefix}"


def test_a_wheel_sets_up_its_store_only(
    environments: Path,
    local_store: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(setup, "checkout", lambda: None)
    setup.set_up()
    assert "environment none: this is no checkout" in capsys.readouterr().out
    assert not environments.exists()


def test_the_stores_address_is_printed_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ada:s3cret@host/runs")
    assert main(["setup", "--store"]) == 0
    assert capsys.readouterr().out == "postgresql://ada:***@host/runs\n"


def test_the_ui_gets_the_address_through_its_environment(
    local_store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    main(["setup", "--ui", port, "--serve"])
    ((program, words, environment),) = calls
    assert program == sys.executable and port in words and "sqlite" not in str(words)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == local_store
    assert capsys.readouterr().out.startswith(f"Open http://127.0.0.1:{port}/#/experiments/")


def test_a_port_that_is_in_use_is_refused(
    local_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["setup", "--ui", str(port), "--serve"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: no UI can be served at port {port}: Address already in")
    assert printed.out == ""


@pytest.mark.parametrize(
    ("words", "reason"),
    [(["--serve"], "--serve needs --ui PORT"), (["--ui", "1", "--serve"], "is a server")],
)
def test_a_ui_that_cannot_be_served_is_said(
    words: list[str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:s3cret@host:5000")
    assert main(["setup", *words]) == 2
    line = capsys.readouterr().err
    assert reason in line and "s3cret" not in line and line.count("\n") == 1


def test_make_ui_names_no_address() -> None:
    recipe = (ROOT / "Makefile").read_text().split("\nui:")[1].split("\n\n")[0]
    assert "--serve" in recipe and "uri" not in recipe and "--store" not in recipe


# the project


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_mlproject_has_the_options_and_defaults_of_the_command_line(entry_point: str) -> None:
    command_name = "run" if entry_point == "main" else entry_point
    parameters = ENTRY_POINTS[entry_point].get("parameters", {})
    defaults = {name: parameter["default"] for name, parameter in parameters.items()}
    assert defaults == option_defaults(command_name)
    words = shlex.split(ENTRY_POINTS[entry_point]["command"])
    assert words[:4] == ["python", "-m", "composability", command_name]
    assert words[4:] == [
        word for name in parameters for word in (f"--{name.replace('_', '-')}", f"{{{name}}}")
    ]


def test_the_lock_meets_the_ranges_with_the_running_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    locked = {canonicalize_name(name): exact for name, exact in pins}
    for text in project["dependencies"] + project["optional-dependencies"]["dev"]:
        requirement = Requirement(text)
        exact_version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(exact_version), text
        assert version(requirement.name).split("+")[0] == exact_version
