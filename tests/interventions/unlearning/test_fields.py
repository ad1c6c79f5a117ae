"""Values that the unlearning methods refuse, before anything is loaded."""

import pytest

from interventions.base import Intervention
from interventions.composition import Composition
from interventions.data.testbed import MODEL
from interventions.errors import InvalidInput
from interventions.lm import skeleton
from interventions.unlearning.ga import GA
from interventions.unlearning.gd import GD
from interventions.unlearning.npo import NPO
from interventions.unlearning.rmu import RMU
from interventions.unlearning.simnpo import SimNPO


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (GA(last_layers=7), "ga.last_layers is 7, but the model has 6 layers"),
        (GD(last_layers=16), "gd.last_layers is 16, but the model has 6 layers"),
        (NPO(last_layers=7), "npo.last_layers is 7, but the model has 6 layers"),
        (SimNPO(last_layers=9), "simnpo.last_layers is 9, but the model has 6 layers"),
        (RMU(layer=6), "rmu.layer names layer 6, but the model has layers 0 to 5"),
        (RMU(layer=8), "rmu.layer names layer 8, but the model has layers 0 to 5"),
    ],
    ids=str,
)
def test_a_layer_that_the_model_lacks_is_named_before_anything_is_loaded(
    step: Intervention, message: str
) -> None:
    model = skeleton(MODEL)
    assert {p.device.type for p in model.parameters()} == {"meta"}
    with pytest.raises(InvalidInput, match=f"^{message}$"):
        step.check(model)


@pytest.mark.parametrize(
    "spec",
    [
        "rmu(layer=1)",
        "rmu(layer=-1)",
        "rmu(layer=2.5)",
        "rmu(steering=0)",
        "rmu(alpha=-1)",
        "rmu(steps=0)",
        "rmu(batch=0)",
        "rmu(lr=0)",
        "rmu(max_tokens=1)",
        "ga(last_layers=0)",
        "ga(samples=0)",
        "gd(last_layers=0)",
        "gd(retain_weight=-1)",
        "gd(retain_batch=0)",
        "gd(batch=0)",
        "gd(max_tokens=1)",
        "gd(lr=-1)",
    ],
)
def test_values_out_of_range_are_refused_where_they_are_written(spec: str) -> None:
    name, _, field = spec.partition("(")
    with pytest.raises(
        InvalidInput, match=rf"^{name}\.{field.partition('=')[0]} must be .*, but got "
    ):
        Composition.parse(spec)


def test_layers_that_fit_exactly_are_taken() -> None:
    for step in (GA(last_layers=6), GD(last_layers=6), RMU(layer=5), RMU(layer=2)):
        step.check(skeleton(MODEL))
