"""The defaults are what a study tries first, also after a kill; a grid has its points."""

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FixedTrial, TrialState

from interventions.base import INTERVENTIONS
from interventions.composition import Composition
from interventions.data.base import Data
from interventions.hyperparameters import default_value, fields_of
from interventions.lm import LM
from interventions.search_space import TuningContext
from sweeps.study.attributes import SLOT
from sweeps.study.search_space import Space
from tests.sweeps.study.queues import ABOUT, always_silent, open_queue
from tests.sweeps.study.small_study import study_spec
from tracking.checkpoints.store import Checkpoints

DEFAULTS = {"z": 0.125}


@pytest.mark.parametrize("kind", ["random", "tpe", "gp"])
def test_the_first_slot_has_the_defaults_and_again_where_its_trial_was_lost(
    tmp_path: Path, kind: str
) -> None:
    queue = open_queue(tmp_path, 4, kind=kind, first=DEFAULTS)
    queue.fill()
    lost = queue.claim()
    assert lost is not None and lost.user_attrs[SLOT] == 0
    assert lost.suggest_float("z", 0, 1) == 0.125
    queue.study.tell(lost, state=TrialState.FAIL)
    queue = open_queue(tmp_path, 4, kind=kind, first=DEFAULTS)
    queue.fill()
    queue.recover_lost(always_silent)
    drawn = []
    while (trial := queue.claim()) is not None:
        drawn.append((trial.user_attrs[SLOT], trial.suggest_float("z", 0, 1)))
        queue.study.tell(trial, drawn[-1][1])
    assert drawn[0] == (0, 0.125) and [slot for slot, _ in drawn] == [0, 1, 2, 3]
    assert len({value for _, value in drawn}) == 4


def test_a_grid_keeps_its_points(tmp_path: Path) -> None:
    queue = open_queue(tmp_path, about=ABOUT, first=DEFAULTS)
    queue.fill()
    trial = queue.claim()
    assert trial is not None and trial.suggest_categorical("x", tuple(range(6))) == 0


TUNABLE = [name for name, cls in INTERVENTIONS.all().items() if "path" not in fields_of(cls)]


@pytest.mark.parametrize("name", TUNABLE)
def test_what_is_tried_first_is_every_default_that_is_in_its_range(
    name: str, lm: LM, data: Data
) -> None:
    cls = INTERVENTIONS.get(name)
    text = f"{name}(ft, rmu)" if cls.takes_branches else name
    space = Space(text, "default", TuningContext(lm.model, data, "testbed"))
    defaults = space.defaults()
    assert set(defaults) <= set(space.tuned)
    for parameter, value in defaults.items():
        field, _, part = parameter.removeprefix(f"{name}.").partition(".")
        default: Any = default_value(fields_of(cls)[field], "testbed")
        default = cls.none_means.get(field) if default is None else default
        assert value == ({"last": default[-1], "count": len(default)}[part] if part else default)


def test_the_first_composition_is_the_one_of_the_defaults(
    cache: Checkpoints, lm: LM, data: Data
) -> None:
    context = TuningContext(lm.model, data, "testbed")
    for text in ("ft", "memit", "rmu | awq", "lora | wanda", "merge(lora, rmu)"):
        space = Space(text, "default", context)
        tried = space.composition(FixedTrial(space.defaults()))
        assert tried == Composition.parse(text, "testbed")


def test_a_value_that_is_given_is_not_tried_otherwise(cache: Checkpoints) -> None:
    spec = study_spec("ft(lr=0.003)", space="default", sampler="random", trials=2)
    assert "ft.lr" not in spec.space.defaults() and "ft.steps" in spec.space.defaults()
    queue = spec.open_queue(cache)
    queue.fill()
    trial = queue.claim()
    assert trial is not None
    (step,) = spec.space.composition(trial)
    usual = study_spec("ft(lr=0.003, layers=(1,))", space="default", sampler="random", trials=2)
    assert step.params()["lr"] == 0.003
    assert step.params()["steps"] == usual.space.defaults()["ft.steps"]
