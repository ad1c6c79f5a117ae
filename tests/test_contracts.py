"""What every registered intervention and criterion keeps, ours and plug-ins' alike."""

import json
import math
import re
from dataclasses import FrozenInstanceError, is_dataclass
from pathlib import Path
from typing import Any

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
KEY = "0123456789abcdef" * 2


CHEAP: dict[str, Any] = {"steps": 3, "samples": 8, "exponents": 2}  # enough for tests of mechanics


def quick(name: str) -> Intervention:
    """The intervention with few of everything."""
    return make(name, **{key: value for key, value in CHEAP.items() if key in make(name).params()})


def test_the_papers_ten_interventions_their_baselines_and_all_criteria_are_found() -> None:
    assert {cls.name: cls.category for cls in INTERVENTIONS.all().values()} == {
        "ft": "editing", "lora": "editing", "memit": "editing",
        "wanda": "compression", "sparsegpt": "compression", "gptq": "compression", "awq": "compression",
        "magnitude": "compression", "rtn": "compression",
        "ga": "unlearning", "gd": "unlearning", "rmu": "unlearning",
    }  # fmt: skip
    assert set(CRITERIA.all()) == {
        "edit_success", "edit_generalization", "edit_locality", "edit_preservation",
        "wmdp_bio", "wmdp_cyber", "wmdp", "mmlu", "wikitext_ppl", "average_bits", "sparsity",
    }  # fmt: skip


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
        setattr(step, next(iter(step.params())), None)


@pytest.mark.parametrize("name", NAMES)
def test_an_intervention_declares_what_exists(name: str) -> None:
    cls = INTERVENTIONS.get(name)
    assert cls.reads <= PARTS
    assert cls.strength is None or cls.strength in make(name).params()


@pytest.mark.parametrize(
    "thing", [*INTERVENTIONS.all().values(), *CRITERIA.all().values()], ids=lambda t: t.name
)
def test_the_docstring_cites_a_source(thing: object) -> None:
    assert re.search(r"(19|20)\d\d|paper, section", thing.__doc__ or "")


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_weights(name: str, small: Data) -> None:
    one, two = (apply(quick(name), LM.load(MODEL), small, KEY).fingerprint() for _ in range(2))
    assert one == two != LM.load(MODEL).fingerprint()


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


@pytest.mark.parametrize("second", NAMES)
@pytest.mark.parametrize("first", NAMES)
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
    assert {n: s.value for n, s in first.items()} == {n: s.value for n, s in again.items()}


def test_a_criterion_of_a_destroyed_model_is_finite_or_infinite(lm: LM, small: Data) -> None:
    with torch.no_grad():
        for parameter in lm.model.parameters():
            parameter.fill_(float("nan"))
    values = {name: scores.value for name, scores in measure(lm, small).items()}
    assert values["wikitext_ppl"] == math.inf
    assert all(not math.isnan(value) for value in values.values())


def test_every_intervention_can_be_tuned_and_every_one_that_trains_step_by_step_reports() -> None:
    """Whatever they suggest is valid: tests/sweeps/test_spaces.py; what they report: tests/sweeps/test_tune.py."""
    assert set(tunable()) == set(NAMES)
    assert {name for name, cls in INTERVENTIONS.all().items() if cls.reports} == {
        "ft",
        "lora",
        "ga",
        "gd",
        "rmu",
    }


def test_a_criterion_reads_only_parts_that_exist() -> None:
    assert all(criterion.reads <= PARTS for criterion in CRITERIA.all().values())
