"""What a study may try: the paper's grids as far as they fit, and what interventions suggest."""

import dataclasses

import optuna
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from interventions.base import INTERVENTIONS, Intervention, make, tunable
from interventions.composition import Composition
from interventions.data import testbed
from interventions.data.base import Data
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import skeleton
from interventions.options import PROFILES
from interventions.search_space import TuningContext
from interventions.unlearning.rmu import RMU
from sweeps.study.search_space import Space


def llama(layers: int) -> PreTrainedModel:
    """A model of so many layers, without weights."""
    sizes = {
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_attention_heads": 2,
        "vocab_size": 64,
    }
    with torch.device("meta"):
        return LlamaForCausalLM(LlamaConfig(num_hidden_layers=layers, **sizes))


def many_texts() -> Data:
    return dataclasses.replace(testbed.testbed(), forget=("a text",) * 2000)


FULL = TuningContext(llama(32), many_texts(), "paper")
HERE = TuningContext(skeleton(MODEL), testbed.testbed())
SEARCHED = [name for name, cls in INTERVENTIONS.all().items() if cls.grid]


def test_on_a_model_of_32_layers_the_grids_are_those_of_tables_5_to_7() -> None:
    """Source: the paper, Tables 5-7: 5 x 15 x 5; 8 x 14; 8 x 14 x 11."""
    for name, count in (("rmu", 375), ("ga", 112), ("gd", 1232)):
        space = Space(name, "paper", FULL)
        assert len(space.points()) == count and space.left_out == []
    points = Space("rmu", "paper", FULL).points()
    assert {tuple(point.values()) for point in points} == {
        (float(alpha), layer, steps)
        for alpha in (1, 10, 100, 1000, 10000)
        for layer in range(3, 18)
        for steps in (100, 150, 200, 250, 300)
    }
    rates = {point["ga.lr"] for point in Space("ga", "paper", FULL).points()}
    assert sorted(rates) == pytest.approx([1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3])
    selected = {"gd.lr": 5e-5, "gd.samples": 50, "gd.retain_weight": 40.0}  # section C
    assert any(point == pytest.approx(selected) for point in Space("gd", "paper", FULL).points())


def test_points_that_do_not_fit_the_model_or_the_data_are_named() -> None:
    space = Space("rmu", "paper", HERE)
    points = space.points()
    assert len(points) == 5 * 3 * 5 and {point["rmu.layer"] for point in points} == {3, 4, 5}
    (line,) = space.left_out
    assert line.startswith("rmu.layer: 12 of 15 left out (6, 7, 8,")
    assert "the model has layers 0 to 5" in line
    data = dataclasses.replace(HERE.data, forget=HERE.data.forget[:300])
    few = dataclasses.replace(HERE, data=data)
    (line,) = Space("ga", "paper", few).left_out
    missing = "350, 400, 450, 500, 1000, 2000"
    assert line == f"ga.samples: 6 of 14 left out ({missing}): there are 300 texts to forget"
    assert len(Space("ga", "paper", few).points()) == 8 * 8


def test_a_grid_may_have_as_many_points_as_a_study_has_trials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = Space("gd(lr=0.001)", "paper", FULL)
    count = len(space.points())
    monkeypatch.setattr("sweeps.study.search_space.MOST_TRIALS", count)
    assert len(space.points()) == count
    monkeypatch.setattr("sweeps.study.search_space.MOST_TRIALS", count - 1)
    with pytest.raises(InvalidInput, match=f"a grid may have {count - 1} points, but .* {count}:"):
        space.points()


def test_what_is_given_stays_and_the_rest_is_tuned() -> None:
    space = Space("rmu(layer=3, alpha=10)", "paper", HERE)
    assert [set(point) for point in space.points()] == [{"rmu.steps"}] * 5
    space = Space("rmu(layer=3)", "default", HERE)
    assert "rmu.layer" not in space.tuned and "rmu.alpha" in space.tuned
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        (step,) = space.composition(study.ask())
        assert isinstance(step, RMU) and step.layer == 3
    layers = Space("ft(layers=(1, 2))", "default", HERE)
    assert set(layers.tuned) == {"ft.lr", "ft.steps"}


def test_steps_of_one_name_have_parameters_of_their_own_as_in_a_runs_params() -> None:
    space = Space("wanda | lora | wanda", "default", HERE)
    assert {"wanda.sparsity", "wanda_2.sparsity", "lora.lr"} <= set(space.tuned)
    assert [space.is_tuned(i) for i in range(3)] == [True, True, True]
    space = Space("wanda(sparsity=0.5) | rmu", "paper", HERE)  # its value is given, so it may stay
    assert [space.is_tuned(0), space.is_tuned(1)] == [False, True]
    assert len(space.points()) == 75


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", sorted(tunable()))
def test_whatever_is_suggested_is_valid_on_either_profile(name: str, profile: str) -> None:
    tuning_context = FULL if profile == "paper" else HERE
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    # a step of branches needs them in a text
    text = str(make(name)) if tunable()[name].takes_branches else name
    space = Space(text, "default", tuning_context)
    tried = [space.composition(study.ask()) for _ in range(25)]
    for (step,) in tried:
        step.check(tuning_context.model)
        assert Composition.parse(step.spec(profile), profile) == Composition([step])
    assert len(set(tried)) > 1
    assert all(set(trial.params) <= set(space.tuned) for trial in study.trials)


@pytest.mark.parametrize("name", sorted(INTERVENTIONS.all()))
def test_every_grid_is_of_fields_and_every_field_that_counts_texts_names_a_part(name: str) -> None:
    cls = INTERVENTIONS.get(name)
    fields = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    assert set(cls.grid) <= fields and set(cls.texts) <= fields
    assert set(cls.texts.values()) <= cls.reads


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("rmu", "papr", "space must be default or paper, but got 'papr'"),
        ("none", "default", "give an intervention to tune"),
        ("rum", "default", "Did you mean 'rmu'"),
        ("rmu(layr=3)", "default", "rmu has no hyperparameter 'layr'"),
        ("rmu(layer=9)", "default", "rmu.layer names layer 9, but the model has layers 0 to 5"),
        ("ga(samples=99999)", "default", "ga.samples is 99999, but there are 800 texts"),
        ("rmu(layer=[3, 4])", "paper", "is a list, which means a sweep"),
        (
            "wanda",
            "paper",
            f"the paper has no grid for wanda, only for {', '.join(SEARCHED)}: use space=default",
        ),
        ("wanda | rmu", "paper", "the paper has no grid for wanda"),
        ("rmu(alpha=1, layer=3, steps=100)", "paper", "nothing is left to tune"),
        ("wanda(sparsity=0.5)", "default", "nothing is left to tune"),
        ("rmu(layer=9)", "paper", "no value of the paper's grid fits: rmu.alpha"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(text: str, name: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        Space(text, name, HERE)
    assert "\n" not in str(caught.value)


def test_a_model_too_small_for_a_range_and_a_grid_that_there_is_none_of_are_said() -> None:
    two_layers = dataclasses.replace(HERE, model=llama(2))
    message = r"rmu.layer cannot be tuned here: there is nothing from 2 to 1; give a"
    with pytest.raises(InvalidInput, match=message):
        Space("rmu", "default", two_layers)
    message = "sampler=grid needs space=paper: space=default is continuous"
    with pytest.raises(InvalidInput, match=message):
        Space("rmu", "default", HERE).points()


def test_an_intervention_that_suggests_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(RMU, "suggest")
    assert "rmu" not in tunable() and RMU.suggest.__func__ is Intervention.suggest.__func__  # type: ignore[attr-defined]
    able = ", ".join(tunable())
    message = f"rmu cannot be tuned: it has no method suggest; tunable: {able}"
    with pytest.raises(InvalidInput, match=message):
        Space("rmu", "default", HERE)


def test_numbers_that_are_tried_have_four_digits_so_that_a_spec_can_be_read() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    (step,) = Space("gd", "default", HERE).composition(study.ask())
    assert all(
        float(f"{value:.4g}") == value
        for value in step.params().values()
        if isinstance(value, float)
    )


def test_a_step_whose_values_are_all_given_is_not_tuned_though_its_twin_is() -> None:
    space = Space("wanda(sparsity=0.5) | wanda", "default", HERE)
    assert [space.is_tuned(0), space.is_tuned(1)] == [False, True]


def test_a_step_whose_values_are_all_given_need_not_be_tunable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    defaults = make("rmu").params()
    spec = ", ".join(f"{name}={value!r}" for name, value in defaults.items())
    monkeypatch.delattr(RMU, "suggest")
    space = Space(f"rmu({spec}) | wanda", "default", HERE)
    assert all(name.startswith("wanda.") for name in space.tuned)


def test_a_value_out_of_bounds_is_said_before_what_does_not_fit() -> None:
    with pytest.raises(InvalidInput, match=r"^rmu\.steps must be"):
        Space("rmu(steps=-1)", "paper", HERE)


@pytest.mark.parametrize(
    ("text", "defaults"),
    [
        # the layers 3 to 5 by default; drawn is the last of them, and how many
        ("ft", {"ft.layers.last": 5, "ft.layers.count": 3, "ft.lr": 0.001, "ft.steps": 70}),
        # no weights are weights of 1
        ("merge(ft, rmu)", {"merge.how": "linear", "merge.weights": 1.0}),
        ("lora(rank=8, lr=1.0)", {"lora.alpha": 32.0, "lora.steps": 40}),
    ],
)
def test_the_defaults_are_those_of_the_fields_in_the_names_that_are_drawn(
    text: str, defaults: dict[str, object]
) -> None:
    assert Space(text, "default", HERE).defaults() == defaults
