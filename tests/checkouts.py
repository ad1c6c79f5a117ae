"""Copies of the checkout, environments that see them or a wheel, and programs run in these."""

import os
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = Path(sysconfig.get_path("purelib"))
OWN_VARIABLES = ("MLFLOW_", "_MLFLOW_", "COMPOSABILITY_", "PYTHON", "PYTEST_")


def copy_checkout(folder: Path) -> Path:
    """Copy every file of the working tree that git does not ignore; return the new folder."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():  # a deleted file is listed until the deletion is committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def make_environment(folder: Path, wheel: Path | None = None, *paths: Path) -> Path:
    """Make an environment with this one's libraries, but without this checkout.

    Args:
        folder: the environment's new folder.
        wheel: a wheel that is installed.
        paths: folders with packages that can be imported, such as a copy of the checkout.

    Returns:
        The environment's Python.
    """
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    if wheel is not None:
        # before the libraries are seen: among them is the same version, installed from the checkout
        install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        run_program([*install, "--no-deps", "--no-index", str(wheel)], folder)
    # a path in a .pth file is searched for modules, but the .pth files in it are not read: so the
    # checkout that is installed among the libraries cannot be imported
    (packages,) = folder.glob("lib/python*/site-packages")
    lines = "\n".join(map(str, (*paths, LIBRARIES)))
    (packages / "libraries.pth").write_text(f"{lines}\n")
    return python


def run_program(command: list[str], folder: Path, expected_status: int = 0) -> str:
    """Run a program in a folder, as from a fresh shell, and return what it prints.

    The first word's folder comes first on PATH, as in an activated environment.
    """
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)
    }
    variables["HF_HUB_OFFLINE"] = "1"
    variables["PATH"] = os.pathsep.join([str(Path(command[0]).parent), variables["PATH"]])
    process = subprocess.run(
        command,
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3600,
    )
    assert process.returncode == expected_status, process.stdout
    return process.stdout


def recorded_runs(folder: Path) -> list[tuple[str, str]]:
    """Return the experiment and the status of every run in a folder's `mlflow.db`, in order."""
    query = (
        "SELECT experiments.name, status FROM runs JOIN experiments USING (experiment_id)"
        " ORDER BY start_time"
    )
    with sqlite3.connect(f"file:{folder / 'mlflow.db'}?mode=ro", uri=True) as database:
        return database.execute(query).fetchall()


def artifact_folder(folder: Path, experiment: str) -> str:
    """Return where the artifacts of an experiment in a folder's `mlflow.db` lie."""
    query = "SELECT artifact_location FROM experiments WHERE name = ?"
    with sqlite3.connect(f"file:{folder / 'mlflow.db'}?mode=ro", uri=True) as database:
        ((location,),) = database.execute(query, (experiment,))
    return str(location)
