"""The sweeps that are broken, and what they have to come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from interventions.data.testbed import MODEL
from tests.robustness.forks import Place, StoredRun, members, stored_runs
from tracking import schema

NAME = "mine"
CHEAP = ("--criteria", "sparsity,average_bits", "--name", NAME)
GIB = 2**30
CHECKPOINT_BYTES = sum(path.stat().st_size for path in MODEL.iterdir())
EVICTING_GIB = 4 * CHECKPOINT_BYTES / GIB  # room for some checkpoints of many


@dataclass(frozen=True)
class SweepOnTrial:
    """A sweep of seconds.

    Attributes:
        name: of its kind.
        words: of the command line.
    """

    name: str
    words: tuple[str, ...]


GRID = SweepOnTrial(
    "grid",
    (
        "grid",
        "--interventions",
        "magnitude(sparsity=[0.1, 0.2, 0.3, 0.4, 0.5]); rtn(bits=[3, 4, 8])",
        "--pairs",
        "all",
        "--checkpoints",
        "changed",
        *CHEAP,
    ),
)
STUDY = SweepOnTrial(
    "study",
    (
        "tune",
        "ga(samples=4, last_layers=1)",
        "--space",
        "paper",
        "--objective",
        "average_bits:min",
        *CHEAP,
    ),
)


def _sampled(sampler: str, composition: str, objectives: str, trials: int) -> SweepOnTrial:
    words = ("tune", composition, "--sampler", sampler, "--trials", str(trials))
    return SweepOnTrial(sampler, (*words, "--objective", objectives, *CHEAP))


TPE = _sampled("tpe", "magnitude", "sparsity:max", 24)
NSGA2 = _sampled("nsga2", "magnitude | rtn", "sparsity:max,average_bits:min", 16)
RANDOM = _sampled("random", "magnitude", "sparsity:max", 12)
SWEEPS = {sweep.name: sweep for sweep in (GRID, STUDY, TPE, NSGA2, RANDOM)}


def outcome(place: Place, name: str = NAME) -> dict[str, tuple[dict[str, float], dict[str, str]]]:
    """Return, by job, what the finished runs measured and the hyperparameters that they had."""
    return {
        run.tags[schema.JOB]: (run.values, hyperparameters(run))
        for run in members(place, name)
        if run.status == "FINISHED"
    }


def hyperparameters(run: StoredRun) -> dict[str, str]:
    return {key: value for key, value in run.params.items() if "." in key}


Outcome = dict[str, tuple[dict[str, float], dict[str, str]]]


def problem_of(place: Place, expected: Outcome, name: str = NAME) -> str:
    """Return what is wrong with a sweep that has ended; "" if nothing is."""
    runs = stored_runs(place)
    running = [run for run in runs if run.status == "RUNNING"]
    if running:
        return f"{len(running)} runs say RUNNING"
    jobs = [run.tags.get(schema.JOB) for run in members(place, name)]
    if len(jobs) != len(set(jobs)):
        return "a job has two runs"
    now = outcome(place, name)
    if now.keys() != expected.keys():
        return f"{len(now)} jobs for {len(expected)}, or others"
    differing = [job for job in now if now[job] != expected[job]]
    if differing:
        job = differing[0]
        return f"{len(differing)} jobs came to other values: {now[job]} for {expected[job]}"
    parents = [run for run in runs if run.tags.get(schema.SWEEP_ROOT) == name]
    if [run.status for run in parents] != ["FINISHED"]:
        return f"its parents are {[run.status for run in parents]}"
    return ""


def leftovers(place: Place) -> list[str]:
    """Return what killed processes left in the cache and the temporary folder."""
    aside = [*place.cache.rglob(".writing-*"), *place.cache.rglob(".removing-*")]
    scratch = place.temporary.glob("composability-*")
    return [str(path.relative_to(place.folder)) for path in (*aside, *scratch)]


def cache_bytes(folder: Path, names: Sequence[str] = ("*",)) -> int:
    """Return the bytes of the checkpoints in a cache."""
    return sum(path.lstat().st_size for path in folder.glob("*/model.safetensors"))
