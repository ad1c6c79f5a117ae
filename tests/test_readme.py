"""What the README says, as a newcomer would check it."""

import functools
import math
import re
from pathlib import Path

import pytest

from benchmarks.effects import COLUMNS, SPECS, effects
from interventions import __main__ as listing
from interventions.base import INTERVENTIONS, make

README = (Path(__file__).parents[1] / "README.md").read_text()
SHARES = 0.1  # training differs in the last bits between machines, and 50 edits are few
PERPLEXITY = 0.15  # relative, of its logarithm


@functools.cache
def printed() -> dict[str, dict[str, float]]:
    """The README's table: spec -> criterion -> value."""
    rows = re.findall(
        r"^\| `([^`]+)` \| ((?:(?:[\d.]+|inf) \| )+)[\d.]+ \|$", README, re.MULTILINE
    )  # but the seconds
    return {
        spec: dict(zip(COLUMNS, map(float, cells.split(" | ")[:-1]), strict=True))
        for spec, cells in rows
    }


@functools.cache
def measured() -> dict[str, dict[str, float]]:
    """The same, run now."""
    return {spec: {name: s.value for name, s in found.items()} for spec, found, _ in effects()}


@pytest.mark.full
def test_the_table_of_effects_is_what_its_command_prints() -> None:
    assert set(printed()) == set(measured()) == set(SPECS)
    for spec, values in printed().items():
        for name, value in values.items():
            found = measured()[spec][name]
            if name == "wikitext_ppl":
                assert math.log(found) == pytest.approx(math.log(value), rel=PERPLEXITY), (
                    spec,
                    name,
                )
            else:
                assert found == pytest.approx(value, abs=SHARES), (spec, name)


@pytest.mark.full
def test_every_method_does_its_job_on_the_testbed() -> None:
    found = measured()
    for editor, least in (("ft", 0.85), ("lora", 0.85), ("memit", 0.70)):
        assert (
            found[editor]["edit_success"] >= least and found[editor]["edit_generalization"] > 0.5
        ), editor
    for level in (0.65, 0.75):
        one, two, three = (
            found[f"{m}(sparsity={level})"]["wikitext_ppl"]
            for m in ("sparsegpt", "wanda", "magnitude")
        )
        assert one <= two <= three
    for method in ("gptq", "awq"):
        assert found[f"{method}(bits=3)"]["wikitext_ppl"] <= found["rtn(bits=3)"]["wikitext_ppl"]
    base = found["none"]
    for method in ("rtn", "gptq", "awq"):
        assert found[f"{method}(bits=8)"] == pytest.approx(
            base | {"average_bits": 8.25, "sparsity": 0.02}, abs=0.02
        )
        assert found[f"{method}(bits=2)"]["edit_locality"] < base["edit_locality"] - 0.1
        assert found[f"{method}(bits=2)"]["wikitext_ppl"] > base["wikitext_ppl"] + 0.1
    for method in ("rmu", "gd"):
        assert found[method]["wmdp"] < 0.45 and found[method]["mmlu"] > base["mmlu"] - 0.10, method
    assert found["ga"]["wmdp"] < 0.7
    assert (
        found["ga"]["mmlu"] < base["mmlu"] - 0.2
        or found["ga"]["wikitext_ppl"] > 1.5 * base["wikitext_ppl"]
    )


def test_every_intervention_is_in_the_table_and_in_the_list_with_all_its_hyperparameters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["interventions"])
    assert listing.main() == 0
    out = capsys.readouterr().out
    for name, cls in INTERVENTIONS.all().items():
        assert f"| `{name}` | {cls.category} |" in README
        assert f"{name} ({cls.category}): " in out
        for key, value in vars(make(name)).items():
            assert re.search(rf"^    {key} = {re.escape(repr(value))}[ :]", out, re.MULTILINE), (
                name,
                key,
            )
    monkeypatch.setattr("sys.argv", ["interventions", "wandah"])
    assert listing.main() == 2
    assert "Did you mean 'wanda'?" in capsys.readouterr().err
