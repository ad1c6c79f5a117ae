"""Run one composition as one MLflow run: ``run("lora | wanda")``.

From a shell: `composability run "lora | wanda"`.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass

if __name__ == "__main__":
    # libraries show progress bars only where something takes over 5 s
    os.environ.setdefault("TQDM_DELAY", "5")
    # on cores shared with other programs, threads that spin cost tenfold
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import mlflow
from mlflow.tracking.context.registry import resolve_tags
from tqdm import tqdm

from interventions import moved
from interventions.arguments import checked
from interventions.composition import Composition
from interventions.data.own.data_set import DataSet
from interventions.errors import plain_text
from tracking import lifecycle, schema, store
from tracking.chain import Chain, keep_all
from tracking.checkpoints import delta
from tracking.checkpoints.holding import HeldCheckpoints
from tracking.checkpoints.integrity import content_checksum
from tracking.checkpoints.logged_models import checkpoint_model
from tracking.checkpoints.store import Checkpoints
from tracking.log import Log
from tracking.nesting import place_of_run
from tracking.passwords import check_no_passwords
from tracking.plan import Plan, plan_run
from tracking.settings import Settings
from tracking.system_metrics import system_metrics

_DELAY = 5.0  # seconds before there is a progress bar


@checked
def run(
    composition: Composition | str,
    *,
    model: str = "testbed",
    data: str | DataSet = "testbed",
    seed: int = 0,
    edit_batch: int = 0,
    split: str = "test",
    window: int = 0,
    stride: int = 0,
    tail: str = "keep",
    criteria: str = "all",
    limit: int = 0,
    prompt_format: str = "plain",
    recompress: str = "preset",
    checkpoints: str = "all",
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    experiment: str = store.EXPERIMENT,
    cache: Checkpoints | None = None,
) -> str:
    """Apply a composition step by step, and log it all as one MLflow run.

    Inside a run that your own code began with ``mlflow.start_run`` it is nested under that one.

    Every criterion that there is data for is measured on the base model and after each step. If one
    fails, the others are kept: a warning and the tag ``composability.failed_criteria`` say so.

    Args:
        composition: ``"lora | wanda(sparsity=0.25)"`` or a Composition; ``"none"`` measures the
            base model.
        model: "testbed", "testbed-without-forget", a checkpoint folder, or a Hugging Face id.
        data: "testbed", "paper" (full scale: from the hub, or from the folder that
            COMPOSABILITY_DATA names), the path of a YAML file that describes your own, or what
            ``own_data`` returns.
        seed: enters every step's own seed.
        edit_batch: the index of the batch of edits.
        split: the data that judges the composition and that the edits come from: "test";
            "validation", for tuning; "held_out", on the paper's data: "test" without the questions
            that "validation" asks.
        window: tokens that perplexity scores together; 0: as many as the data's own.
        stride: tokens after which perplexity's next window begins; 0: windows do not overlap.
        tail: "keep" or "drop" the last window of a text that is shorter than the others.
        criteria: what is measured: "mmlu,wikitext_ppl"; "all": what there is data for.
        limit: the most items of each criterion, a stratified sample that does not depend on the
            seed; 0: all. Scores of a sample are stored and compared apart from those of all.
        prompt_format: how the prompts of edits and questions are given: "plain", as they are, or
            "chat", by the chat template of an instruct model's tokenizer.
        recompress: "auto" (as "preset" is here), "never" or "paper": see Composition.recompression.
        checkpoints: the steps whose checkpoints are logged as artifacts: "all", "last", "changed"
            (of every step the tensors that differ from the step before; ``load_checkpoint`` makes
            the full folder of them) or "none".
        device: "auto", "cpu" or "cuda".
        dtype: "auto" (float32 on CPU, bfloat16 on GPU), "float32", "bfloat16", "float16".
        trust_remote_code: whether code that comes with the model may run.
        allow_pickle: whether the model's weights may be pickled, where there are no others.
        experiment: name of the MLflow experiment; made if missing.
        cache: where computed checkpoints are stored; the checkout's by default.

    Returns:
        The run's id.

    Raises:
        InvalidInput: before a run is made and before anything is loaded.

    Example:
        >>> run("wanda(sparsity=25)")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: wanda.sparsity must be ...
    """
    check_no_passwords({"composition": composition, "model": model, "experiment": experiment})
    store.check_reachable()
    plain_text("experiment", experiment)
    settings = Settings(
        model=model,
        data=data,
        seed=seed,
        edit_batch=edit_batch,
        split=split,
        window=window,
        stride=stride,
        tail=tail,
        criteria=criteria,
        limit=limit,
        prompt_format=prompt_format,
        recompress=recompress,
        checkpoints=checkpoints,
        device=device,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        allow_pickle=allow_pickle,
    )
    return carry_out(plan_run(composition, settings), experiment, cache)


@dataclass(frozen=True)
class SweepMember:
    """What makes a run part of a grid or a study.

    Attributes:
        experiment_id: where the run goes.
        tags: the parent run (schema.PARENT) and the sweep's name are among them.
        keep: says by its key whether a checkpoint is worth storing for other runs.
    """

    experiment_id: str
    tags: Mapping[str, str]
    keep: Callable[[str], bool] = keep_all


def carry_out(plan: Plan, experiment: str, cache: Checkpoints | None = None) -> str:
    """Carry out a plan as one MLflow run; return the run's id.

    If `mlflow run` started this process, it has made a run, which is used.

    Args:
        plan: what to run.
        experiment: the name of the experiment.
        cache: where checkpoints are stored; the checkout's by default.
    """
    # before a run is made: the cache's folder may not be writable
    chain = _chain(plan, cache or Checkpoints())
    mlflow.set_tracking_uri(store.uri())
    client, launched_run_id = store.client(), lifecycle.launched_run_id()
    start = time.perf_counter()
    if launched_run_id:
        launched = client.get_run(launched_run_id)
        run_id, experiment_id = launched.info.run_id, launched.info.experiment_id
        launched_params = launched.data.params
        lifecycle.end_dead_runs(client, experiment_id)
        client.update_run(run_id, name=_name(plan))
    else:
        (experiment_id, nesting), launched_params = place_of_run(client, experiment), {}
        lifecycle.end_dead_runs(client, experiment_id)
        tags = {**resolve_tags(), **lifecycle.process_tags(), **nesting}
        run_id = client.create_run(experiment_id, tags=tags, run_name=_name(plan)).info.run_id
    log = Log(client, run_id, experiment_id, plan, launched_params)
    log.seconds += time.perf_counter() - start
    _carry_out(chain, log, identified=not launched_run_id)
    return run_id


def track_member(plan: Plan, member: SweepMember, cache: Checkpoints) -> Chain:
    """Carry out a plan as one run of a grid or study, nested under its parent.

    Returns:
        The chain that it went through, with scores and seconds.
    """
    chain = _chain(plan, cache, member.keep)
    client = store.client()
    start = time.perf_counter()
    tags = {**resolve_tags(), **lifecycle.process_tags(), **member.tags}
    run = client.create_run(member.experiment_id, tags=tags, run_name=_name(plan))
    log = Log(client, run.info.run_id, member.experiment_id, plan, tags=member.tags)
    log.seconds += time.perf_counter() - start
    chain.run_id = run.info.run_id
    _carry_out(chain, log, identified=True)
    chain.seconds["log"] = log.seconds
    return chain


def _chain(plan: Plan, cache: Checkpoints, keep: Callable[[str], bool] = keep_all) -> Chain:
    cache.warn_if_too_large(plan.checkpoint_bytes)
    return Chain(plan, cache, keep)


def _name(plan: Plan) -> str:
    return schema.run_name([step.spec(plan.settings.profile) for step in plan.composition])


def _carry_out(chain: Chain, log: Log, identified: bool) -> None:
    with (
        lifecycle.closing_run(log.client, log.run_id, log.tick, identified),
        system_metrics(log.run_id),
    ):
        log.begin()
        try:
            _all_steps(chain, log)
        except BaseException:
            # the failure itself must reach the user, whatever the store says
            with suppress(Exception):
                log.flush()
            raise
        log.seconds_load, log.failures = chain.seconds["load"], chain.failures
        log.end()


def _all_steps(chain: Chain, log: Log) -> None:
    """Measure the base model, apply and measure each step, then what has to be compressed again."""
    planned, policy = len(chain.steps), chain.plan.settings.checkpoints
    may_recompress = chain.may_recompress()
    bar = tqdm(total=planned + 1, unit="step", desc=chain.plan.spec(), delay=_DELAY)
    # drawn at once, but not before the bar itself is
    chain.on_stage = lambda text: bar.set_postfix_str(text, bar.format_dict["elapsed"] > _DELAY)
    with bar, HeldCheckpoints(chain) as held:
        for k in range(planned + 1):
            _step(chain, log, k, held, last=k == planned and not may_recompress)
            bar.update()
        recompressions = chain.recompress() if may_recompress else Composition()
        log.recompression(recompressions, chain.keys[-1])
        for k in range(planned + 1, len(chain.steps) + 1):
            _step(chain, log, k, held, last=k == len(chain.steps))
        # only now is it known that the last planned step was the last
        if may_recompress and not recompressions and planned and policy == "last":
            _log_checkpoint(chain, log, planned, held)
    # where nothing was applied, stored scores may have made it needless to load a checkpoint
    reused = chain.steps_reused if chain.steps_applied else len(chain.steps)
    log.reused(reused, not chain.steps_applied and not chain.seconds["measure"])


def _step(chain: Chain, log: Log, k: int, held: HeldCheckpoints, last: bool) -> None:
    scores, measuring = chain.measure(k)
    policy, model_id = chain.plan.settings.checkpoints, None
    is_logged = policy in ("all", "changed") or (policy == "last" and last)
    if k and is_logged:
        model_id = _log_checkpoint(chain, log, k, held)
    # what the next step changes is told by it; the base model is stored while it is at hand
    if policy == "changed" and not last:
        held.folder(k)
    held.release(before=k if policy == "changed" else k + 1)
    intervention = chain.steps[k - 1] if k else None
    applying = chain.cost_of_step(k) if k else None
    facts = chain.facts_of_step(k) if k else None
    if intervention and facts and not facts.changed:
        spec = intervention.spec(chain.plan.settings.profile)
        warnings.warn(
            f"step {k}, {spec}, changed no weight: what follows is what was before it",
            stacklevel=2,
        )
    log.step(k, intervention, chain.keys[k], scores, applying, measuring, model_id, facts)


def _log_checkpoint(chain: Chain, log: Log, k: int, held: HeldCheckpoints) -> str | None:
    folder = held.folder(k)
    about = checkpoint_model(chain, k, content_checksum(folder))
    if chain.plan.settings.checkpoints != "changed":
        return log.checkpoint(about, folder)
    with ExitStack() as stack:
        aside = delta.changes_aside(held.folder(k - 1), folder, chain.checkpoints.folder, stack)
        return log.checkpoint(about, aside)


if __name__ == "__main__":
    sys.exit(moved.run_old_command("tracking.run"))
