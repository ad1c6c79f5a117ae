"""Log somebody's own code as a composition: ``with track(model, tokenizer) as composition``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace

import mlflow
from mlflow.tracking.context.registry import resolve_tags
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interventions.arguments import checked
from interventions.composition import Composition
from interventions.data.own.data_set import DataSet
from interventions.errors import InvalidInput, plain_text, shown
from interventions.lm import DTYPES, LM
from tracking import lifecycle, schema, store
from tracking.checkpoints.store import Checkpoints
from tracking.composing import TrackedComposition
from tracking.log import Log
from tracking.nesting import place_of_run
from tracking.passwords import check_no_passwords
from tracking.plan import Plan, RunContext
from tracking.settings import Settings
from tracking.system_metrics import system_metrics

_POLICIES = ("all", "last", "none")
_IN_MEMORY = "in memory"  # begins the param `model`: no folder, and no id on a hub


@checked
def track(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: str | DataSet = "testbed",
    *,
    seed: int = 0,
    edit_batch: int = 0,
    split: str = "test",
    window: int = 0,
    stride: int = 0,
    tail: str = "keep",
    criteria: str = "all",
    limit: int = 0,
    prompt_format: str = "plain",
    checkpoints: str = "all",
    experiment: str = store.EXPERIMENT,
    cache: Checkpoints | None = None,
) -> AbstractContextManager[TrackedComposition]:
    """Measure and log what your own code does to a model, as a composition.

    The run has the params, metrics, items, checkpoints and data of ``run``, so that both orders of
    two steps are compared like others. Inside a run that your own code began with
    ``mlflow.start_run`` it is nested under that one. The model is in evaluation mode, without
    gradients, but while a function of yours has it; at the end it is again as it was before.

    Args:
        model: a transformers causal language model, which the steps change.
        tokenizer: its tokenizer.
        data: what interventions learn from and what judges every step, as in ``run``.
        seed: enters the seed of every registered intervention.
        edit_batch: the index of the batch of edits.
        split: the data that judges: "test", "validation" or "held_out".
        window: tokens that perplexity scores together; 0: as many as the data's own.
        stride: tokens after which perplexity's next window begins; 0: windows do not overlap.
        tail: "keep" or "drop" the last window of a text that is shorter than the others.
        criteria: what is measured; "all": what there is data for.
        limit: the most items of each criterion; 0: all.
        prompt_format: "plain" or "chat".
        checkpoints: which steps' models are logged: "all", "last" or "none".
        experiment: name of the MLflow experiment; made if missing.
        cache: where checkpoints are stored; the checkout's by default.

    Returns:
        A context that gives a ``TrackedComposition``, whose ``apply`` takes a step.

    Raises:
        InvalidInput: before a run is made: the model cannot be read block by block, a setting is
            not valid, or the data lack what a criterion reads.

    Example:
        A function that halves the embeddings, between two registered steps::

            def halve(model):
                model.get_input_embeddings().weight.data *= 0.5

            with track(model, tokenizer) as composition:
                composition.apply("lora")
                composition.apply(halve, params={"by": 0.5})
                composition.apply("wanda(sparsity=0.25)")

        >>> track(None, None)
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: model must be ...
    """
    check_no_passwords({"experiment": experiment})
    store.check_reachable()
    plain_text("experiment", experiment)
    if checkpoints not in _POLICIES:
        raise InvalidInput(
            f"checkpoints must be {' or '.join(_POLICIES)}, but got {shown(checkpoints)}"
        )
    lm = LM(model, tokenizer)
    dtypes = [name for name, dtype in DTYPES.items() if dtype == model.dtype]
    if not dtypes:
        raise InvalidInput(f"model must be of {', '.join(DTYPES)}, but is of {model.dtype}")
    settings = Settings(
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
        recompress="never",
        checkpoints=checkpoints,
        device=str(model.device),
        dtype=dtypes[0],
    )
    return _tracked(lm, _plan(lm, settings), experiment, cache or Checkpoints())


def _plan(lm: LM, settings: Settings) -> Plan:
    """Return the plan of no step yet, of a model that is in memory."""
    context = RunContext(settings, remote=True)
    # in memory already, so that nothing is read
    context.anatomy, context.tokenizer = lm.model, lm.tokenizer
    context.weights = lm.fingerprint()
    plan = context.plan(Composition())
    name = f"{_IN_MEMORY}: {lm.model.config.model_type}@{context.weights[:12]}"
    lm.prompt_format = plan.prompt_format
    return replace(
        plan,
        requested=replace(plan.requested, model=name),
        settings=replace(plan.settings, model=name),
        source=name,
    )


@contextmanager
def _tracked(
    lm: LM, plan: Plan, experiment: str, checkpoints: Checkpoints
) -> Iterator[TrackedComposition]:
    mlflow.set_tracking_uri(store.uri())
    client = store.client()
    start = time.perf_counter()
    experiment_id, nesting = place_of_run(client, experiment)
    lifecycle.end_dead_runs(client, experiment_id)
    tags = {**resolve_tags(), **lifecycle.process_tags(), **nesting}
    run = client.create_run(experiment_id, tags=tags, run_name=schema.run_name([]))
    log = Log(client, run.info.run_id, experiment_id, plan)
    log.seconds += time.perf_counter() - start
    with (
        _as_it_was(lm.model),
        lifecycle.closing_run(client, log.run_id, log.tick, identified=True),
        system_metrics(log.run_id),
    ):
        composition = TrackedComposition(lm, plan, log, checkpoints)
        try:
            composition.begin()
            yield composition
            composition.end()
        except BaseException:
            # the failure itself must reach the user, whatever the store says
            with suppress(Exception):
                composition.describe()
                log.flush()
            raise


@contextmanager
def _as_it_was(model: PreTrainedModel) -> Iterator[None]:
    """Let a model be evaluated, and give it back its mode and gradients at the end."""
    is_training = model.training
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.eval()
    model.requires_grad_(False)
    try:
        yield
    finally:
        model.train(is_training)
        for parameter, is_trained in trained:
            parameter.requires_grad_(is_trained)
