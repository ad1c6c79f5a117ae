import numpy as np
import pandas as pd
import pytest

from analysis.report.claims import claimed_criteria, with_claims
from tracking.catalogue import Catalogue, CriterionFacts


def points(rows: list[tuple[int, str, str, str, float]]) -> pd.DataFrame:
    names = ["point", "intervention", "partner", "criterion", "p_claim"]
    return pd.DataFrame(rows, columns=names)


def test_claims_are_about_what_judges_the_pair() -> None:
    frame = with_claims(
        points(
            [
                (0, "ft", "wanda", "edit_success", 0.01),
                (0, "ft", "wanda", "mmlu", 0.001),
                (0, "ft", "wanda", "wmdp", 0.001),
                (1, "rmu", "wanda", "wmdp", 0.02),
                (1, "rmu", "wanda", "edit_success", 0.001),
            ]
        ),
        Catalogue(),
        0.95,
    )
    assert frame.claimed.tolist() == [True, False, False, True, False]
    assert frame.about.tolist() == [True, True, False, True, False]
    assert frame.p_holm.tolist() == pytest.approx([0.02, np.nan, np.nan, 0.02, np.nan], nan_ok=True)
    assert frame.differs.tolist() == [True, False, False, True, False]


def test_a_pair_that_nothing_judges_is_claimed_by_general_ability() -> None:
    rows = [(0, "wanda", "gptq", "mmlu", 0.01), (0, "wanda", "gptq", "edit_success", 0.01)]
    frame = with_claims(points(rows), Catalogue(), 0.95)
    assert frame.claimed.tolist() == [True, False]


def test_more_comparisons_make_a_claim_harder() -> None:
    rows = [(number, "ft", "wanda", "edit_success", 0.02) for number in range(3)]
    assert with_claims(points(rows[:1]), Catalogue(), 0.95).differs.all()
    assert not with_claims(points(rows), Catalogue(), 0.95).differs.any()


def test_criteria_that_were_not_measured_are_not_claimed() -> None:
    assert claimed_criteria(Catalogue(), ["edit_locality", "sparsity", "wikitext_ppl"]) == {
        "edit_locality": "editing"
    }


def test_one_criterion_alone_stands_for_general_ability() -> None:
    extra = {
        "reading": CriterionFacts("higher", "share"),
        "toxicity": CriterionFacts("lower", "share"),
    }
    catalogue = Catalogue(criteria={**extra, **Catalogue().criteria})
    measured = ["toxicity", "mmlu", "reading", "wmdp"]
    assert claimed_criteria(catalogue, measured) == {"wmdp": "unlearning", "reading": ""}
