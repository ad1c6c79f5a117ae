"""What every registered intervention and criterion keeps, ours and plug-ins' alike."""

import dataclasses
import json
import math
import re
from dataclasses import FrozenInstanceError, is_dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import AutoModelForCausalLM

from interventions.base import INTERVENTIONS, Intervention, make, tunable
from interventions.composition import Composition, apply
from interventions.criteria.base import CRITERIA, measure
from interventions.data.base import PARTS, Data
from interventions.data.testbed import MODEL
from interventions.lm import LM
from interventions.options import PROFILES

NAMES = list(INTERVENTIONS.all())
# all pairs; a third of them, in which each is first and second, is quick
PAIRS = [
    pytest.param(first, second, marks=[pytest.mark.slow] if (i + j) % 3 else [])
    for i, first in enumerate(NAMES)
    for j, second in enumerate(NAMES)
]
KEY = "0123456789abcdef" * 2


# this project's own: the paper's ten interventions, their baselines, later ones, and criteria
HOUSE = {
    "ft": "editing", "lora": "editing", "memit": "editing",
    "wanda": "compression", "sparsegpt": "compression", "gptq": "compression", "awq": "compression",
    "magnitude": "compression", "rtn": "compression", "hqq": "compression",
    "ga": "unlearning", "gd": "unlearning", "rmu": "unlearning",
    "npo": "unlearning", "simnpo": "unlearning", "alphaedit": "editing",
    "merge": "merging",
}  # fmt: skip
HOUSE_CRITERIA = (
    "edit_success", "edit_success_first", "edit_generalization",
    "edit_locality", "edit_preservation",
    "edit_portability", "edit_portability_hop", "edit_portability_alias",
    "edit_portability_reverse", "facts_exact",
    "wmdp_bio", "wmdp_cyber", "wmdp", "mmlu", "wikitext_ppl", "average_bits", "sparsity",
)  # fmt: skip
CHEAP: dict[str, Any] = {"steps": 3, "samples": 8, "exponents": 2}  # enough for tests of mechanics


def quick(name: str) -> Intervention:
    """The intervention with few of everything."""
    return cheaper(make(name))


def cheaper(step: Intervention) -> Intervention:
    """The step with few of everything, in its branches too."""
    values = {key: value for key, value in CHEAP.items() if key in step.params()}
    if step.takes_branches:
        values["branches"] = tuple(
            Composition(map(cheaper, branch)) for branch in step.compositions()
        )
    return dataclasses.replace(cast(Any, step), **values)


def test_the_houses_interventions_and_criteria_are_found() -> None:
    categories = {name: INTERVENTIONS.get(name).category for name in HOUSE}
    assert categories == HOUSE
    assert set(CRITERIA.all()) >= set(HOUSE_CRITERIA)


def test_the_houses_methods_compete_and_are_compared_as_in_the_papers_tables() -> None:
    """Tables 2 to 4: groups of "# wins", at 25 % sparsity and 4 bits."""
    pruning, quantization = ("wanda", "sparsegpt", "magnitude"), ("gptq", "awq", "rtn", "hqq")
    facts = {name: INTERVENTIONS.get(name) for name in HOUSE}
    assert {name for name, cls in facts.items() if cls.family == "pruning"} == set(pruning)
    assert {name for name, cls in facts.items() if cls.family == "quantization"} == set(
        quantization
    )
    assert {facts[name].paper_level for name in pruning} == {0.25}
    assert {facts[name].paper_level for name in quantization} == {4}
    assert {facts[name].strength for name in pruning} == {"sparsity"}
    assert {facts[name].strength for name in quantization} == {"bits"}
    for name, category in HOUSE.items():
        if category != "compression":
            assert facts[name].family == category
            assert facts[name].strength is None and facts[name].paper_level is None
    assert [facts[name].title for name in ("ft", "lora", "sparsegpt")] == [
        "FT",
        "LoRA",
        "SparseGPT",
    ]


def test_the_houses_criteria_say_what_they_are_for() -> None:
    facts = {name: CRITERIA.get(name) for name in HOUSE_CRITERIA}
    four_choice = {"wmdp_bio", "wmdp_cyber", "wmdp", "mmlu"}
    assert {name for name, fact in facts.items() if fact.chance == 0.25} == four_choice
    assert {name for name, fact in facts.items() if fact.chance is not None} == four_choice
    judges = {
        category: {name for name in facts if category in facts[name].judges}
        for category in ("editing", "unlearning", "compression")
    }
    assert judges == {
        "editing": {"edit_success", "edit_locality"},
        "unlearning": {"wmdp", "mmlu"},
        "compression": {"average_bits", "wikitext_ppl"},
    }
    # a version enters the cache's key of a value; raising it measures recorded models anew
    assert {name: facts[name].version for name in facts if facts[name].version != 1} == {
        "average_bits": 3,
        "sparsity": 2,
        "edit_success": 2,
        "edit_generalization": 2,
        "edit_locality": 2,
        "edit_preservation": 2,
        "wikitext_ppl": 3,
    }
    groups = {name: facts[name].group for name in facts if facts[name].group}
    assert groups == {
        "edit_success_first": "edit_success",
        "edit_locality": "locality", "edit_preservation": "locality",
        "wmdp_bio": "wmdp", "wmdp_cyber": "wmdp",
        "edit_portability_hop": "edit_portability", "edit_portability_alias": "edit_portability",
        "edit_portability_reverse": "edit_portability",
    }  # fmt: skip
    assert facts["wikitext_ppl"].title == "WikiText perplexity"
    assert facts["mmlu"].title == "MMLU"


@pytest.mark.parametrize("name", list(CRITERIA.all()))
def test_a_criterions_facts_are_valid(name: str) -> None:
    facts = CRITERIA.get(name)
    categories = ("editing", "compression", "unlearning")
    assert facts.better in ("higher", "lower", "neither")
    assert facts.reads <= PARTS
    assert set(facts.judges) <= set(categories) and facts.category in ("", *categories)
    assert facts.chance is None or math.isfinite(facts.chance)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", NAMES)
def test_a_spec_reads_back_as_itself(name: str, profile: str) -> None:
    step = make(name, profile)
    assert Composition.parse(step.spec(profile), profile) == Composition([step])


@pytest.mark.parametrize("name", NAMES)
def test_hyperparameters_are_json_and_frozen(name: str) -> None:
    step = make(name)
    assert json.loads(json.dumps(step.params())) == step.params()
    assert is_dataclass(step)
    with pytest.raises(FrozenInstanceError):
        step.anything = None


@pytest.mark.parametrize("name", NAMES)
def test_an_intervention_declares_what_exists(name: str) -> None:
    cls = INTERVENTIONS.get(name)
    assert cls.reads <= PARTS
    assert cls.strength is None or cls.strength in make(name).params()


@pytest.mark.parametrize("name", [*HOUSE, *HOUSE_CRITERIA])
def test_the_docstring_of_what_is_the_houses_cites_a_source(name: str) -> None:
    described = INTERVENTIONS.get(name) if name in HOUSE else CRITERIA.get(name)
    assert re.search(r"(19|20)\d\d|paper, section", described.__doc__ or "")


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_weights(name: str, small: Data) -> None:
    first, second = (apply(quick(name), LM.load(MODEL), small, KEY).fingerprint() for _ in range(2))
    assert first == second != LM.load(MODEL).fingerprint()


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_checkpoint_gives_equal_logits_in_plain_transformers(
    name: str, small: Data, tmp_path: Path
) -> None:
    lm = apply(quick(name), LM.load(MODEL), small, KEY)
    lm.save(tmp_path)
    encoded = lm.encode([text for text in small.calibration[:3]])
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again(**encoded).logits, lm.model(**encoded).logits)
    assert not [p for p in lm.model.parameters() if p.requires_grad]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_an_intervention_works_after_any_other(first: str, second: str, small: Data) -> None:
    lm = LM.load(MODEL)
    for step in (quick(first), quick(second)):
        lm = apply(step, lm, small, KEY)
    values = measure(lm, small, ["edit_success", "wikitext_ppl", "average_bits"])
    assert all(scores.value >= 0 and not math.isnan(scores.value) for scores in values.values())
    if make(second).category == "compression":
        assert quick(second).holds(lm)


def test_criteria_are_finite_leave_the_model_unchanged_and_are_blind_to_history(
    lm: LM, small: Data
) -> None:
    before = lm.fingerprint()
    first = measure(lm, small)
    assert lm.fingerprint() == before
    assert all(math.isfinite(scores.value) and scores.items for scores in first.values())
    again = measure(LM.load(MODEL), small)
    assert {name: scores.value for name, scores in first.items()} == {
        name: scores.value for name, scores in again.items()
    }


def test_a_criterion_of_a_destroyed_model_is_finite_or_infinite(lm: LM, small: Data) -> None:
    with torch.no_grad():
        for parameter in lm.model.parameters():
            parameter.fill_(float("nan"))
    values = {name: scores.value for name, scores in measure(lm, small).items()}
    assert values["wikitext_ppl"] == math.inf
    assert all(not math.isnan(value) for value in values.values())


def test_the_houses_interventions_can_be_tuned_and_report_if_they_train_step_by_step() -> None:
    """What they suggest is in the tests of sweeps, what they report in those of callbacks."""
    assert set(tunable()) >= set(HOUSE)
    reporting = {name for name in HOUSE if INTERVENTIONS.get(name).reports}
    assert reporting == {"ft", "lora", "ga", "gd", "rmu", "npo", "simnpo"}
