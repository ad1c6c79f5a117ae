"""What the README and the documentation say, as a newcomer would check it."""

import functools
import json
import math
import re
from pathlib import Path

import pytest
from filelock import FileLock

from benchmarks.effects import COLUMNS, SPECS, effects
from interventions.base import INTERVENTIONS, make
from interventions.errors import InvalidInput
from interventions.hyperparameters import fields_of
from interventions.listing import list_interventions

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHARES = 0.1  # training differs in the last bits between machines, and 50 edits are few
PERPLEXITY = 0.15  # relative, of its logarithm
# the heads of the columns; a spec, a mean per criterion, and the seconds, which are not compared
EFFECTS = re.compile(r"^\| alone \| (.+) \| seconds \|\n\|[-|]+\|\n((?:\|.+\|\n)+)", re.MULTILINE)
EFFECT = re.compile(r"^\| `([^`]+)` \| (.+) \| [\d.]+ \|$", re.MULTILINE)


@functools.cache
def printed_effects() -> dict[str, dict[str, float]]:
    """Return the documented effects: spec to criterion to value; every page says the same."""
    effects_of: dict[str, dict[str, float]] = {}
    criterion_of = {head: name for name, head in COLUMNS.items()}
    for page in PAGES:
        for heads, rows in EFFECTS.findall(page.read_text()):
            names = [criterion_of[head] for head in heads.split(" | ")]
            for spec, cells in EFFECT.findall(rows):
                means = [float(cell.partition(" ± ")[0]) for cell in cells.split(" | ")]
                values = dict(zip(names, means, strict=True))
                assert effects_of.setdefault(spec, values) == values, (page, spec)
    assert effects_of
    return effects_of


Effects = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def measured_effects(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Effects:
    """Return the same, measured now; of pytest-xdist's workers one measures, the other waits."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent  # a folder of all workers
    path = shared / "effects.json"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            measured = {
                spec: {name: score.value for name, score in scores.items()}
                for spec, scores, _ in effects()
            }
            path.write_text(json.dumps(measured))
    measured_now: Effects = json.loads(path.read_text())
    return measured_now


def documented_categories() -> dict[str, str]:
    """Return the documented table of interventions: name to category."""
    text = "\n".join(page.read_text() for page in PAGES)
    return dict(
        re.findall(
            r"^\| `(\w+)` \| (editing|compression|unlearning|training|merging) \|", text, re.M
        )
    )


@pytest.mark.slow
def test_the_table_of_effects_is_what_its_command_prints(measured_effects: Effects) -> None:
    assert set(printed_effects()) == set(measured_effects) == set(SPECS)
    for spec, values in printed_effects().items():
        for name, value in values.items():
            measured = measured_effects[spec][name]
            if name == "wikitext_ppl":
                expected = pytest.approx(math.log(value), rel=PERPLEXITY)
                assert math.log(measured) == expected, (spec, name)
            else:
                assert measured == pytest.approx(value, abs=SHARES), (spec, name)


@pytest.mark.slow
def test_every_editor_edits_on_the_testbed(measured_effects: Effects) -> None:
    for editor, least in (("ft", 0.85), ("lora", 0.85), ("memit", 0.70)):
        scores = measured_effects[editor]
        assert scores["edit_success"] >= least, editor
        assert scores["edit_generalization"] > 0.5, editor


@pytest.mark.slow
def test_every_compression_compresses_on_the_testbed(measured_effects: Effects) -> None:
    effect = measured_effects
    for level in (0.65, 0.75):
        perplexities = [
            effect[f"{method}(sparsity={level})"]["wikitext_ppl"]
            for method in ("sparsegpt", "wanda", "magnitude")
        ]
        assert perplexities == sorted(perplexities)
    for method in ("gptq", "awq"):
        assert effect[f"{method}(bits=3)"]["wikitext_ppl"] <= effect["rtn(bits=3)"]["wikitext_ppl"]
    base = effect["none"]
    for method in ("rtn", "gptq", "awq"):
        assert effect[f"{method}(bits=8)"] == pytest.approx(
            base | {"average_bits": 8.25, "sparsity": 0.02}, abs=0.02
        )
        two_bits = effect[f"{method}(bits=2)"]
        assert two_bits["facts_exact"] < base["facts_exact"] - 0.1
    # AWQ loses nothing there: the testbed's text is easy
    for method in ("rtn", "gptq"):
        two_bits = effect[f"{method}(bits=2)"]
        assert two_bits["wikitext_ppl"] > base["wikitext_ppl"] + 0.02


@pytest.mark.slow
def test_every_unlearner_unlearns_on_the_testbed(measured_effects: Effects) -> None:
    effect = measured_effects
    base = effect["none"]
    for method, most in (("rmu", 0.45), ("gd", 0.55)):
        assert effect[method]["wmdp"] < most, method
        assert effect[method]["mmlu"] > base["mmlu"] - 0.10, method
    ascent = effect["ga"]
    assert ascent["wmdp"] < 0.7
    loses_knowledge = ascent["mmlu"] < base["mmlu"] - 0.2
    loses_language = ascent["wikitext_ppl"] > 1.5 * base["wikitext_ppl"]
    assert loses_knowledge or loses_language


def test_the_documented_interventions_are_there_and_every_one_with_effects_is_documented() -> None:
    documented = documented_categories()
    categories = {name: cls.category for name, cls in INTERVENTIONS.all().items()}
    assert documented == {name: categories.get(name) for name in documented}
    assert {re.match(r"\w+", spec)[0] for spec in SPECS} <= {"none", *documented}  # type: ignore[index]


def test_the_list_has_every_intervention_with_all_its_hyperparameters() -> None:
    lines = list_interventions()
    for name, cls in INTERVENTIONS.all().items():
        assert f"{name} ({cls.category}): " in lines
        for key, field in fields_of(cls).items():
            # branches are listed as they are written
            is_text = key == "branches" and cls.takes_branches
            default = field.default if is_text else getattr(make(name), key)
            shown = re.escape(repr(default))
            assert re.search(rf"^    {key} = {shown}[ :]", lines, re.MULTILINE), (name, key)


def test_a_misspelled_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="Did you mean 'wanda'"):
        list_interventions(["wandah"])
