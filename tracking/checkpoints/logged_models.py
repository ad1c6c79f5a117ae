"""Checkpoints as MLflow's LoggedModels: with their files, so that they load, register and search.

A folder of Hugging Face files is the model: ``models:/<id>`` gives it, without MLflow's pickled
flavors. On a local store the run's artifacts and the model's files are second names of one file.
Elsewhere the model alone has the files, and ``checkpoints/index.json`` among the run's artifacts
names it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Run
from mlflow.exceptions import MlflowException

from interventions.files import link_or_copy, set_read_only
from tracking import schema
from tracking.artifact_files import local_artifacts

if TYPE_CHECKING:
    from tracking.chain import Chain

MODEL_TYPE = "checkpoint"


@dataclass(frozen=True)
class CheckpointModel:
    """What a checkpoint's LoggedModel says besides its files.

    Attributes:
        step: the number of interventions applied.
        name: of the last of them.
        spec: how the checkpoint came about: "lora → wanda(sparsity=0.5)".
        params: the hyperparameters of the last step.
        tags: its key, and the checksum of its files.
    """

    step: int
    name: str
    spec: str
    params: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def artifact(self) -> str:
        """Where the checkpoint is among the run's artifacts, on a local store."""
        return schema.checkpoint_folder(self.step, self.name)


def checkpoint_model(chain: Chain, step: int, checksum: str) -> CheckpointModel:
    """Return what the LoggedModel of a chain's checkpoint says of itself.

    Args:
        chain: a run's steps, recompressions included.
        step: the number of interventions applied.
        checksum: of all files of the full checkpoint.
    """
    specs = [applied.spec(chain.plan.settings.profile) for applied in chain.steps[:step]]
    planned, last = len(chain.plan.composition), chain.steps[step - 1]
    return CheckpointModel(
        step=step,
        name=last.name,
        spec=schema.run_name(specs[:planned], specs[planned:]),
        params={name: str(value) for name, value in last.params().items()},
        tags={schema.KEY: chain.keys[step], schema.checksum_tag(step): checksum},
    )


def log_checkpoint_model(
    client: MlflowClient, run: Run, about: CheckpointModel, folder: Path, as_artifact: bool = True
) -> LoggedModel:
    """Log a checkpoint's files as a LoggedModel of a run, and name it among the run's outputs.

    Args:
        client: of the store.
        run: the run that made it.
        about: what the model says of itself.
        folder: of plain files that nobody writes to again.
        as_artifact: whether a local store lists the files among the run's artifacts, too.

    Raises:
        OSError, MlflowException: the files cannot be stored; the model then says FAILED.
    """
    run_id = run.info.run_id
    model = client.create_logged_model(
        experiment_id=run.info.experiment_id,
        name=schema.checkpoint_name(about.step, about.name),
        source_run_id=run_id,
        params=dict(about.params),
        tags={
            schema.CHECKPOINT_STEP: str(about.step),
            schema.CHECKPOINT_SPEC: about.spec,
            **about.tags,
        },
        model_type=MODEL_TYPE,
    )
    try:
        is_local = _store_files(client, run, model, about.artifact if as_artifact else "", folder)
    except BaseException:
        with suppress(Exception):  # the failure itself must reach the user
            client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
        raise
    model = client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, about.step)])
    if not is_local:
        index = json.dumps(_index(client, run_id), indent=1)
        client.log_text(run_id, index, schema.CHECKPOINT_INDEX)
    return model


def model_of_step(client: MlflowClient, run: Run, step: int) -> LoggedModel | None:
    """Return the LoggedModel with the files of a run's checkpoint; None if there is none.

    Packed forms of it do not count: their weights are not the files' that the run recorded. The
    run's outputs say which it is, which an artifact's author cannot change.
    """
    models = []
    for output in run.outputs.model_outputs if run.outputs else ():
        if output.step == step:
            with suppress(MlflowException):  # somebody deleted it
                models.append(client.get_logged_model(output.model_id))
    with_files = [
        model
        for model in models
        if model.status == LoggedModelStatus.READY
        and not schema.is_external(model.tags)
        and schema.EXPORT not in model.tags
    ]
    # MLflow gives outputs in any order
    return max(with_files, key=lambda model: int(model.creation_timestamp), default=None)


def _store_files(
    client: MlflowClient, run: Run, model: LoggedModel, artifact: str, folder: Path
) -> bool:
    """Store a checkpoint's files; return whether they are on this machine.

    Where that needs no room, they are among the run's artifacts, too, unless ``artifact`` is "".
    """
    with suppress(OSError):  # another user's, whose right it is
        set_read_only(folder)
    artifacts = local_artifacts(run.info.artifact_uri)
    model_files = local_artifacts(model.artifact_location)
    if artifacts is None or model_files is None:
        client.log_model_artifacts(model.model_id, str(folder))
        return False
    if artifact:
        link_or_copy(folder, artifacts / artifact)
        # from there, which is on the same file system whatever the cache is on
        folder = artifacts / artifact
    link_or_copy(folder, model_files)
    return True


def _index(client: MlflowClient, run_id: str) -> dict[str, dict[str, object]]:
    """Return which LoggedModel has the files of which checkpoint, by its name."""
    outputs = client.get_run(run_id).outputs
    index: dict[str, dict[str, object]] = {}
    for output in sorted(
        outputs.model_outputs if outputs else (), key=lambda output: int(output.step)
    ):
        model_id, name = output.model_id, client.get_logged_model(output.model_id).name
        index[name] = {"step": output.step, "model_id": model_id, "uri": f"models:/{model_id}"}
    return index
