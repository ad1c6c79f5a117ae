"""How `composability run` and `plan` read a composition."""

from typing import Any

import click
import pytest

from composability.commands.steps import composition_of, print_plan, specs_of
from interventions.errors import InvalidInput


@pytest.mark.parametrize(
    ("words", "specs"),
    [
        (("none", "none", "none", "none"), ["none"]),
        (("lora | wanda", "none", "none", "none"), ["lora | wanda"]),
        (("none", "lora", "none", "none"), ["lora"]),
        (("none", "none", "wanda", "none"), ["wanda"]),
        (("none", "none", "none", "ft"), ["ft"]),
        (("none", "lora", "wanda", "ft | ga"), ["lora", "wanda", "ft | ga"]),
    ],
)
def test_a_composition_is_one_text_or_its_parts_in_order(
    words: tuple[str, str, str, str], specs: list[str]
) -> None:
    assert specs_of(*words) == specs


@pytest.mark.parametrize("position", [1, 2, 3])
def test_a_composition_is_not_given_in_both_ways(position: int) -> None:
    words = ["lora", "none", "none", "none"]
    words[position] = "wanda"
    with pytest.raises(click.UsageError) as error:
        specs_of(*words)
    assert error.value.message == ("give a COMPOSITION or --first, --second and --then, not both")


@pytest.mark.parametrize(("data", "ft_steps"), [("testbed", 70), ("testbed@3", 70), ("paper", 25)])
def test_the_steps_of_all_texts_are_one_composition_with_the_datas_defaults(
    data: str, ft_steps: int
) -> None:
    composition: Any = composition_of(["wanda(sparsity=0.5) | ga", "ft"], data)
    assert [step.name for step in composition] == ["wanda", "ga", "ft"]
    assert [step.steps for step in composition if step.name == "ft"] == [ft_steps]


def test_an_error_quotes_the_text_that_is_wrong() -> None:
    with pytest.raises(InvalidInput) as error:
        composition_of(["ft", "wanda(sparsity=2)"], "testbed")
    assert "wanda" in str(error.value) and "ft" not in str(error.value)


@pytest.mark.parametrize(("words", "gib"), [((), 0.0), ((2.5,), 2.5)])
def test_a_plan_is_that_of_the_composition_and_its_settings(
    words: tuple[float, ...],
    gib: float,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def plan(composition: object, **settings: object) -> str:
        return f"{composition} {settings}"

    monkeypatch.setattr("tracking.costs.planning.plan", plan)
    print_plan(["ft", "ga"], {"data": "testbed", "seed": 3}, *words)
    assert capsys.readouterr().out == (
        f"ft | ga {{'device_gib': {gib}, 'data': 'testbed', 'seed': 3}}\n"
    )
