"""Read the settings of a recorded run, as a plan of it needs them. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from mlflow.entities import Run

from interventions.errors import InvalidInput, shown
from tracking import schema
from tracking.settings import DATA, Settings
from tracking.versions import VERSIONED, base_name

_READERS: dict[Any, Callable[[str], Any]] = {  # by the type of a setting
    "str": str,
    "str | DataSet": str,
    "int": int,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
}


def check_permitted(run: Run, **permitted: bool) -> None:
    """Check that a run had nothing switched on that is not to be: who restores it decides anew.

    Args:
        run: of the store.
        **permitted: whether a switch, by the name of its setting, may have been on.

    Raises:
        InvalidInput: one was on that is not permitted.
    """
    settings = settings_of_run(run)
    for name, is_permitted in permitted.items():
        if getattr(settings, name) and not is_permitted:
            raise InvalidInput(
                f"run {run.info.run_id} had {name}=true, for model {shown(settings.model, 150)}:"
                f" to restore it, give {name}=true, too"
            )


def settings_of_run(run: Run) -> Settings:
    """Return the settings that a run used, on the testbed of now; the device is chosen anew.

    Raises:
        InvalidInput: a param is not as a run records it, or the run's data were made in Python.
    """
    # runs of before there was a choice do not say these
    switches = {name: "false" for name in ("trust_remote_code", "allow_pickle")}
    defaults = ("split", "window", "criteria", "limit", *schema.UNSAID_SETTINGS)
    earlier = {**{name: str(getattr(Settings, name)) for name in defaults}, **switches}
    recorded = {**earlier, **run.data.params}
    settings: dict[str, Any] = {}
    for setting in fields(Settings):
        requested = recorded.get(setting.name, "")
        used = recorded.get(f"{schema.USED}{setting.name}", requested)
        try:
            settings[setting.name] = _READERS[setting.type](used)
        except (ValueError, KeyError) as error:
            kind = "true or false" if setting.type == "bool" else "an integer"
            raise InvalidInput(
                f"the param {setting.name} of run {run.info.run_id} must be {kind}, but is"
                f" {shown(used, 60)}"
            ) from error
    # planned on the testbed of now; on another one, the keys differ from those that it recorded
    settings |= {name: base_name(settings[name]) for name in VERSIONED}
    settings["data"] = _data_of_run(run, settings["data"])
    settings["device"] = "auto"  # weights are restored on any; the dtype is the run's
    return Settings(**settings)


def _data_of_run(run: Run, recorded: str) -> str:
    """Return where a run's data are: of somebody's own data the file."""
    if recorded in DATA:
        return recorded
    path = run.data.params.get(schema.DATA_FROM)
    if path is None:
        raise InvalidInput(
            f"run {run.info.run_id} had the data {shown(recorded, 100)}, which Python made: its"
            " keys cannot be computed without them, so it cannot be restored"
        )
    return path
