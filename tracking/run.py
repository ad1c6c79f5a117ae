"""One composition is one MLflow run: `python -m tracking.run --first lora --second wanda`, or `run("lora | wanda")`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

if __name__ == "__main__":
    os.environ.setdefault(
        "TQDM_DELAY", "5"
    )  # libraries' progress bars: only where something takes over 5 s
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # on cores shared with others, threads that spin cost tenfold

import mlflow
from mlflow import MlflowClient
from mlflow.tracking.context.registry import resolve_tags

from interventions.composition import Composition
from tracking import command, lifecycle, schema, store
from tracking.chain import Chain, always
from tracking.checkpoints.store import Checkpoints
from tracking.execute import execute
from tracking.log import Log
from tracking.plan import Plan, add_settings, prepare, profile
from tracking.settings import Settings


def run(
    composition: Composition | str,
    *,
    model: str = "testbed",
    data: str = "testbed",
    seed: int = 0,
    edit_batch: int = 0,
    split: str = "test",
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
        split: which data the composition is judged by, and the edits come from: "test"; "validation", for tuning;
            "held_out", on the paper's data: "test" without the questions that "validation" asks.
        recompress: "auto", "never" or "paper": see Composition.recompression.
        checkpoints: which steps' checkpoints are logged as artifacts: "all", "last", "changed" (of every step the
            tensors that differ from the step before; ``checkpoints.load`` makes the full folder of it) or "none".
        device: "auto", "cpu" or "cuda".
        dtype: "auto" (float32 on CPU, bfloat16 on GPU), "float32", "bfloat16", "float16".
        experiment: name of the MLflow experiment; made if missing.
        cache: where computed checkpoints are kept; the checkout's by default.

    Returns:
        The run's id.

    Raises:
        InvalidInput: before a run is made and before anything is loaded.
    """
    settings = Settings(
        model, data, seed, edit_batch, split, recompress, checkpoints, device, dtype
    )
    return track(prepare(composition, settings), experiment, cache)


@dataclass(frozen=True)
class Member:
    """What makes a run part of a grid or study.

    Attributes:
        experiment_id: where it goes.
        tags: its parent (schema.PARENT) and the sweep's name among them.
        keep: which checkpoints, by key, are worth keeping for others.
    """

    experiment_id: str
    tags: Mapping[str, str]
    keep: Callable[[str], bool] = always


def track(plan: Plan, experiment: str, cache: Checkpoints | None = None) -> str:
    """Run a checked plan; adopts the run that `mlflow run` made, if that is how we were started."""
    mlflow.set_tracking_uri(store.uri())
    client, adopted = MlflowClient(), lifecycle.launched()
    start = time.perf_counter()
    launched = client.get_run(adopted) if adopted else None
    experiment_id = launched.info.experiment_id if launched else store.experiment(experiment)
    lifecycle.reconcile(client, experiment_id)
    if launched:
        run_id = launched.info.run_id
        client.update_run(run_id, name=_name(plan))
    else:
        tags = {**resolve_tags(), **lifecycle.identity()}
        run_id = client.create_run(experiment_id, tags=tags, run_name=_name(plan)).info.run_id
    log = Log(client, run_id, experiment_id, plan, launched.data.params if launched else {})
    log.seconds += time.perf_counter() - start
    _logged(Chain(plan, cache or Checkpoints()), log, identified=not launched)
    return run_id


def track_member(plan: Plan, member: Member, cache: Checkpoints) -> Chain:
    """Run a checked plan as one of many, nested under its parent; returns what it went through."""
    client = MlflowClient(tracking_uri=store.uri())
    start = time.perf_counter()
    tags = {**resolve_tags(), **lifecycle.identity(), **member.tags}
    run = client.create_run(member.experiment_id, tags=tags, run_name=_name(plan))
    log = Log(client, run.info.run_id, member.experiment_id, plan, tags=member.tags)
    log.seconds += time.perf_counter() - start
    chain = Chain(plan, cache, member.keep)
    chain.run_id = run.info.run_id
    _logged(chain, log, identified=True)
    chain.seconds["log"] = log.seconds
    return chain


def _name(plan: Plan) -> str:
    return schema.run_name([step.spec(plan.settings.data) for step in plan.composition])


def _logged(chain: Chain, log: Log, identified: bool) -> None:
    with lifecycle.ending(log.client, log.run_id, log.tick, identified):
        log.begin()
        try:
            execute(chain, log)
        except BaseException:
            with suppress(
                Exception
            ):  # the failure itself must reach the user, whatever the store says
                log.flush()
            raise
        log.seconds_load = chain.seconds["load"]
        log.end()


def parser() -> argparse.ArgumentParser:
    """The command line; MLproject's entry point ``main`` has the same parameters."""
    made = command.parser("tracking.run", __doc__)
    made.add_argument(
        "--first", default="none", help="first intervention, such as lora or wanda(sparsity=0.25)"
    )
    made.add_argument("--second", default="none", help="second intervention")
    made.add_argument("--then", default="none", help="further steps: rmu | wanda")
    made.add_argument(
        "--seed", type=int, default=Settings.seed, help="enters every step's own seed"
    )
    made.add_argument(
        "--edit_batch", type=int, default=Settings.edit_batch, help="which batch of edits, from 0"
    )
    add_settings(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0, 1 (failed), 2 (bad input), 130 (Ctrl-C), 143 (SIGTERM)."""

    def run_it() -> None:
        plan, experiment = _read(arguments)
        print(f"run {track(plan, experiment)} in {store.uri()}")

    return lifecycle.exit_status(run_it)


def _read(arguments: Sequence[str] | None) -> tuple[Plan, str]:
    options = vars(command.read(parser(), arguments))
    specs = [options.pop(key) for key in ("first", "second", "then")]
    experiment = options.pop("experiment")
    settings = Settings(**options)
    # each on its own, so that an error names the one that is wrong
    steps = [step for spec in specs for step in Composition.parse(spec, profile(settings.data))]
    return prepare(Composition(steps), settings), experiment


if __name__ == "__main__":
    sys.exit(main())
