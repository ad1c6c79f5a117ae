"""`composability findings`: the paper's findings, or others', tested as hypotheses."""

from __future__ import annotations

import click

from analysis.report.hypotheses.presets.names import PAPER, PUBLISHED, TITLES
from composability.commands.options import (
    Number,
    choice,
    device_option,
    integer,
    ray_resources,
    switch,
    text,
)
from tracking.settings import DTYPES, Settings
from tracking.store import EXPERIMENT
from tracking.versions import TESTBED

LEVELS = "sparsity=0.25,0.65;bits=4,3"
RECOMPRESS = ("preset", "both", "auto", "paper")


@click.command("findings")
@choice(
    "--preset",
    PAPER,
    (PAPER, PUBLISHED, *TITLES),
    "Whose findings; published: all but the paper's.",
)
@text("--levels", LEVELS, "Of the preset paper: two levels of each strength.")
@integer("--edit-batches", 10, 3, "How many, and seeds where a step draws at random.", 1000)
@choice(
    "--recompress",
    "preset",
    RECOMPRESS,
    "Under which policy; preset: paper has both, auto then paper.",
)
@switch("--run", "Run what is missing; else only say what that is.")
@click.option(
    "--hours",
    default=3.0,
    show_default=True,
    type=Number(0, 10_000),
    help="That the missing runs may take at most.",
)
@text("--output", "none", "File for the page of verdicts (Markdown); none: it is printed.")
@text("--model", Settings.model, "testbed, a checkpoint folder, or a Hugging Face id.")
@text("--data", TESTBED, "What steps learn from and what judges them: testbed, paper.")
@device_option()
@choice("--dtype", Settings.dtype, DTYPES, "auto: float32 on a CPU, bfloat16 on a GPU.")
@ray_resources()
@text("--experiment", EXPERIMENT, "Whose runs count, and where new ones go.")
def published_findings(
    preset: str,
    levels: str,
    edit_batches: int,
    recompress: str,
    run: bool,
    hours: float,
    output: str,
    model: str,
    data: str,
    device: str,
    dtype: str,
    workers: int,
    ray_address: str,
    gpus: float,
    experiment: str,
) -> int:
    """Test which published findings hold here: the paper's six, or a preset's.

    It prints which compositions are missing and how long they take, runs them if --run is given,
    and then says of each finding whether it holds, does not, or cannot be told, with effects,
    intervals and corrected p values.
    """
    from sweeps.failures import sweep_exit_status

    def test() -> None:
        from analysis.report.hypotheses.cells import Levels
        from analysis.report.hypotheses.presets.all import presets_named
        from composability.findings import POLICIES, FindingsRequest, run_command
        from interventions.errors import plain_text
        from sweeps.cluster import Resources
        from sweeps.values import number_text
        from tracking.passwords import check_no_passwords

        check_no_passwords({"experiment": experiment, "model": model, "output": output})
        plain_text("experiment", experiment)
        address = "" if ray_address == "none" else ray_address
        settings = Settings(model=model, data=data, device=device, dtype=dtype, checkpoints="none")
        request = FindingsRequest(
            presets=presets_named(preset, None if levels == LEVELS else Levels.parse(levels)),
            replicates=edit_batches,
            policies=POLICIES[recompress],
            settings=settings,
            experiment=experiment,
            hours=hours,
            resources=Resources.read(number_text(workers), address, number_text(gpus)),
        )
        run_command(request, run, output)

    return sweep_exit_status(test)
