"""Register a run's checkpoint in MLflow's model registry: `composability register RUN --name N`."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from interventions.arguments import checked
from interventions.errors import InvalidInput, shown
from interventions.files import write_whole
from interventions.options import UNPACKED
from tracking import schema, store
from tracking.artifact_files import local_artifacts
from tracking.checkpoints.integrity import content_checksum, damaged_files, in_words
from tracking.checkpoints.logged_models import (
    checkpoint_model,
    log_checkpoint_model,
    model_of_step,
)
from tracking.checkpoints.model_address import model_id_of
from tracking.checkpoints.recorded_runs import chain_of_run, names_of_steps, recorded_run
from tracking.checkpoints.restore import load_checkpoint
from tracking.checkpoints.store import Checkpoints
from tracking.model_card import card_file, model_card
from tracking.packed_models import check_format, packed_model
from tracking.passwords import check_no_passwords

CARDS = "model_cards"  # a folder among a run's artifacts
_MOST_DESCRIPTION = 5000  # characters; what the registry's table has room for
_LONGEST_NAME = 200  # characters of a model's name
_ALIAS = re.compile(r"(?!(?i:latest)$)(?![vV][0-9]+$)[A-Za-z0-9_-]{1,100}")  # MLflow's own rule
_NO_TAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class RegisteredCheckpoint:
    """A version in the registry.

    Attributes:
        name: of the registered model.
        version: its number.
        alias: what it is called, if anything.
        run_id: of the run whose checkpoint it is.
        step: the number of interventions applied.
        is_new: whether it was registered now; False where that checkpoint had a version already.
    """

    name: str
    version: int
    alias: str
    run_id: str
    step: int
    is_new: bool = True

    @property
    def address(self) -> str:
        """What MLflow and ``load_checkpoint`` find it by."""
        by_alias = f"models:/{self.name}@{self.alias}"
        return by_alias if self.alias else f"models:/{self.name}/{self.version}"

    def __str__(self) -> str:
        verb = "registered as" if self.is_new else "was registered already as"
        return f"step {self.step} of run {self.run_id} {verb} {self.address}"


@checked
def register(
    run_id: str,
    name: str,
    step: int | None = None,
    alias: str = "",
    *,
    export: str = UNPACKED,
    tags: Mapping[str, str] = _NO_TAGS,
    checkpoints: Checkpoints | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> RegisteredCheckpoint:
    """Register the checkpoint after some of a run's interventions, with a generated card.

    ``models:/<name>@<alias>`` then gives a folder that ``from_pretrained`` loads, without this
    package. A checkpoint that the run did not log whole is restored, verified and logged first.
    One that is registered under that name already stays the version that it is.

    Args:
        run_id: of a finished composition.
        name: of the registered model; it is made if there is none.
        step: 1 to the number of interventions, recompressions included; None: the last.
        alias: what the version is called from now on: "champion"; "" for nothing.
        export: "none" registers the checkpoint as it is, dense; "compressed-tensors" or "gptq" its
            packed form, which the run then lists beside it.
        tags: of the version, besides those that say what it is.
        checkpoints: where computed checkpoints are stored; the checkout's by default.
        trust_remote_code: whether code that comes with the model may run, if it ran in the run.
        allow_pickle: whether the model's weights may be pickled, if they could be in the run.

    Raises:
        InvalidInput: there is no such run or step, it has not finished, MLflow has no such names,
            or the checkpoint is damaged or cannot be restored; nothing was registered.

    Example:
        >>> register("unknown", "edited and pruned", alias="latest")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: alias must be letters, digits, - and _, and neither ...
    """
    _check_names(name, alias)
    check_format(export)
    run = recorded_run(run_id)
    names = names_of_steps(run, step)
    step = len(names) if step is None else step
    if run.info.status != "FINISHED":
        raise InvalidInput(f"run {run_id} is {run.info.status}; a run that FINISHED is registered")
    client = store.client()
    permissions = (trust_remote_code, allow_pickle)
    if export == UNPACKED:
        model = model_of_step(client, run, step)
        if model is None:
            model = _logged_now(client, run, step, checkpoints, *permissions)
        _check_files(model, run, step)
    else:
        model = packed_model(client, run, step, export, checkpoints, *permissions)
    spec = model.tags.get(schema.CHECKPOINT_SPEC, " | ".join(names[:step]))
    card = model_card(run, step, spec, names, model.tags)
    packed = (schema.EXPORT, schema.EXPORT_DIFFERENCE)
    about = {schema.CHECKPOINT_STEP: str(step), schema.CHECKPOINT_SPEC: spec, **tags}
    about |= {tag: model.tags[tag] for tag in packed if tag in model.tags}
    version, is_new = _version(client, name, model, about, card)
    if alias:
        client.set_registered_model_alias(name, alias, version.version)
    _log_card(client, run_id, f"{model.name}.md", card)
    return RegisteredCheckpoint(name, int(version.version), alias, run_id, step, is_new)


def _check_names(name: str, alias: str) -> None:
    check_no_passwords({"name": name, "alias": alias})
    is_plain = name.isprintable() and not set("/:@'\"%\\") & set(name) and name == name.strip()
    if not is_plain or not 1 <= len(name) <= _LONGEST_NAME or name in (".", ".."):
        raise InvalidInput(
            f"name must be 1 to {_LONGEST_NAME} printable characters without / : @ % \\ and quotes,"
            f" but got {shown(name, 100)}"
        )
    if alias and not _ALIAS.fullmatch(alias):
        raise InvalidInput(
            "alias must be letters, digits, - and _, and neither latest nor v1, but got"
            f" {shown(alias, 100)}"
        )


def _logged_now(
    client: MlflowClient,
    run: Run,
    step: int,
    checkpoints: Checkpoints | None,
    trust_remote_code: bool,
    allow_pickle: bool,
) -> LoggedModel:
    """Restore a checkpoint that its run did not log whole, and log it as the run's LoggedModel."""
    checkpoints = checkpoints or Checkpoints()
    run_id = run.info.run_id
    folder = load_checkpoint(run_id, step, None, checkpoints, trust_remote_code, allow_pickle)
    with checkpoints.held(folder.name) as held:
        about = checkpoint_model(chain_of_run(run, checkpoints), step, content_checksum(held))
        return log_checkpoint_model(client, run, about, held, as_artifact=False)


def _check_files(model: LoggedModel, run: Run, step: int) -> None:
    """Check that a model's files are what the run recorded, where they are on this machine."""
    folder = local_artifacts(model.artifact_location)
    if folder is None:
        return
    damaged = damaged_files(folder)
    recorded = run.data.tags.get(schema.checksum_tag(step))
    if not damaged and recorded not in (None, content_checksum(folder)):
        damaged = ["it is not the checkpoint whose checksum the run recorded"]
    if damaged:
        raise InvalidInput(
            f"the model of step {step} of run {run.info.run_id} is damaged ({in_words(damaged)}):"
            f" delete it (MlflowClient().delete_logged_model('{model.model_id}')) and register"
            " again, which restores it"
        )


def _version(
    client: MlflowClient, name: str, model: LoggedModel, tags: Mapping[str, str], card: str
) -> tuple[ModelVersion, bool]:
    """Return the version of a model under a name, and whether it is new."""
    for version in client.search_model_versions(f"name = '{name}'"):
        if model_id_of(version) == model.model_id:
            for tag, text in tags.items():
                client.set_model_version_tag(name, version.version, tag, text)
            return version, False
    is_first = False
    with suppress(MlflowException):  # there is one already
        client.create_registered_model(name)
        is_first = True
    try:
        version = client.create_model_version(
            name,
            source=f"models:/{model.model_id}",
            run_id=model.source_run_id,
            tags=dict(tags),
            description=_shortened(card),
            model_id=model.model_id,
        )
    except MlflowException as error:
        if is_first:  # not an empty one
            client.delete_registered_model(name)
        raise InvalidInput(f"MLflow did not register {shown(name, 100)}: {error}") from error
    return version, True


def _shortened(card: str) -> str:
    if len(card) <= _MOST_DESCRIPTION:
        return card
    note = f"\n\n*The whole card is among the run's artifacts, in {CARDS}.*\n"
    whole_lines = card[: _MOST_DESCRIPTION - len(note)].rpartition("\n")[0]
    return whole_lines + note


def _log_card(client: MlflowClient, run_id: str, file_name: str, card: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_whole(Path(folder) / file_name, card_file(card))
        client.log_artifacts(run_id, folder, CARDS)
