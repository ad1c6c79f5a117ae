"""Links into MLflow's UI that open in its mode for training runs, not the one for agents.

Imports no torch and no MLflow.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from tracking.address import is_server, shown_address, uri

LOCAL_UI = "http://127.0.0.1:5000"
_TRAINING = "workflowType=machine_learning"  # without it the page opens in the mode for agents


def ui_address() -> str:
    """Return the address of MLflow's UI: a server of the store serves it too.

    Without user and password, as the address may be passed on.
    """
    address = shown_address()
    return re.sub(r"//[^/]*@", "//", address).rstrip("/") if is_server(address) else LOCAL_UI


def start_hint(ui: str) -> str:
    """Return how to start the UI that links lead to; "" where a server serves it.

    Example:
        >>> start_hint("https://mlflow.example.org")
        ''
    """
    if is_server(uri()) or not ui.startswith(LOCAL_UI):
        return ""
    return "start the UI with `composability setup --ui 5000 --serve`"


def run_link(ui: str, experiment_id: str, run_id: str, artifact: str = "") -> str:
    """Return the address of a run's page, or of one of its artifacts.

    Example:
        >>> run_link("http://127.0.0.1:5000", "1", "abc")
        'http://127.0.0.1:5000/#/experiments/1/runs/abc?workflowType=machine_learning'
    """
    page = f"{ui}/#/experiments/{experiment_id}/runs/{run_id}"
    return f"{page}{f'/artifacts/{artifact}' if artifact else ''}?{_TRAINING}"


def runs_link(ui: str, experiment_id: str, filter: str = "", view: str = "") -> str:
    """Return the address of the runs table.

    Args:
        ui: the UI's address.
        experiment_id: whose runs.
        filter: MLflow's search syntax; "" shows all.
        view: the key of a saved view.

    Example:
        >>> runs_link("http://127.0.0.1:5000", "1", "params.pair = 'a + b'").partition("?")[2]
        'workflowType=machine_learning&searchFilter=params.pair%20%3D%20%27a%20%2B%20b%27'
    """
    parts = [_TRAINING]
    parts += [f"searchFilter={quote(filter, safe='')}"] if filter else []
    parts += [f"viewStateShareKey={view}"] if view else []
    return f"{ui}/#/experiments/{experiment_id}/runs?{'&'.join(parts)}"


def charts_link(ui: str, experiment_id: str, filter: str = "", view: str = "") -> str:
    """Return the address of the charts of some runs, in MLflow's mode that compares them.

    Args:
        ui: the UI's address.
        experiment_id: whose runs.
        filter: MLflow's search syntax; "" shows all.
        view: the key of a saved view. It has a filter of its own: MLflow does not open a view
            where the address has a filter, too.

    Example:
        >>> charts_link("http://127.0.0.1:5000", "1").rpartition("?")[2]
        'workflowType=machine_learning&compareRunsMode=CHART'
    """
    address = runs_link(ui, experiment_id, filter, view)
    return address.replace(_TRAINING, f"{_TRAINING}&compareRunsMode=CHART")


def models_link(ui: str, experiment_id: str) -> str:
    """Return the address of the list of an experiment's models, its checkpoints.

    Example:
        >>> models_link("http://127.0.0.1:5000", "1")
        'http://127.0.0.1:5000/#/experiments/1/models?workflowType=machine_learning'
    """
    return f"{ui}/#/experiments/{experiment_id}/models?{_TRAINING}"
