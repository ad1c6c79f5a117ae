"""Run a study from Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interventions.arguments import checked
from interventions.data.own.data_set import DataSet
from sweeps.study.options import AUTO, JOURNAL, NONE, PRUNE_EVERY, SPACES
from sweeps.study.request import read_study_request
from sweeps.study.runner import prepare_study, run_study
from tracking import store
from tracking.checkpoints.store import Checkpoints
from tracking.settings import Settings


@dataclass(frozen=True)
class StudyResult:
    """What a study ends with.

    Attributes:
        name: of the study; the same name goes on with it.
        run_id: of the parent run, which has the table of trials and the pictures.
        spec: the chosen composition; "" if no trial meets the constraints.
        validation: objective -> value of the chosen trial, on the data that trials are judged by.
        test: objective -> value of the chosen composition, on data that no trial has seen.
        trials: how many were completed or given up early.
    """

    name: str
    run_id: str
    spec: str
    validation: Mapping[str, float]
    test: Mapping[str, float]
    trials: int


@checked
def tune(
    intervention: str,
    *,
    space: str = SPACES[0],
    objective: str = AUTO,
    constraint: str = NONE,
    sampler: str = AUTO,
    trials: int | str = AUTO,
    sampler_seed: int | str = 0,
    pruner: str = NONE,
    prune_every: int | str = PRUNE_EVERY,
    prune_items: int | str = 0,
    name: str = AUTO,
    storage: str = JOURNAL,
    workers: int | str = 1,
    ray_address: str = NONE,
    gpus: float | str = 0,
    seed: int | str = 0,
    edit_batch: int | str = 0,
    model: str = Settings.model,
    data: str | DataSet = Settings.data,
    window: int | str = Settings.window,
    stride: int | str = Settings.stride,
    tail: str = Settings.tail,
    criteria: str = Settings.criteria,
    limit: int | str = Settings.limit,
    prompt_format: str = Settings.prompt_format,
    recompress: str = Settings.recompress,
    checkpoints: str = NONE,
    device: str = Settings.device,
    dtype: str = Settings.dtype,
    trust_remote_code: bool = Settings.trust_remote_code,
    allow_pickle: bool = Settings.allow_pickle,
    experiment: str = store.EXPERIMENT,
    cache: Checkpoints | None = None,
) -> StudyResult:
    """Tune the hyperparameters of a composition, and measure the chosen setting once on test data.

    Each trial is an MLflow run under one parent run, judged by validation data. The same call again
    does what is missing; several processes that make it at once share the trials.

    Args:
        intervention: what to tune, such as "rmu" or "lora | wanda(sparsity=0.5)"; values that it
            has stay as they are.
        space: "default" (continuous) or "paper" (the grid of its Tables 5-7).
        objective: "wmdp:min,mmlu:max" or "order_sensitivity:edit_success"; "auto" takes the
            criteria that judge the interventions.
        constraint: "mmlu>0.55,wmdp<0.30", or "none".
        sampler: "grid", "tpe", "nsga2" or "random"; "auto" takes the grid of the paper's space,
            else TPE.
        trials: how many in all; "auto" is 40, or every point of a grid.
        sampler_seed: another one draws other trials.
        pruner: "median" gives up trials that are worse than half of the rest, "hyperband" two of
            three, again and again; "none".
        prune_every: training steps between two looks of the pruner.
        prune_items: the most items of the objective that a look measures; 0: as many as the runs.
        name: a study of that name goes on; "auto" derives it from what the study is about.
        storage: "journal" (a file beside the checkpoints); the URL of a PostgreSQL database,
            without a password; or "environment": the URL that COMPOSABILITY_STUDY_STORAGE has.
        workers: processes; more than one run on Ray.
        ray_address: of a Ray cluster, such as "10.0.0.1:6379"; "none" starts one if it is needed.
        gpus: GPUs per worker.
        seed: enters every step's own seed.
        edit_batch: index of the batch of validation edits.
        model: "testbed", a checkpoint folder, or a Hugging Face id.
        data: "testbed", "paper", the path of a YAML file, or what ``own_data`` returns; of data of
            your own something must be for validation.
        window: tokens that perplexity scores together; 0: as many as the data's own.
        stride: tokens after which perplexity's next window begins; 0: windows do not overlap.
        tail: "keep" or "drop" the last window of a text that is shorter than the others.
        criteria: what is measured, the objectives among it; "all": what there is data for.
        limit: the most items of each criterion, a stratified sample; 0: all.
        prompt_format: how the prompts of edits and questions are given: "plain" or "chat".
        recompress: "auto" (as "preset" is here), "never" or "paper".
        checkpoints: whose checkpoints are logged: "all", "last", "changed" or "none".
        device: "auto", "cpu" or "cuda".
        dtype: "auto", "float32", "bfloat16" or "float16".
        trust_remote_code: whether code that comes with the model may run.
        allow_pickle: whether the model's weights may be pickled, where there are no others.
        experiment: name of the MLflow experiment; made if it is missing.
        cache: where computed checkpoints are kept; the checkout's by default.

    Returns:
        What the study ends with.

    Raises:
        InvalidInput: before anything is loaded; one line that says what is wrong.
        Incomplete: some trials failed; says which and why.
        StoreAway: the store did not come back.

    Example:
        >>> tune("rmu", space="papr")
        Traceback (most recent call last):
        ...
        interventions.errors.InvalidInput: space must be default or paper, but got 'papr'
    """
    values: dict[str, Any] = dict(locals())  # before any other name: the arguments as given
    cache = values.pop("cache")
    request = read_study_request(**values)
    store.check_reachable()
    spec, cache = prepare_study(request, cache)
    outcome = run_study(spec, cache)
    conclusion = outcome.conclusion
    validation: dict[str, float] = {}
    if conclusion.chosen is not None:
        names = [sought.name for sought in spec.objectives]
        validation = dict(zip(names, conclusion.chosen.values, strict=True))
    return StudyResult(
        name=spec.request.name,
        run_id=outcome.parent_id,
        spec=conclusion.spec,
        validation=validation,
        test=dict(conclusion.tested),
        trials=len(conclusion.trials),
    )
