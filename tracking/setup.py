"""Set-up, once per checkout: `python -m tracking.setup` initialises the store and registers this environment.

`mlflow run` uses an environment that already lies at ``~/.mlflow/envs/<name>`` as it is, with <name> computed from
python_env.yaml. A link of that name to the running environment makes the plain command work, with nothing rebuilt.
The name comes from private helpers of MLflow, which is pinned for it; a test holds it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from interventions.cache import root
from tracking import store


def environment_link() -> Path:
    """Where `mlflow run` looks for this project's environment."""
    from mlflow.utils.environment import _PythonEnv
    from mlflow.utils.virtualenv import _get_mlflow_virtualenv_root, _get_virtualenv_name

    wanted = _PythonEnv.from_yaml(root() / "python_env.yaml")
    return Path(_get_mlflow_virtualenv_root()) / str(_get_virtualenv_name(wanted, root()))


def register(prefix: Path) -> Path:
    """Link the environment at ``prefix`` where MLflow looks.

    Raises:
        FileExistsError: something that is not a link is there.
    """
    link = environment_link()
    if link.exists() and not link.is_symlink():
        raise FileExistsError(
            f"{link} is a real environment that `mlflow run` would use; remove it, then run again"
        )
    link.parent.mkdir(parents=True, exist_ok=True)
    aside = link.with_name(f".{link.name}-{os.getpid()}")
    aside.symlink_to(prefix)
    aside.replace(link)
    return link


def initialise_store() -> str:
    """Make or upgrade the tables of the checkout's store, and its experiment; returns the store's URI."""
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine_with_retry

    store.prepare()
    if store.uri() == store.local_uri():
        engine = create_sqlalchemy_engine_with_retry(store.uri())
        _upgrade_db(engine)
        engine.dispose()
    store.experiment()
    return store.uri()


def link_to_ui(port: int) -> str:
    """The runs table in MLflow's model-training view, with the criteria as columns."""
    runs = f"http://127.0.0.1:{port}/#/experiments/{store.experiment()}/runs"
    return f"{runs}?workflowType=machine_learning&viewStateShareKey={store.VIEW}"


def main() -> int:
    """The command; ``--ui PORT`` prints the link to the runs table instead."""
    if sys.argv[1:2] == ["--ui"]:
        print(link_to_ui(int(sys.argv[2])))
        return 0
    try:
        link = register(Path(sys.prefix))
        print(f"store {initialise_store()}\nenvironment {link} -> {sys.prefix}")
    except (FileExistsError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
