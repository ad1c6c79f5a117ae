"""The packed form of a run's checkpoint as a LoggedModel, beside the dense one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus, Run
from mlflow.exceptions import MlflowException

from interventions.errors import InvalidInput, shown
from interventions.lm import LM
from interventions.options import EXPORTS
from tracking import schema
from tracking.checkpoints.logged_models import CheckpointModel, log_checkpoint_model
from tracking.checkpoints.recorded_runs import chain_of_run
from tracking.checkpoints.restore import load_checkpoint
from tracking.checkpoints.store import Checkpoints


def check_format(format: str) -> str:
    """Return the name of a packed form, or "none".

    Raises:
        InvalidInput: there is no such form.

    Example:
        >>> check_format("gptq")
        'gptq'
    """
    if format not in EXPORTS:
        raise InvalidInput(
            f"export must be one of {', '.join(EXPORTS)}, but got {shown(format, 100)}"
        )
    return format


def packed_model(
    client: MlflowClient,
    run: Run,
    step: int,
    format: str,
    checkpoints: Checkpoints | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> LoggedModel:
    """Return the LoggedModel with the packed form of a run's checkpoint; log it if there is none.

    Its tag ``composability.export_difference`` is the largest difference between a weight and what
    the packed form says it is: 0 for compressed-tensors.

    Args:
        client: of the store.
        run: a finished composition.
        step: the number of interventions applied.
        format: "compressed-tensors" or "gptq".
        checkpoints: where computed checkpoints are stored; the checkout's by default.
        trust_remote_code: whether code that comes with the model may run, if it ran in the run.
        allow_pickle: whether the model's weights may be pickled, if they could be in the run.

    Raises:
        InvalidInput: the checkpoint's weights are on no grid that the form can hold, or it cannot
            be restored; nothing was logged.
    """
    logged = next(_packed_models(client, run, step, format), None)
    if logged is not None:
        return logged
    checkpoints = checkpoints or Checkpoints()
    run_id = run.info.run_id
    dense = load_checkpoint(run_id, step, None, checkpoints, trust_remote_code, allow_pickle)
    chain = chain_of_run(run, checkpoints)
    dtype = run.data.params.get(f"{schema.USED}dtype", "float32")
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "packed"
        with checkpoints.held(dense.name):
            lm = LM.load(dense, dtype, "cpu", trust_remote_code=trust_remote_code)
            difference = lm.export(packed, format)
        last = chain.steps[step - 1]
        specs = [applied.spec(chain.plan.settings.profile) for applied in chain.steps[:step]]
        planned = len(chain.plan.composition)
        about = CheckpointModel(
            step=step,
            name=f"{last.name}-{format}",
            spec=schema.run_name(specs[:planned], specs[planned:]),
            params={name: str(value) for name, value in last.params().items()},
            tags={
                schema.KEY: chain.keys[step],
                schema.EXPORT: format,
                schema.EXPORT_DIFFERENCE: repr(difference),
            },
        )
        return log_checkpoint_model(client, run, about, packed, as_artifact=False)


def _packed_models(client: MlflowClient, run: Run, step: int, format: str) -> Iterator[LoggedModel]:
    for output in run.outputs.model_outputs if run.outputs else ():
        with suppress(MlflowException):  # somebody deleted it
            model = client.get_logged_model(output.model_id)
            is_form = model.tags.get(schema.EXPORT) == format
            if is_form and output.step == step and model.status == LoggedModelStatus.READY:
                yield model
