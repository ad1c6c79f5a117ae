"""Tuning: `python -m sweeps.tune --intervention rmu`, or `mlflow run . -e tune -P intervention=rmu`.

Each trial is a run under one parent run, judged by validation data; what is chosen is measured once on test data. The
same command again does what is missing; started twice at once, both do their share.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

if __name__ == "__main__":
    os.environ.setdefault(
        "TQDM_DELAY", "5"
    )  # libraries' progress bars: only where something takes over 5 s
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # on cores shared with others, threads that spin cost tenfold

from interventions.errors import InvalidInput
from sweeps.grid import ray_runner
from sweeps.grid.enumerate import switch
from sweeps.grid.runner import exit_status
from sweeps.parent_run import check_name
from sweeps.study import objectives, report, runner, search_space, storage, trial_queue
from sweeps.study.trial import TUNING, StudyRequest, StudySpec, final_split
from tracking import command, store
from tracking.checkpoints.store import Checkpoints
from tracking.plan import add_settings
from tracking.settings import Settings

_NONE, _AUTO = "none", "auto"
_TRIALS = 40


def parser() -> ArgumentParser:
    """The command line; MLproject's entry point ``tune`` has the same parameters."""
    made = command.parser("sweeps.tune", __doc__)
    made.add_argument(
        "--intervention", default=_NONE, help="what to tune: rmu, or 'lora | wanda(sparsity=0.5)'"
    )
    made.add_argument(
        "--space", default="default", help="default: continuous; paper: the grid of its Tables 5-7"
    )
    made.add_argument(
        "--objective", default=_AUTO, help="'wmdp:min,mmlu:max', 'order_sensitivity:edit_success'"
    )
    made.add_argument("--constraint", default=_NONE, help="'mmlu>0.55,wmdp<0.30'")
    made.add_argument(
        "--sampler",
        default=_AUTO,
        help=f"{', '.join(trial_queue.SAMPLERS)}; auto: grid on the paper's, else tpe",
    )
    made.add_argument(
        "--trials",
        default=_AUTO,
        help=f"how many in all; auto: {_TRIALS}, or every point of a grid",
    )
    made.add_argument("--sampler_seed", default="0", help="another one draws others")
    made.add_argument(
        "--pruner",
        default=_NONE,
        help="median: give up what is worse than half of the others so far",
    )
    made.add_argument(
        "--prune_every", default="20", help="training steps between the pruner's looks"
    )
    made.add_argument(
        "--name", default=_AUTO, help="a study of this name goes on; auto: by what it is about"
    )
    made.add_argument(
        "--storage",
        default=storage.JOURNAL,
        help="journal: a file beside the checkpoints; postgresql://…",
    )
    made.add_argument("--dry_run", default="false", help="true: say what would run")
    ray_runner.add_resources(made)
    made.add_argument("--seed", default="0", help="enters every step's own seed")
    made.add_argument("--edit_batch", default="0", help="which batch of validation edits, from 0")
    add_settings(made, checkpoints="none", split=False)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0, 1 (some failed), 2 (bad input), 130 (Ctrl-C), 143 (SIGTERM)."""
    return exit_status(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> None:
    given = command.read(parser(), arguments)
    dry_run = switch("dry_run", given.dry_run)
    store.check()
    request = read(given)
    work = StudySpec(request, elsewhere=request.resources.on_ray)
    kept, name = Checkpoints(), work.request.name
    store.experiment(work.request.experiment)
    storage.look(work.request.storage, kept.folder, work.request.experiment, name, work.about())
    print(plan_in_words(work))
    if not dry_run:
        ended = runner.run(work, kept)
        print(report.in_words(work, ended.conclusion, ended.claims))
        print(f"run {ended.root} in {store.uri()}")


def read(given: Namespace) -> StudyRequest:
    """The command line as a request; what needs the model or the data is checked by ``Work``.

    Raises:
        InvalidInput: one line that says what is wrong and what is valid.
    """
    if given.intervention == _NONE:
        raise InvalidInput("give an intervention to tune, such as rmu or 'lora | wanda'")
    chosen = one_of("space", given.space, search_space.NAMES)
    automatic = "grid" if chosen == "paper" else "tpe"
    sampler = one_of(
        "sampler", automatic if given.sampler == _AUTO else given.sampler, trial_queue.SAMPLERS
    )
    if sampler == "grid" and given.trials != _AUTO:
        raise InvalidInput(
            f"a grid has as many trials as points, but got trials={given.trials}; or use sampler=tpe"
        )
    resources = ray_runner.Resources.read(
        given.workers, "" if given.ray_address == _NONE else given.ray_address, given.gpus
    )
    settings = Settings(
        model=given.model,
        data=given.data,
        seed=_integer("seed", given.seed),
        edit_batch=_integer("edit_batch", given.edit_batch),
        split=TUNING,
        recompress=given.recompress,
        checkpoints=given.checkpoints,
        device=given.device,
        dtype=given.dtype,
    )
    return StudyRequest(
        composition=given.intervention,
        settings=resources.settings(settings),
        space=chosen,
        objective=given.objective,
        constraint=given.constraint,
        sampler=sampler,
        pruner=one_of("pruner", given.pruner, trial_queue.PRUNERS),
        storage=storage.check(given.storage),
        trials=_TRIALS if given.trials == _AUTO else _integer("trials", given.trials, least=1),
        sampler_seed=_integer("sampler_seed", given.sampler_seed),
        prune_every=_integer("prune_every", given.prune_every, least=1),
        name="" if given.name == _AUTO else check_name(given.name),
        experiment=given.experiment,
        resources=resources,
        params=tuple(
            (key, str(value)) for key, value in vars(given).items() if key != "storage"
        ),  # has a password
    )


def plan_in_words(work: StudySpec) -> str:
    """What would run."""
    request = work.request
    count = work.points if isinstance(work.points, int) else len(work.points)
    settings = f"{request.sampler} on space={request.space}, judged by validation data"
    lines = [
        f"{request.name}: {count} trials of {request.composition} by {settings}",
        *(f"  {name}: {values}" for name, values in work.space.tuned.items()),
        *(f"  {line}" for line in work.space.left_out),
        f"objective: {objectives.in_words(work.objectives)}",
        *([f"constraint: {', '.join(map(str, work.constraints))}"] if work.constraints else []),
        f"the chosen setting is then measured once with split={final_split(request.settings.data)}",
    ]
    return "\n".join(lines)


def one_of(what: str, text: str, valid: Sequence[str]) -> str:
    """A name that is valid; raises InvalidInput."""
    if text not in valid:
        raise InvalidInput(f"{what} must be {' or '.join(valid)}, but got {text!r}")
    return text


def _integer(what: str, text: str, least: int = 0) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise InvalidInput(f"{what} must be an integer of at least {least}, but got {text!r}")
    return number


if __name__ == "__main__":
    sys.exit(main())
