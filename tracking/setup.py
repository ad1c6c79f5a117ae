"""Set a checkout up, once: initialise the store, and show this environment to `mlflow run`.

From a shell: `composability setup`.

`mlflow run` uses an environment at ``~/.mlflow/envs/<name>`` as it is, if there is one; <name> is
computed from python_env.yaml. A link of that name to the running environment makes the plain
command work, with nothing rebuilt. The name comes from private helpers of MLflow, which is pinned
for it; a test checks it.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from interventions import moved
from interventions.cache import checkout, root
from interventions.errors import InvalidInput
from tracking import store
from tracking.address import is_server
from tracking.links import runs_link


def environment_link() -> Path:
    """Return the path at which `mlflow run` looks for this project's environment."""
    from mlflow.utils.environment import _PythonEnv
    from mlflow.utils.virtualenv import _get_mlflow_virtualenv_root, _get_virtualenv_name

    environment = _PythonEnv.from_yaml(root() / "python_env.yaml")
    return Path(_get_mlflow_virtualenv_root()) / str(_get_virtualenv_name(environment, root()))


def link_environment(prefix: Path) -> Path:
    """Link an environment where MLflow looks for it; return the link.

    Args:
        prefix: the environment's folder.

    Raises:
        FileExistsError: something that is not a link is there.
    """
    link = environment_link()
    if link.exists() and not link.is_symlink():
        raise FileExistsError(
            f"{link} is a real environment that `mlflow run` would use; remove it, then run again"
        )
    link.parent.mkdir(parents=True, exist_ok=True)
    # a link cannot be written over, only replaced
    new_link = link.with_name(f".{link.name}-{os.getpid()}")
    new_link.symlink_to(prefix)
    new_link.replace(link)
    return link


def initialise_store() -> str:
    """Make the store's tables and its experiment; upgrade the tables of the checkout's own.

    Returns:
        The store's URI.
    """
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine_with_retry

    try:
        store.check_reachable()
    except store.OldSchema:
        if store.uri() != store.local_uri():
            raise
        engine = create_sqlalchemy_engine_with_retry(store.uri())
        _upgrade_db(engine)
        engine.dispose()
    store.ensure_experiment()
    return store.uri()


def serve_ui(port: int) -> None:
    """Become MLflow's UI of the store, two light processes.

    The store's address, which may have a password, goes through the environment: a command line
    could be read by every user of the machine.

    Args:
        port: on this machine.

    Raises:
        InvalidInput: the store is a server, which serves the UI itself; or the port is in use.
    """
    if is_server(store.uri()):
        raise InvalidInput(
            f"the store {store.shown_address()} is a server, which has a UI of its own: open it"
        )
    _check_is_free(port)
    print(f"Open {runs_table_address(port)}", flush=True)
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": store.uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    words = ["ui", "--workers", "1", "--port", str(port)]
    os.execve(sys.executable, [sys.executable, "-m", "mlflow", *words], environment)


def _check_is_free(port: int) -> None:
    """Refuse a port that another program has: MLflow would end with status 0, and serve nothing."""
    with socket.socket() as probe:
        # as MLflow's server does: a port that was in use a moment ago is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InvalidInput(
                f"no UI can be served at port {port}: {error.strerror}; give another port to --ui,"
                " or as make ui PORT=…"
            ) from error


def runs_table_address(port: int) -> str:
    """Return the address of the runs table, with the criteria as columns.

    Args:
        port: of MLflow's UI on this machine.
    """
    ui = f"http://127.0.0.1:{port}"
    return runs_link(ui, store.ensure_experiment(), view=store.VIEW)


def set_up() -> None:
    """Initialise the store, link this environment for `mlflow run`, and print where both are.

    An installed wheel has no project for `mlflow run`: there the store is all that is set up.

    Raises:
        InvalidInput: there is a real environment where the link should be, or the experiment was
            deleted.
    """
    environment = "none: this is no checkout that `mlflow run` could run"
    if checkout() is not None:
        try:
            environment = f"{link_environment(Path(sys.prefix))} -> {sys.prefix}"
        except FileExistsError as error:
            raise InvalidInput(str(error)) from error
    print(f"store {store.shown_address(initialise_store())}\nenvironment {environment}")


if __name__ == "__main__":
    sys.exit(moved.run_old_command("tracking.setup"))
