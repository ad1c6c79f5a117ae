"""What a grid is asked for, and the checked grid that is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from interventions.composition import Composition
from interventions.data.own.data_set import DataSet
from interventions.errors import InvalidInput, one_of, plain_text
from interventions.options import PRESET
from interventions.specs import sweep
from sweeps.cluster import Resources
from sweeps.grid.enumerate import (
    check_apart,
    check_job_count,
    count_compositions,
    enumerate_compositions,
    preset_interventions,
)
from sweeps.grid.jobs import Job, jobs_digest, make_jobs
from sweeps.grid.presets import PAIRS, PRESETS, RECOMPRESS
from sweeps.grid.ranges import Numbers, read_indices, read_range
from sweeps.values import check_sweep_name, check_text, number_text
from tracking import store
from tracking.passwords import check_no_passwords
from tracking.plan import RunContext
from tracking.settings import Settings, defaults_profile, setting_text, yes_or_no
from tracking.versions import VERSIONED, with_version

_NONE, _AUTO = "none", "auto"
_NUMBERS = ("length", "edit_batches", "seeds", "window", "stride", "limit")
_RESOURCES = ("workers", "gpus")
_SWITCHES = ("trust_remote_code", "allow_pickle")
_SETTINGS = (
    "model",
    "data",
    "split",
    "window",
    "stride",
    "tail",
    "criteria",
    "limit",
    "prompt_format",
    "recompress",
    "checkpoints",
    "device",
    "dtype",
    *_SWITCHES,
)


@dataclass(frozen=True)
class GridRequest:
    """The values of a grid as a user gives them, on the command line or in Python.

    Attributes:
        interventions: ``"ft; wanda(sparsity=[0.25, 0.35])"``: a list of values is a sweep.
        preset: instead of interventions: a name out of ``sweeps.grid.presets.PRESETS``.
        length: how many steps: 2, ``"1..3"`` or ``[0, 2]``; 0 is the base model.
        pairs: "across": steps of different categories; "all": of different interventions.
        edit_batches: how many batches of edits (3), or which (``"0,4"`` or ``[0, 4]``).
        seeds: how many seeds (3), or which (``"0,4"`` or ``[0, 4]``).
        name: of the grid; "auto": the preset's name, or one made of what the grid runs, and how it
            recompresses, if that is not "auto".
        workers: processes; more than one run on Ray.
        ray_address: of a Ray cluster, such as ``10.0.0.1:6379``, or "none".
        gpus: GPUs per worker.
        model, data, split, window, stride, tail, criteria, limit, prompt_format, checkpoints,
        device, dtype, trust_remote_code, allow_pickle: of every run; see
            ``tracking.settings.Settings``.
        recompress: of every run; "preset": "paper" with the preset of that name, else "auto".
        experiment: name of the MLflow experiment.

    Example:
        >>> grid = GridRequest("ft; wanda(sparsity=[0.25, 0.5])", name="levels").checked()
        >>> grid.name, len(grid.jobs)
        ('levels', 8)
    """

    interventions: str = _NONE
    preset: str = _NONE
    length: Numbers = "0..2"
    pairs: str = PAIRS[0]
    edit_batches: Numbers = 1
    seeds: Numbers = 1
    name: str = _AUTO
    workers: int | str = 1
    ray_address: str = _NONE
    gpus: float | str = 0
    model: str = Settings.model
    data: str | DataSet = Settings.data
    split: str = Settings.split
    window: int = Settings.window
    stride: int = Settings.stride
    tail: str = Settings.tail
    criteria: str = Settings.criteria
    limit: int = Settings.limit
    prompt_format: str = Settings.prompt_format
    recompress: str = Settings.recompress
    checkpoints: str = "none"
    device: str = Settings.device
    dtype: str = Settings.dtype
    trust_remote_code: bool = Settings.trust_remote_code
    allow_pickle: bool = Settings.allow_pickle
    experiment: str = store.EXPERIMENT

    def checked(self) -> CompositionGrid:
        """Check everything that can be checked before weights are loaded, and make the jobs.

        Raises:
            InvalidInput: one line that says what is wrong and what is valid.
        """
        self._check_types()
        plain_text("experiment", self.experiment)
        # before jobs are made of 100,000 compositions
        check_sweep_name(self.name)
        lengths = read_range("length", self.length)
        pairs = one_of("pairs", self.pairs, PAIRS)
        seeds = read_indices("seeds", self.seeds)
        edit_batches = read_indices("edit_batches", self.edit_batches)
        steps = sweep(self._intervention_list(), defaults_profile(self.data))
        count = count_compositions(steps, lengths, pairs)
        check_job_count(count, len(seeds), len(edit_batches))
        compositions = enumerate_compositions(steps, lengths, pairs)
        check_apart(compositions, edit_batches)
        address = "" if self.ray_address == _NONE else self.ray_address
        resources = Resources.read(number_text(self.workers), address, number_text(self.gpus))
        jobs = self._make_jobs(compositions, seeds, edit_batches, resources)
        name = check_sweep_name(self._automatic_name(jobs) if self.name == _AUTO else self.name)
        return CompositionGrid(name, jobs, self.experiment, self.params(), resources)

    @property
    def recompression(self) -> str:
        """What ``recompress`` comes to: "auto", "never" or "paper"."""
        if self.recompress != PRESET:
            return self.recompress
        return RECOMPRESS.get(self.preset, "auto")

    def _automatic_name(self, jobs: Sequence[Job]) -> str:
        name = f"grid-{jobs_digest(jobs)}" if self.preset == _NONE else self.preset
        # grids of before there was a preset's policy go on under their names
        return name if self.recompression == "auto" else f"{name}-recompress-{self.recompression}"

    def params(self) -> dict[str, str]:
        """Return the values as text, for the parent run; the same as the command line has them."""
        params = {name: _value_text(value) for name, value in asdict(self).items()}
        params |= {name: with_version(name, params[name]) for name in VERSIONED}
        # a dry run logs nothing, but parent runs have had this param from the beginning
        return {**params, "dry_run": "false"}

    def _check_types(self) -> None:
        """Check switches and texts; numbers are checked where they are read."""
        check_no_passwords(asdict(self))
        for name, value in asdict(self).items():
            if name in _SWITCHES:
                yes_or_no(name, value)
            elif name not in (*_NUMBERS, *_RESOURCES) and not isinstance(value, DataSet):
                check_text(name, value)

    def _intervention_list(self) -> str:
        """Return the interventions as text, whether they were given or named by a preset."""
        if (self.interventions == _NONE) == (self.preset == _NONE):
            raise InvalidInput(
                f"give interventions or a preset ({', '.join(PRESETS)}), one of the two"
            )
        if self.preset == _NONE:
            return self.interventions
        return preset_interventions(self.preset)

    def _make_jobs(
        self,
        compositions: Sequence[Composition],
        seeds: Sequence[int],
        edit_batches: Sequence[int],
        resources: Resources,
    ) -> list[Job]:
        values = {name: getattr(self, name) for name in _SETTINGS}
        settings = Settings(**{**values, "recompress": self.recompression})
        first = RunContext(resources.settings(settings), remote=resources.on_ray)
        contexts = [first.for_replicate(seed, batch) for seed in seeds for batch in edit_batches]
        return make_jobs(compositions, contexts)


@dataclass(frozen=True)
class CompositionGrid:
    """A checked grid.

    Attributes:
        name: by which the grid is found again and continued.
        jobs: one for every composition, seed and batch of edits, neighbours where they share a
            prefix.
        experiment: name of the MLflow experiment.
        params: of the parent run.
        resources: what the jobs run on.
    """

    name: str
    jobs: Sequence[Job]
    experiment: str = store.EXPERIMENT
    params: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)


def _value_text(value: object) -> str:
    """Return a value as text; 1.0 as "1", as the command line has it, and a tuple as a list."""
    if isinstance(value, float):
        return f"{value:g}"
    return setting_text(list(value) if isinstance(value, tuple | range) else value)
