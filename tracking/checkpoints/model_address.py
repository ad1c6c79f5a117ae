"""Which checkpoint of which run a model's address means: ``models:/edited-and-pruned@champion``."""

from __future__ import annotations

import re

from mlflow.entities import LoggedModel
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from interventions.errors import InvalidInput, shown
from tracking import schema, store

MODELS = "models:/"
_BY_ALIAS = re.compile(r"models:/(?P<name>[^/:]+)@(?P<alias>[\w-]+)")
_BY_VERSION = re.compile(r"models:/(?P<name>[^/:]+)/(?P<version>[0-9]{1,9})")
_BY_ID = re.compile(r"models:/(?P<model_id>m-[0-9a-f]+)")


def checkpoint_at(address: str, step: int | None = None) -> tuple[str, int]:
    """Return the run and the step of the checkpoint that a model's address means.

    Args:
        address: by alias (``models:/name@alias``), version (``models:/name/2``) or id of the
            LoggedModel (``models:/m-…``).
        step: what the caller says beside it, which must be the same; None for nothing.

    Raises:
        InvalidInput: there is no such model, it is no checkpoint that a run logged, or ``step`` is
            another one.

    Example:
        >>> checkpoint_at("models:/edited")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: a model's address is models:/name@alias, models:/name/...
    """
    model = logged_model_at(address)
    recorded = model.tags.get(schema.CHECKPOINT_STEP, "")
    if not model.source_run_id or not recorded.isdecimal():
        raise InvalidInput(f"{shown(address, 100)} is no checkpoint that a run of ours logged")
    if step is not None and step != int(recorded):
        raise InvalidInput(
            f"{shown(address, 100)} is the checkpoint of step {recorded}, but step={step} was given"
        )
    return model.source_run_id, int(recorded)


def model_id_of(version: ModelVersion) -> str:
    """Return the id of the LoggedModel that a registered version is; "" if it is none.

    MLflow's own registry says it in the version's source alone.
    """
    source = _BY_ID.fullmatch(version.source or "")
    return version.model_id or (source["model_id"] if source else "")


def logged_model_at(address: str) -> LoggedModel:
    """Return the LoggedModel that an address means.

    Raises:
        InvalidInput: it is no such address, or there is no such model.
    """
    by_alias, by_version = _BY_ALIAS.fullmatch(address), _BY_VERSION.fullmatch(address)
    by_id = _BY_ID.fullmatch(address)
    if not (by_alias or by_version or by_id):
        raise InvalidInput(
            "a model's address is models:/name@alias, models:/name/version or models:/m-<id>, but"
            f" got {shown(address, 100)}"
        )
    store.check_reachable(writing=False)
    client = store.client()
    try:
        if by_alias:
            version = client.get_model_version_by_alias(by_alias["name"], by_alias["alias"])
        elif by_version:
            version = client.get_model_version(by_version["name"], by_version["version"])
        model_id = by_id["model_id"] if by_id else model_id_of(version)
        if model_id:
            return client.get_logged_model(model_id)
    except MlflowException as error:
        raise InvalidInput(
            f"there is no {shown(address, 100)} in {store.shown_address()[:150]}"
        ) from error
    raise InvalidInput(f"{shown(address, 100)} is no checkpoint that a run of ours logged")
