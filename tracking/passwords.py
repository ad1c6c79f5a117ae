"""Refuse passwords in what is recorded: params, names; and take back those that were recorded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from interventions.errors import InvalidInput
from interventions.masking import has_secret, without_secrets

if TYPE_CHECKING:  # MLflow imports this module while it loads, see plugin.py
    from mlflow import MlflowClient
    from mlflow.entities import Run

_ADVICE = {
    "storage": "set COMPOSABILITY_STUDY_STORAGE to the address, and give storage=environment",
}

# "https://ada@host/repository", as hosts of repositories name an account: MLflow's tags have it
_ACCOUNT = re.compile(r"^(https?://)[\w.-]{1,19}@")


def check_no_passwords(values: Mapping[str, object]) -> None:
    """Check that no value has an address with a password or a token: values become params.

    Args:
        values: by the name that the user knows.

    Raises:
        InvalidInput: one has; the line shows it masked, and says what to give instead.

    Example:
        >>> check_no_passwords({"storage": "postgresql://ada:secret@host/studies"})
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: storage has a password, which ...
    """
    for name, value in values.items():
        if isinstance(value, str) and has_secret(value):
            advice = _ADVICE.get(name, "give it without the password")
            raise InvalidInput(
                f"{name} has a password, which would be recorded: {advice}"
                # in quotes, which say where a password with a blank ends
                f" (given: {without_secrets(repr(value))[1:-1][:120]})"
            )


def take_back_passwords(client: MlflowClient, run: Run) -> str:
    """Delete the run that `mlflow run` made if it has recorded a password among its params.

    MLflow records the params before a program of the project starts, and a param is final.

    Args:
        client: of the store.
        run: has ended.

    Returns:
        A sentence on what was recorded and what to do; "" if nothing was.
    """
    names = [name for name, value in run.data.params.items() if has_secret(value)]
    names += [key for key, value in run.data.tags.items() if has_secret(_ACCOUNT.sub(r"\1", value))]
    if not names:
        return ""
    run_id = run.info.run_id
    client.delete_run(run_id)
    return (
        f". MLflow has recorded it in run {run_id}, deleted now: change the password,"
        " and purge the run with mlflow gc"
    )
