"""Restore the full folder of a run's checkpoint: `composability restore RUN_ID STEP FOLDER`.

The run may have logged it whole, as what changed, or not at all. It is put together from the
artifacts, verified against the recorded checksums, and computed again from the run's params where
it is missing or damaged.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from interventions.composition import Composition
from interventions.errors import InvalidInput
from tracking import lifecycle, schema, store
from tracking.chain import Chain
from tracking.checkpoints import delta
from tracking.checkpoints.integrity import damaged_files
from tracking.checkpoints.store import Checkpoints
from tracking.plan import plan_run
from tracking.settings import Settings


def load_checkpoint(
    run_id: str,
    step: int,
    folder: Path | str | None = None,
    checkpoints: Checkpoints | None = None,
) -> Path:
    """Return the folder of the checkpoint after some of a run's interventions.

    ``from_pretrained`` loads it. Whether the run logged it whole, as what changed, or not at all
    makes no difference.

    Args:
        run_id: of a composition.
        step: 1 to the number of interventions, recompressions included.
        folder: a new folder to write to; by default the checkpoint is only stored beside the
            others, and may be dropped when room is needed.
        checkpoints: where checkpoints are stored; the checkout's by default.

    Raises:
        InvalidInput: there is no such run or step; ``folder`` exists; or the checkpoint was not
            logged whole, and the code, model or data of now would lead to another.

    Example:
        With the id of a run of two interventions,
        ``load_checkpoint(run_id, 2, "edited-and-pruned")`` writes what came of both. Without it:

        >>> load_checkpoint("unknown", 1)
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: no run has the id 'unknown' in sqlite:...
    """
    out = Path(folder) if folder else None
    if out is not None and out.exists():
        raise InvalidInput(f"cannot write to {str(out)!r}: it exists")
    run = _run(run_id)
    names = _names_of_steps(run, step)
    if out is not None:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"cannot write to {str(out)!r}: {error}") from error
    checkpoints = checkpoints or Checkpoints()
    chain = _chain_of_run(run, checkpoints)
    key = chain.keys[step]
    if out is None and checkpoints.is_sound(key):
        return checkpoints.path(key)
    with tempfile.TemporaryDirectory(prefix="composability-restored-") as aside:
        whole = _from_artifacts(run, names, step, chain, Path(aside))
        if whole is None:
            whole = _computed_again(run, step, chain)
        if out is None:
            return checkpoints.adopt(key, whole)
        shutil.copytree(whole, out)
    return out


def _run(run_id: str) -> Run:
    client = MlflowClient(tracking_uri=store.uri())
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        raise InvalidInput(f"no run has the id {run_id!r} in {store.shown_address()}") from error


def _names_of_steps(run: Run, step: int) -> list[str]:
    """Return the names of a run's interventions, of which there are at least ``step``."""
    names, run_id = schema.step_names(run.data.params), run.info.run_id
    if not names:
        raise InvalidInput(f"run {run_id} is no composition of interventions: it has no checkpoint")
    if not 1 <= step <= len(names):
        raise InvalidInput(f"step must be 1 to {len(names)} in run {run_id}, but got {step}")
    return names


def _chain_of_run(run: Run, checkpoints: Checkpoints) -> Chain:
    """Return the run's steps and keys as its params lead to them on this machine."""
    params = run.data.params
    # runs of before there was a choice do not say their split
    recorded = {"split": Settings.split, **params}
    settings: dict[str, Any] = {}
    for setting in fields(Settings):
        requested = recorded.get(setting.name, "")
        used = recorded.get(f"{schema.USED}{setting.name}", requested)
        settings[setting.name] = int(used) if setting.type == "int" else used
    settings["device"] = "auto"  # weights are restored on any; the dtype is the run's
    plan = plan_run(params[schema.COMPOSITION], Settings(**settings))
    chain = Chain(plan, checkpoints)
    recompressed = params.get(schema.RECOMPRESSED_PARAM, "none")
    chain.steps += Composition.parse(recompressed, plan.settings.data)
    chain.keys = Composition(chain.steps).keys(plan.origin, plan.data)
    return chain


def _from_artifacts(
    run: Run, names: list[str], step: int, chain: Chain, aside: Path
) -> Path | None:
    """Return the folder, from what was logged; None if that is not enough.

    There is a warning where something is damaged.
    """
    logged = _download(run, schema.checkpoint_folder(step, names[step - 1]), aside / str(step))
    if logged is None:
        return None
    if not (logged / delta.CHANGES).exists():
        damaged = damaged_files(logged)
        if damaged:
            _warn_of_damage(run, step, ", ".join(damaged))
        return None if damaged else logged
    if step > 1:
        before = _from_artifacts(run, names, step - 1, chain, aside)
    else:
        before = chain.checkpoint_folder(0)
    if before is None:
        return None
    whole = aside / f"{step}-whole"
    try:
        delta.assemble_checkpoint(before, logged, whole)
    except Exception as error:  # whatever a damaged file raises
        _warn_of_damage(run, step, lifecycle.one_line(error))
        return None
    return whole


def _computed_again(run: Run, step: int, chain: Chain) -> Path:
    recorded_key = run.data.tags.get(schema.KEY)
    if recorded_key != chain.keys[-1]:
        raise InvalidInput(
            f"step {step} of run {run.info.run_id} was not logged whole, and cannot be computed"
            f" again: model, data or versions are others now (key {chain.keys[-1]}, recorded"
            f" {recorded_key})"
        )
    return chain.checkpoint_folder(step)


def _download(run: Run, artifact: str, folder: Path) -> Path | None:
    """Download a folder among a run's artifacts; None if there is none, or an empty one."""
    folder.mkdir(parents=True)
    try:
        downloaded = download_artifacts(
            artifact_uri=f"{run.info.artifact_uri}/{artifact}",
            dst_path=str(folder),
            tracking_uri=store.uri(),
        )
    except (MlflowException, OSError):
        return None
    path = Path(downloaded)
    return path if any(path.iterdir()) else None


def _warn_of_damage(run: Run, step: int, reason: str) -> None:
    warnings.warn(
        f"the checkpoint of step {step} of run {run.info.run_id} is damaged ({reason}):"
        " computed again",
        stacklevel=4,
    )
