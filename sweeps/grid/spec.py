"""A grid of compositions, nothing computed twice: `python -m sweeps.grid --preset paper`, or `mlflow run . -e grid`.

Each composition is a run under one parent run. The same command again does what is missing.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import fields

if __name__ == "__main__":
    os.environ.setdefault(
        "TQDM_DELAY", "5"
    )  # libraries' progress bars: only where something takes over 5 s
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # on cores shared with others, threads that spin cost tenfold

from mlflow import MlflowClient

from interventions.composition import sweep
from interventions.errors import InvalidInput
from sweeps.grid import enumerate as enumeration
from sweeps.grid import jobs, ray_runner
from sweeps.grid.estimate import estimate
from sweeps.grid.progress import Outcome
from sweeps.grid.runner import CompositionGrid, exit_status, run
from sweeps.parent_run import Ledger, check_name
from tracking import command, store
from tracking.plan import RunContext, add_settings, profile
from tracking.settings import Settings

_NONE = "none"


def parser() -> ArgumentParser:
    """The command line; MLproject's entry point ``grid`` has the same parameters."""
    made = command.parser("sweeps.grid", __doc__)
    made.add_argument(
        "--interventions",
        default=_NONE,
        help="'ft; wanda(sparsity=[0.25, 0.35])'; a list is a sweep",
    )
    made.add_argument(
        "--preset",
        default=_NONE,
        help=f"instead of interventions: {', '.join(enumeration.PRESETS)}",
    )
    made.add_argument(
        "--length", default="0..2", help="how many steps: 2, or 1..3; 0 is the base model"
    )
    made.add_argument(
        "--pairs",
        default="across",
        help="across: steps of different categories; all: of different interventions",
    )
    made.add_argument(
        "--edit_batches", default="1", help="how many batches of edits (3), or which (0,4)"
    )
    made.add_argument("--seeds", default="1", help="how many seeds (3), or which (0,4)")
    made.add_argument(
        "--name", default="auto", help="a grid of this name goes on; auto: by what it runs"
    )
    made.add_argument("--dry_run", default="false", help="true: say what would run, and how long")
    ray_runner.add_resources(made)
    add_settings(made, checkpoints="none")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0, 1 (some failed), 2 (bad input), 130 (Ctrl-C), 143 (SIGTERM)."""
    return exit_status(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> None:
    given = command.read(parser(), arguments)
    dry_run = enumeration.switch("dry_run", given.dry_run)
    store.check()
    grid = prepare(given)
    if dry_run:
        print(plan_in_words(grid))
    else:
        print(in_words(grid, run(grid)))


def prepare(given: Namespace) -> CompositionGrid:
    """Check everything there is to check, and make the jobs.

    Raises:
        InvalidInput: one line that says what is wrong and what is valid.
    """
    varied = ("seed", "edit_batch")
    settings = Settings(
        **{f.name: getattr(given, f.name) for f in fields(Settings) if f.name not in varied}
    )
    if (given.interventions == _NONE) == (given.preset == _NONE):
        raise InvalidInput(
            f"give interventions or a preset ({', '.join(enumeration.PRESETS)}), one of the two"
        )
    text = given.interventions if given.preset == _NONE else enumeration.preset(given.preset)
    steps = sweep(text, profile(settings.data))
    lengths = enumeration.numbers(given.length, "length")
    compositions = enumeration.compositions(steps, lengths, enumeration.pairs(given.pairs))
    seeds, batches = (
        enumeration.counted(given.seeds, "seeds"),
        enumeration.counted(given.edit_batches, "edit_batches"),
    )
    resources = ray_runner.Resources.read(
        given.workers, "" if given.ray_address == _NONE else given.ray_address, given.gpus
    )
    first = RunContext(resources.settings(settings), elsewhere=resources.on_ray)
    made = jobs.make(
        compositions, [first.varied(seed, batch) for seed in seeds for batch in batches]
    )
    automatic = given.preset if given.preset != _NONE else f"grid-{jobs.identity(made)}"
    name = check_name(automatic if given.name == "auto" else given.name)
    params = {key: str(value) for key, value in vars(given).items()}
    return CompositionGrid(name, made, given.experiment, params, resources)


def plan_in_words(grid: CompositionGrid) -> str:
    """What would run, how many applications that takes, and how long."""
    ledger = Ledger(
        MlflowClient(tracking_uri=store.uri()), store.experiment(grid.experiment), grid.name
    )
    finished = ledger.finished()
    todo = [job for job in grid.jobs if job.id not in finished]
    shared, alone = jobs.applications(todo)
    lines = [
        f"{grid.name}: {len(grid.jobs)} runs, {len(grid.jobs) - len(todo)} of them finished",
        *(f"  {job.name}" for job in todo),
        f"{len(todo)} to do: {shared} applications with shared prefixes, {alone} one by one, and recompressions",
        f"time: {estimate(todo, ledger.experiment_id)}",
    ]
    return "\n".join(lines)


def in_words(grid: CompositionGrid, outcome: Outcome) -> str:
    """How it went, and where the time did."""
    wall = outcome.seconds["wall"]
    parts = [what for what in ("apply", "measure", "load", "save", "log") if outcome.seconds[what]]
    split = ", ".join(f"{what} {outcome.seconds[what] / wall:.0%}" for what in parts)
    before = f" ({outcome.before} had finished before)" if outcome.before else ""
    return (
        f"{grid.name}: {len(grid.jobs)} runs finished{before} in {store.uri()}\n"
        f"{outcome.applied} applications, {wall:.0f} s" + (f": {split}" if split else "")
    )


if __name__ == "__main__":
    sys.exit(main())
