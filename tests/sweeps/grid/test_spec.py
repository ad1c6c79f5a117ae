"""A grid's values, checked before anything is loaded; as the command line's: test_command.py."""

from dataclasses import replace
from typing import Any

import pytest

from interventions.base import Intervention
from interventions.criteria.base import CRITERIA
from interventions.errors import InvalidInput
from interventions.specs import sweep
from sweeps.cluster import Resources
from sweeps.grid.jobs import jobs_digest
from sweeps.grid.spec import GridRequest
from tests.sweeps.small_testbed import INTERVENTIONS

pytestmark = pytest.mark.usefixtures("local_store")


def test_python_values_mean_what_the_command_lines_text_does() -> None:
    python = GridRequest(INTERVENTIONS, length=[0, 1], seeds=[0, 3], edit_batches=2, workers=1)
    text = GridRequest(INTERVENTIONS, length="0..1", seeds="0,3", edit_batches="2", workers="1")
    assert [job.id for job in python.checked().jobs] == [job.id for job in text.checked().jobs]
    assert python.checked().name == text.checked().name
    replicates = [
        (job.plan.settings.seed, job.plan.settings.edit_batch)
        for job in GridRequest("ft(steps=1)", length=1, seeds=(0, 3), edit_batches=2).checked().jobs
    ]
    assert replicates == [(0, 0), (0, 1), (3, 0), (3, 1)]


def test_the_settings_reach_every_job() -> None:
    request = GridRequest(
        "wanda(samples=4)",
        length=1,
        split="validation",
        window=32,
        recompress="never",
        checkpoints="last",
        dtype="bfloat16",
        device="cpu",
        experiment="elsewhere",
    )
    grid = request.checked()
    (job,) = grid.jobs
    settings = job.plan.settings
    assert (settings.split, settings.recompress, settings.checkpoints, settings.dtype) == (
        "validation",
        "never",
        "last",
        "bfloat16",
    )
    assert settings.window == 32
    assert grid.experiment == "elsewhere" and grid.resources == Resources()


def test_the_data_decide_which_defaults_the_interventions_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profiles: list[str] = []

    def recorded_sweep(text: str, profile: str) -> list[Intervention]:
        profiles.append(profile)
        return sweep(text, profile)

    monkeypatch.setattr("sweeps.grid.spec.sweep", recorded_sweep)
    GridRequest("wanda(samples=4)", length=1).checked()
    with pytest.raises(InvalidInput, match="no composition of 2"):
        GridRequest("wanda", length=2, data="paper").checked()
    assert profiles == ["testbed", "paper"]


def test_workers_elsewhere_decide_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    (job,) = GridRequest("wanda(samples=4)", length=1, workers=2, gpus=1).checked().jobs
    assert (job.plan.settings.device, job.plan.settings.dtype) == ("cuda", "bfloat16")
    with pytest.raises(InvalidInput, match=r"SQLite takes 8 workers .* ray_address=host:1"):
        GridRequest("wanda(samples=4)", length=1, ray_address="host:1").checked()


def test_a_grid_is_named_by_its_preset_by_what_it_runs_or_by_the_user() -> None:
    quick = GridRequest(preset="quick")
    assert quick.checked().name == "quick"
    assert GridRequest(preset="quick", name="mine").checked().name == "mine"
    names = [GridRequest(text).checked().name for text in ("ft; ga", "ga; ft", "ft; gd")]
    assert names[0].startswith("grid-") and names[0] == names[1] != names[2]


@pytest.mark.parametrize(
    ("preset", "asked", "used", "name"),
    [
        ("paper", "preset", "paper", "paper-recompress-paper"),
        ("paper", "paper", "paper", "paper-recompress-paper"),
        ("paper", "auto", "auto", "paper"),
        ("paper", "never", "never", "paper-recompress-never"),
        ("quick", "preset", "auto", "quick"),
        ("quick", "paper", "paper", "quick-recompress-paper"),
    ],
)
def test_a_preset_says_how_its_grid_recompresses_and_the_automatic_name_does_too(
    preset: str, asked: str, used: str, name: str
) -> None:
    grid = GridRequest(preset=preset, recompress=asked, length=1).checked()
    assert grid.name == name and grid.params["recompress"] == asked
    assert {job.plan.settings.recompress for job in grid.jobs} == {used}


def test_grids_of_before_there_was_a_policy_of_presets_go_on() -> None:
    """Names and job ids of version 0.1.0, which recompressed by "auto"."""
    text = "magnitude(sparsity=[0.25, 0.5])"
    grid = GridRequest(text, length=1).checked()
    before = GridRequest(text, length=1, recompress="auto").checked()
    assert (grid.name, [job.id for job in grid.jobs]) == (
        before.name,
        [job.id for job in before.jobs],
    )
    assert grid.name == f"grid-{jobs_digest(grid.jobs)}"
    never = GridRequest(text, length=1, recompress="never").checked()
    assert never.name == f"grid-{jobs_digest(never.jobs)}-recompress-never"
    assert GridRequest(text, length=1, recompress="never", name="mine").checked().name == "mine"


def test_another_window_is_another_grid_and_the_datas_own_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading = replace(CRITERIA.get("sparsity"), reads=frozenset({"window"}))
    monkeypatch.setattr(CRITERIA, "_entries", {"sparsity": reading})
    default, own, another = (
        GridRequest("magnitude", length=1, window=window).checked().name for window in (0, 64, 32)
    )
    assert default == own != another
    of_windows = [
        GridRequest("magnitude", length=1, **changed).checked().name
        for changed in ({"stride": 16}, {"tail": "drop"})
    ]
    assert len({default, another, *of_windows}) == 4


def test_the_parent_runs_params_are_the_values_as_on_the_command_line() -> None:
    params = GridRequest("ft; ga", seeds=2, gpus=0.0, length=(0, 1)).checked().params
    assert params["interventions"] == "ft; ga" and params["preset"] == "none"
    assert (params["seeds"], params["gpus"], params["workers"]) == ("2", "0", "1")
    assert (params["length"], params["edit_batches"]) == ("[0, 1]", "1")
    assert params["dry_run"] == "false" and params["checkpoints"] == "none"
    assert GridRequest("ft; ga", gpus=0.5).params()["gpus"] == "0.5"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"interventions": ["ft", "ga"]}, "interventions must be text, but got ['ft', 'ga']"),
        ({"preset": "quick", "name": 3}, "name must be text, but got 3"),
        ({"preset": None, "interventions": "ft"}, "preset must be text, but got None"),
        ({"preset": "quick", "model": None}, "model must be text, but got None"),
        ({"preset": "quick", "ray_address": 1}, "ray_address must be text, but got 1"),
        ({"preset": "quick", "length": 1.5}, "length must be a number or a range"),
        ({"preset": "quick", "length": "0,1"}, "length must be a number or a range"),
        ({"preset": "quick", "seeds": True}, "seeds must be how many"),
        ({"preset": "quick", "seeds": {}}, "seeds must be how many"),
        ({"preset": "quick", "edit_batches": [0, "1"]}, "edit_batches must be how many"),
        ({"preset": "quick", "workers": 1.5}, "workers must be at least 1"),
        ({"preset": "quick", "workers": True}, "workers must be at least 1"),
        ({"preset": "quick", "workers": None}, "workers must be at least 1"),
        ({"preset": "quick", "window": "64"}, "window must be 0 (the data's own) or an integer"),
        (
            {"preset": "quick", "recompress": "maybe"},
            "recompress must be auto or never or paper or",
        ),
        ({"preset": "quick", "gpus": True}, "gpus at least 0, but got '1' and 'True'"),
        ({"preset": "quick", "gpus": float("inf")}, "gpus at least 0, but got '1' and 'inf'"),
        ({}, "give interventions or a preset (paper, quick), one of the two"),
        # before the compositions are looked at
        ({"interventions": "ft; nothing", "name": "a/b"}, "name must be of letters"),
        ({"preset": "quick", "experiment": "http://ada:x@host"}, "experiment has a password"),
    ],
)
def test_a_value_of_the_wrong_type_is_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        GridRequest(**values).checked()
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("interventions", "edit_batches", "refused"),
    [
        (
            "alphaedit; memit(batch_offset=1)",
            2,
            "edit_batches 0 and 1 are too near: .* give .*'0,2'",
        ),
        (
            "wanda; merge(memit | memit(batch_offset=2), rmu)",
            "0,2",
            "edit_batches 0 and 2 are too near",
        ),
        ("alphaedit; memit(batch_offset=1)", "0,2", ""),
        ("memit; wanda", 3, ""),
    ],
)
def test_runs_that_would_share_edits_are_no_replicates(
    interventions: str, edit_batches: int | str, refused: str
) -> None:
    request = GridRequest(
        interventions=interventions, edit_batches=edit_batches, pairs="all", length="1..2"
    )
    if refused:
        with pytest.raises(InvalidInput, match=refused):
            request.checked()
    else:
        assert request.checked().jobs
