"""The full folder of a run's checkpoint: `python -m tracking.restore RUN_ID STEP FOLDER`.

Whether the run logged it whole, as what changed, or not at all: it is put together from the artifacts, verified
against the recorded checksums, and computed again from the run's params where it is not there or damaged.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from interventions.composition import Composition
from interventions.errors import InvalidInput
from tracking import command, lifecycle, schema, store
from tracking.chain import Chain
from tracking.checkpoints import delta
from tracking.checkpoints.store import Checkpoints, damaged_files
from tracking.plan import prepare
from tracking.settings import Settings


def restore(
    run_id: str, step: int, out: Path | None = None, kept: Checkpoints | None = None
) -> Path:
    """The folder of the checkpoint after ``step`` interventions of a run; ``from_pretrained`` loads it.

    Args:
        run_id: of a composition.
        step: 1 to the number of interventions, recompressions included.
        out: a new folder to write to; by default the checkpoint is only kept beside the others, and may be dropped.
        kept: where checkpoints are kept; the checkout's by default.

    Raises:
        InvalidInput: there is no such run or step; ``out`` exists; or the checkpoint was not logged whole and what
            computes it now would lead to another.
    """
    if out is not None and out.exists():
        raise InvalidInput(f"cannot write to {str(out)!r}: it exists")
    client = MlflowClient(tracking_uri=store.uri())
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise InvalidInput(f"no run has the id {run_id!r} in {store.uri()}") from error
    names = schema.steps(run.data.params)
    if not names:
        raise InvalidInput(f"run {run_id} is no composition of interventions: it has no checkpoint")
    if not 1 <= step <= len(names):
        raise InvalidInput(f"step must be 1 to {len(names)} in run {run_id}, but got {step}")
    if out is not None:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"cannot write to {str(out)!r}: {error}") from error
    kept = kept or Checkpoints()
    chain = _chain(run, kept)
    key = chain.keys[step]
    if out is None and kept.sound(key):
        return kept.path(key)
    with tempfile.TemporaryDirectory(prefix="composability-restored-") as aside:
        folder = _from_artifacts(run, names, step, chain, Path(aside)) or _computed(
            run, step, chain
        )
        if out is None:
            return kept.adopt(key, folder)
        shutil.copytree(folder, out)
    return out


def _chain(run: Run, kept: Checkpoints) -> Chain:
    """The run's plan as its params tell it, on this machine."""
    params = run.data.params
    shown = {"split": Settings.split, **params}  # runs of before there was a choice do not say it
    read = {
        name: shown.get(f"{schema.USED}{name}", shown.get(name, "")) for name in schema.SETTINGS
    }
    settings: dict[str, Any] = {
        **read,
        "seed": int(read["seed"]),
        "edit_batch": int(read["edit_batch"]),
    }
    plan = prepare(params[schema.COMPOSITION], Settings(**{**settings, "device": "auto"}))
    chain = Chain(plan, kept)
    again = Composition.parse(params.get(schema.RECOMPRESSED_PARAM, "none"), plan.settings.data)
    chain.steps += again
    chain.keys = Composition(chain.steps).keys(plan.origin, plan.data)
    return chain


def _from_artifacts(
    run: Run, names: list[str], step: int, chain: Chain, aside: Path
) -> Path | None:
    """The folder, from what was logged; None, with a warning where something is damaged, if that is not enough."""
    logged = _download(run, schema.checkpoint_folder(step, names[step - 1]), aside / str(step))
    if logged is None:
        return None
    if not (logged / delta.CHANGES).exists():
        damaged = damaged_files(logged)
        if damaged:
            _warn(run, step, ", ".join(damaged))
        return None if damaged else logged
    before = _from_artifacts(run, names, step - 1, chain, aside) if step > 1 else chain.folder(0)
    if before is None:
        return None
    whole = aside / f"{step}-whole"
    try:
        delta.assemble(before, logged, whole)
    except Exception as error:  # whatever a damaged file raises
        _warn(run, step, lifecycle.one_line(error))
        return None
    return whole


def _computed(run: Run, step: int, chain: Chain) -> Path:
    recorded = run.data.tags.get(schema.KEY)
    if recorded != chain.keys[-1]:
        raise InvalidInput(
            f"step {step} of run {run.info.run_id} was not logged whole, and cannot be computed again: model, data or"
            f" versions are others now (key {chain.keys[-1]}, recorded {recorded})"
        )
    return chain.folder(step)


def _download(run: Run, place: str, to: Path) -> Path | None:
    to.mkdir(parents=True)
    try:
        uri = f"{run.info.artifact_uri}/{place}"
        found = Path(
            download_artifacts(artifact_uri=uri, dst_path=str(to), tracking_uri=store.uri())
        )
    except (MlflowException, OSError):
        return None
    return found if any(found.iterdir()) else None


def _warn(run: Run, step: int, what: str) -> None:
    text = f"the checkpoint of step {step} of run {run.info.run_id} is damaged ({what}): computed again"
    warnings.warn(text, stacklevel=4)


def main() -> int:
    """The command; returns its exit status."""
    parser = command.parser("tracking.restore", __doc__)
    parser.add_argument("run_id")
    parser.add_argument("step", type=int, help="number of interventions applied")
    parser.add_argument("folder", type=Path, help="a new folder")

    def restored() -> None:
        args = command.read(parser, None)
        print(restore(args.run_id, args.step, args.folder))

    return lifecycle.exit_status(restored)


if __name__ == "__main__":
    sys.exit(main())
