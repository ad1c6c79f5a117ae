"""Run a grid from Python."""

from __future__ import annotations

from typing import Any

from interventions.arguments import checked
from interventions.data.own.data_set import DataSet
from sweeps.grid.ranges import Numbers
from sweeps.grid.runner import GridResult, run_grid
from sweeps.grid.spec import GridRequest
from tracking import store
from tracking.checkpoints.store import Checkpoints


@checked
def grid(
    interventions: str = "none",
    *,
    preset: str = "none",
    length: Numbers = "0..2",
    pairs: str = "across",
    edit_batches: Numbers = 1,
    seeds: Numbers = 1,
    name: str = "auto",
    workers: int = 1,
    ray_address: str = "none",
    gpus: float = 0,
    model: str = "testbed",
    data: str | DataSet = "testbed",
    split: str = "test",
    window: int = 0,
    stride: int = 0,
    tail: str = "keep",
    criteria: str = "all",
    limit: int = 0,
    prompt_format: str = "plain",
    recompress: str = "preset",
    checkpoints: str = "none",
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    experiment: str = store.EXPERIMENT,
    cache: Checkpoints | None = None,
) -> GridResult:
    """Run every composition of a list of interventions, each as an MLflow run under one parent run.

    Called again with the same values, it runs what is missing: finished runs are not computed
    twice. A checkpoint that several compositions pass is computed once.

    Args:
        interventions: ``"ft; wanda(sparsity=[0.25, 0.35])"``: a list of values is a sweep.
        preset: instead of interventions: "paper" (the paper's 311 compositions) or "quick".
        length: how many steps: 2, ``"1..3"`` or ``[0, 2]``; 0 is the base model.
        pairs: "across": no two steps of one category, as in the paper; "all": no two steps of one
            intervention.
        edit_batches: how many batches of edits (3), or which (``[0, 4]``).
        seeds: how many seeds (3), or which (``[0, 4]``).
        name: by which the grid is found again; "auto": the preset's name, or one made of what the
            grid runs, and how it recompresses, if that is not "auto".
        workers: processes; more than one run on Ray.
        ray_address: ``host:port`` of a Ray cluster; "none" starts one here if it is needed.
        gpus: GPUs per worker, such as 1 or 0.5.
        model: "testbed", a checkpoint folder, or a Hugging Face id.
        data: what the steps learn from and what judges them: "testbed", "paper", the path of a YAML
            file, or what ``own_data`` returns.
        split: the part of the data that judges: "test", "validation", "held_out".
        window: tokens that perplexity scores together; 0: as many as the data's own.
        stride: tokens after which perplexity's next window begins; 0: windows do not overlap.
        tail: "keep" or "drop" the last window of a text that is shorter than the others.
        criteria: what is measured: "mmlu,wikitext_ppl"; "all": what there is data for.
        limit: the most items of each criterion, a stratified sample; 0: all.
        prompt_format: how the prompts of edits and questions are given: "plain" or "chat".
        recompress: "auto", "never" or "paper", see ``Composition.recompression``; "preset": "paper"
            with the preset of that name, else "auto".
        checkpoints: whose checkpoints are logged: "all", "last", "changed" or "none".
        device: "auto", "cpu" or "cuda".
        dtype: "auto" (float32 on a CPU, bfloat16 on a GPU), "float32", "bfloat16", "float16".
        trust_remote_code: whether code that comes with the model may run.
        allow_pickle: whether the model's weights may be pickled, where there are no others.
        experiment: name of the MLflow experiment; made if missing.
        cache: where computed checkpoints are kept; the checkout's by default.

    Returns:
        The parent run's id, how many runs there are, and what they took.

    Raises:
        InvalidInput: in one line, before a run is made and before any weight is loaded.
        Incomplete: some compositions failed; the same call tries them again.
        StoreAway: the store could not be reached for minutes.

    Example:
        The base model and two levels of magnitude pruning, on the testbed; takes seconds::

            result = grid("magnitude(sparsity=[0.25, 0.5])", length="0..1")
            result.runs, result.applications  # (3, 2)

        What a grid consists of can be seen without running it:

        >>> from sweeps.grid.spec import GridRequest
        >>> request = GridRequest("magnitude(sparsity=[0.25, 0.5])", length="0..1")
        >>> for job in request.checked().jobs:
        ...     print(job.name)
        base model
        magnitude(sparsity=0.25)
        magnitude(sparsity=0.5)
    """
    values: dict[str, Any] = dict(locals())  # before any other name: the arguments as given
    cache = values.pop("cache")
    request = GridRequest(**values)
    store.check_reachable()
    return run_grid(request.checked(), cache)
