import math

import pandas as pd
import pytest

from analysis.metrics.composability import point
from tests.analysis.synthetic import curve, frame, run


def alone(runs: list[dict[str, object]]) -> pd.DataFrame:
    points = point(frame(runs), ["edit_success"])
    return points.set_index("level")[["alone_intervention", "alone_partner"]]


def test_each_method_alone_stands_beside_the_pair_at_its_level() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.7, 0.6])
    runs += [run("ft", edit_success=0.95), run("wanda", level=0.25, edit_success=0.3)]
    values = alone(runs)
    assert list(values.alone_intervention) == [0.95, 0.95]
    assert values.alone_partner[0.25] == 0.3
    assert math.isnan(values.alone_partner[0.5])


def test_only_the_edit_batches_of_the_pair_count() -> None:
    runs = []
    for batch in (0, 1):
        runs += curve("ft", "wanda", [0.25], [0.9], [0.7], edit_batch=batch)
    for batch, value in enumerate((0.8, 0.6, 0.1)):
        runs.append(run("ft", edit_success=value, edit_batch=batch))
    runs.append(run("ft", edit_success=0.0, edit_batch=0, seed=5))
    assert alone(runs).alone_intervention[0.25] == pytest.approx(0.7)


def test_a_method_with_other_hyperparameters_or_another_model_is_not_the_same() -> None:
    runs = curve("ft", "wanda", [0.25], [0.9], [0.7], **{"ft.lr": 1.0})
    runs.append(run("ft", edit_success=0.5, **{"ft.lr": 2.0}))
    assert math.isnan(alone(runs).alone_intervention[0.25])
    runs[-1] = run("ft", edit_success=0.5, **{"ft.lr": 1.0, "model": "another"})
    assert math.isnan(alone(runs).alone_intervention[0.25])


def test_a_pair_without_levels_is_compared_too() -> None:
    runs = [run("ft | ga", edit_success=0.9), run("ga | ft", edit_success=0.8)]
    runs += [run("ft", edit_success=0.97), run("ga", edit_success=0.2)]
    (values,) = alone(runs).to_dict("records")
    assert values == {"alone_intervention": 0.97, "alone_partner": 0.2}


def test_the_paper_prints_each_method_alone(published: pd.DataFrame) -> None:
    """Table 8: FT alone keeps 0.61 of MMLU; Wanda alone 0.61 at sparsity 0.25, 0.23 at 0.75."""
    points = point(published, ["mmlu"])
    of_pair = points[(points.intervention == "ft") & (points.partner == "wanda")]
    assert set(of_pair.alone_intervention) == {0.61}
    assert list(of_pair.alone_partner) == [0.61, 0.58, 0.52, 0.37, 0.23, 0.23]
