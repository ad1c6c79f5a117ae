"""One composition is one MLflow run: `python -m tracking.run --first lora --second wanda`, or `run("lora | wanda")`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence

if __name__ == "__main__":
    os.environ.setdefault("TQDM_DELAY", "5")  # libraries' progress bars: only where something takes over 5 s
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # on cores shared with others, threads that spin cost tenfold

import mlflow
from mlflow import MlflowClient
from mlflow.tracking.context.registry import resolve_tags

from interventions.composition import Composition
from interventions.registry import InvalidInput
from tracking import liveness, schema, store
from tracking.checkpoints import Checkpoints
from tracking.execute import Execution
from tracking.log import Log
from tracking.plan import DEVICES, KEEP, Plan, Settings, prepare


def run(
    composition: Composition | str,
    *,
    model: str = "testbed",
    data: str = "testbed",
    seed: int = 0,
    edit_batch: int = 0,
    recompress: str = "auto",
    checkpoints: str = "all",
    device: str = "auto",
    dtype: str = "auto",
    experiment: str = store.EXPERIMENT,
    cache: Checkpoints | None = None,
) -> str:
    """Apply a composition step by step, measure every criterion after each, log it all as one MLflow run.

    Args:
        composition: ``"lora | wanda(sparsity=0.25)"`` or a Composition; ``"none"`` measures the base model.
        model: "testbed", a checkpoint folder, or a Hugging Face id.
        data: "testbed", or "paper" (full scale: from the hub, or from the folder that COMPOSABILITY_DATA names).
        seed: enters every step's own seed.
        edit_batch: which of the data's batches of edits.
        recompress: "auto", "never" or "paper": see Composition.recompression.
        checkpoints: which steps' checkpoints are logged as artifacts: "all", "last" or "none".
        device: "auto", "cpu" or "cuda".
        dtype: "auto" (float32 on CPU, bfloat16 on GPU), "float32", "bfloat16", "float16".
        experiment: name of the MLflow experiment; made if missing.
        cache: where computed checkpoints are kept; the checkout's by default.

    Returns:
        The run's id.

    Raises:
        InvalidInput: before a run is made and before anything is loaded.
    """
    settings = Settings(model, data, seed, edit_batch, recompress, checkpoints, device, dtype)
    return track(prepare(composition, settings), experiment, cache)


def track(plan: Plan, experiment: str, cache: Checkpoints | None = None) -> str:
    """Run a checked plan; adopts the run that `mlflow run` made, if that is how we were started."""
    mlflow.set_tracking_uri(store.uri())
    client = MlflowClient()
    adopted = os.environ.get("MLFLOW_RUN_ID")
    start = time.perf_counter()
    experiment_id = client.get_run(adopted).info.experiment_id if adopted else store.experiment(experiment)
    liveness.reconcile(client, experiment_id)
    name = schema.run_name([step.spec(plan.settings.data) for step in plan.composition])
    if adopted:
        run_id = adopted
        client.update_run(run_id, name=name)
    else:
        run_id = client.create_run(experiment_id, tags=resolve_tags(), run_name=name).info.run_id
    log = Log(client, run_id, experiment_id, plan)
    log.seconds += time.perf_counter() - start
    with liveness.ending(client, run_id):
        log.begin()
        Execution(plan, cache or Checkpoints(), log).go()
        log.end()
    return run_id


def parser() -> argparse.ArgumentParser:
    """The command line; MLproject's entry point ``main`` has the same parameters."""
    made = argparse.ArgumentParser(prog="python -m tracking.run", description=__doc__, exit_on_error=False)
    made.add_argument("--first", default="none", help="first intervention, such as lora or wanda(sparsity=0.25)")
    made.add_argument("--second", default="none", help="second intervention")
    made.add_argument("--then", default="none", help="further steps: rmu | wanda")
    made.add_argument("--model", default=Settings.model, help="testbed, a checkpoint folder, or a Hugging Face id")
    made.add_argument("--data", default=Settings.data, help="what to learn from and to judge by: testbed or paper")
    made.add_argument("--seed", type=int, default=Settings.seed, help="enters every step's own seed")
    made.add_argument("--edit_batch", type=int, default=Settings.edit_batch, help="which batch of edits, from 0")
    made.add_argument("--recompress", default=Settings.recompress, help="auto, never or paper")
    made.add_argument("--checkpoints", default=Settings.checkpoints, help=f"logged: {', '.join(KEEP)}")
    made.add_argument("--device", default=Settings.device, help=", ".join(DEVICES))
    made.add_argument("--dtype", default=Settings.dtype, help="auto, float32, bfloat16, float16")
    made.add_argument("--experiment", default=store.EXPERIMENT, help="name of the MLflow experiment")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0, 1 (failed), 2 (bad input), 130 (Ctrl-C), 143 (SIGTERM)."""
    try:
        plan, experiment = _read(arguments)
    except InvalidInput as error:
        line = liveness.one_line(error)
        print(f"error: {line}", file=sys.stderr)
        liveness.fail_launched(line)
        return 2
    try:
        run_id = track(plan, experiment)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except liveness.Terminated:
        return 128 + signal.SIGTERM
    print(f"run {run_id} in {store.uri()}")
    return 0


def _read(arguments: Sequence[str] | None) -> tuple[Plan, str]:
    try:
        given, unknown = parser().parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise InvalidInput(str(error)) from error
    if unknown:
        valid = ", ".join(option.strip("-") for option in parser()._option_string_actions if option.startswith("--"))
        raise InvalidInput(f"unknown parameter {unknown[0]!r}; valid: {valid}")
    options = vars(given)
    specs = [options.pop(key) for key in ("first", "second", "then")]
    experiment = options.pop("experiment")
    settings = Settings(**options)
    # each on its own, so that an error names the one that is wrong
    steps = [step for spec in specs for step in Composition.parse(spec, _profile(settings.data))]
    return prepare(Composition(steps), settings), experiment


def _profile(data: str) -> str:
    from interventions.base import PROFILES

    return data if data in PROFILES else PROFILES[0]  # an unknown one is refused by prepare


if __name__ == "__main__":
    sys.exit(main())
