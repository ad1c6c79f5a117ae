"""What makes a study another one."""

import dataclasses
from typing import Any

import pytest

from interventions.criteria.base import CRITERIA
from interventions.criteria.editing import edit_portability_hop
from interventions.data.base import Data
from interventions.errors import InvalidInput
from interventions.options import Split
from sweeps.study.request import StudyRequest
from sweeps.study.spec import StudySpec
from tests.sweeps.small_testbed import small_testbed
from tests.sweeps.study.small_study import study_spec
from tracking.checkpoints.store import Checkpoints
from tracking.settings import Settings

FT = {"objective": "edit_success:max", "space": "default", "sampler": "random", "name": ""}


def ft_spec(composition: str = "ft", **options: Any) -> StudySpec:
    return study_spec(composition, **{**FT, **options})


def settings(**changed: Any) -> Settings:
    return Settings(**{"split": "validation", "checkpoints": "none", **changed})


def test_what_a_study_is_about() -> None:
    about = ft_spec("ft(layers=(1,))", pruner="median", constraint="edit_locality>0.5").about()
    model = about.pop("model")
    assert model.startswith("testbed@3 (") and len(model) == len("testbed@3 (01234567)")
    assert about == {
        "intervention": "ft(layers=(1,))",
        "space": "default",
        "tuned": "ft.lr: 0.0001 to 0.01, logarithmic; ft.steps: 17 to 140, logarithmic",
        "objective": "edit_success:max",
        "constraint": "edit_locality>0.5",
        "sampler": "random",
        "sampler_seed": "0",
        "pruner": "median",
        "prune_every": "20",
        "experiment": "composability",
        "data": "testbed@3",
        "seed": "0",
        "edit_batch": "0",
        "recompress": "auto",
        "dtype": "float32",
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"sampler_seed": 1},
        {"sampler": "tpe"},
        {"objective": "edit_locality:max"},
        {"constraint": "edit_locality>0.5"},
        {"pruner": "median"},
        {"experiment": "another"},
        {"settings": settings(seed=1)},
        {"settings": settings(edit_batch=1)},
        {"settings": settings(window=32)},
        {"settings": settings(stride=16)},
        {"settings": settings(tail="drop")},
        {"settings": settings(recompress="never")},
        {"settings": settings(dtype="bfloat16")},
    ],
    ids=str,
)
def test_a_study_that_is_about_something_else_has_another_name(changed: dict[str, Any]) -> None:
    plain, another = ft_spec(), ft_spec(**changed)
    assert plain.request.name.startswith("tune-ft-") and another.request.name.startswith("tune-ft-")
    assert plain.request.name != another.request.name


def test_how_many_trials_there_are_and_where_it_runs_does_not_make_another_study() -> None:
    assert ft_spec(trials=3).request.name == ft_spec(trials=9).request.name
    assert ft_spec(prune_every=3).request.name == ft_spec().request.name  # nothing is pruned
    assert ft_spec(pruner="median", prune_every=3).about()["prune_every"] == "3"
    assert study_spec(name="mine").request.name == "mine"


def test_a_study_of_before_there_was_a_window_or_a_presets_policy_goes_on() -> None:
    names = {
        ft_spec(settings=settings(**changed)).request.name
        for changed in (
            {},
            {"window": 64},
            {"stride": 64},
            {"recompress": "auto"},
            {"recompress": "preset"},
        )
    }
    assert len(names) == 1
    assert ft_spec(settings=settings(window=32)).about()["window"] == "32"


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "edit_success,edit_portability_hop"},
        {"constraint": "edit_portability_hop>0.5"},
    ],
)
def test_what_the_data_do_not_have_cannot_judge(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_portability(edit_batch: int, split: Split) -> Data:
        data = small_testbed(edit_batch, split)
        plain = tuple(dataclasses.replace(edit, portability=()) for edit in data.edits)
        return dataclasses.replace(data, edits=plain)

    entries = {**CRITERIA.all(), "edit_portability_hop": edit_portability_hop}
    monkeypatch.setattr(CRITERIA, "_entries", entries)
    monkeypatch.setattr("tracking.run_data.testbed", without_portability)
    message = "edit_portability_hop is measured on hops, of which the data 'testbed' have none"
    with pytest.raises(InvalidInput, match=message):
        ft_spec(**options)


def test_both_orders_are_run_if_any_objective_compares_them() -> None:
    both = "order_sensitivity:edit_success,edit_locality"
    assert ft_spec("ft | wanda", objective=both).both_orders
    assert not ft_spec("ft | wanda", objective="edit_success").both_orders


def test_a_grid_has_as_many_trials_as_points() -> None:
    request = StudyRequest("rmu", space="paper", sampler="grid", objective="edit_locality")
    assert StudySpec(request).trials == 75
    assert ft_spec(trials=7).trials == 7


def test_the_samplers_seed_reaches_the_sampler(cache: Checkpoints) -> None:
    drawn = []
    for seed in (0, 1):
        queue = ft_spec(name=f"seed-{seed}", sampler_seed=seed).open_queue(cache)
        queue.fill()
        trial = queue.claim()
        assert trial is not None
        drawn.append(trial.suggest_float("x", 0, 1))
    assert drawn[0] != drawn[1]
