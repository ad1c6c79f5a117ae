"""What a recorded run says of its steps and settings, for those who restore its checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from interventions.composition import Composition
from interventions.errors import InvalidInput, shown
from tracking import schema, store
from tracking.chain import Chain
from tracking.checkpoints.store import Checkpoints
from tracking.plan import plan_run
from tracking.settings import DATA, Settings
from tracking.versions import VERSIONED, base_name

_RUN_ID = re.compile(r"[A-Za-z0-9][\w-]{0,255}")  # what MLflow allows
_READERS: dict[Any, Callable[[str], Any]] = {  # by the type of a setting
    "str": str,
    "str | DataSet": str,
    "int": int,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
}


def recorded_run(run_id: object) -> Run:
    """Return a run of the store.

    Raises:
        InvalidInput: there is none of that id.
    """
    store.check_reachable(writing=False)
    try:
        if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id):
            return store.client().get_run(run_id)
    except MlflowException as error:
        raise InvalidInput(f"no run has the id {run_id!r} in {store.shown_address()}") from error
    raise InvalidInput(f"no run has the id {shown(run_id, 100)} in {store.shown_address()}")


def names_of_steps(run: Run, step: int | None) -> list[str]:
    """Return the names of a run's interventions, of which there are at least ``step``.

    Args:
        run: a composition's.
        step: 1 to their number; None stands for the last.

    Raises:
        InvalidInput: there is no such step, or it is no composition.
    """
    names, run_id = schema.step_names(run.data.params), run.info.run_id
    # they lead to folders among the artifacts
    if not names or not all(name.isidentifier() for name in names):
        raise InvalidInput(f"run {run_id} is no composition of interventions: it has no checkpoint")
    if step is not None and not 1 <= step <= len(names):
        raise InvalidInput(
            f"step must be 1 to {len(names)} in run {run_id}, but got {shown(step, 60)}"
        )
    return names


def chain_of_run(run: Run, checkpoints: Checkpoints) -> Chain:
    """Return the run's steps and keys as its params lead to them on this machine."""
    params = run.data.params
    text = params.get(schema.COMPOSITION, "")
    plan = plan_run(text, _settings_of_run(run), recorded=True)
    chain = Chain(plan, checkpoints)
    recompressed = params.get(schema.RECOMPRESSED_PARAM, "none")
    again = Composition.parse(recompressed, plan.settings.profile)
    chain.steps += again
    chain.keys += again.keys_after(chain.keys[-1], plan.data)
    return chain


def check_permitted(run: Run, **permitted: bool) -> None:
    """Check that a run had nothing switched on that is not to be: who restores it decides anew."""
    settings = _settings_of_run(run)
    for name, is_permitted in permitted.items():
        if getattr(settings, name) and not is_permitted:
            raise InvalidInput(
                f"run {run.info.run_id} had {name}=true, for model {shown(settings.model, 150)}:"
                f" to restore it, give {name}=true, too"
            )


def _settings_of_run(run: Run) -> Settings:
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
