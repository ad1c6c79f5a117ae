from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.metrics.composability import point
from analysis.metrics.settings import _is_implied, _number_rows, describe_settings, settings_of
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame, only, run
from tracking.catalogue import Catalogue


@pytest.mark.parametrize(
    "column",
    [
        "ft.lr",
        "wanda.samples",
        "model",
        "data",
        "dtype",
        "device",
        "recompress",
        "a_users_own_param",
    ],
)
def test_runs_that_differ_in_anything_else_are_never_averaged_together(column: str) -> None:
    values: tuple[Any, Any] = (1e-3, 2e-3) if "." in column else ("one", "other")
    runs = [
        *curve("ft", "wanda", [0.5], [0.9], [0.8], **{column: values[0]}),
        *curve("ft", "wanda", [0.5], [0.2], [0.1], **{column: values[1]}),
    ]
    points = point(frame(runs)).sort_values("forward")
    assert list(points.forward) == [0.2, 0.9]
    words = points[["context", "intervention_variant", "partner_variant"]].agg(" ".join, axis=1)
    assert words.nunique() == 2
    assert all(column.rpartition(".")[2] in text for text in words)


def test_lists_are_compared_by_value() -> None:
    runs = [
        run("ft | wanda", level=0.5, edit_success=0.9, **{"ft.layers": [3, 4]}),
        run("wanda | ft", level=0.5, edit_success=0.8, **{"ft.layers": [3, 4]}),
    ]
    assert only(point(frame(runs))).replicates == 1


@pytest.mark.parametrize(
    ("column", "values"),
    [("checkpoints", ("all", "none")), ("criteria", ("all", "edit_success"))],
)
def test_what_changes_no_value_is_no_setting(column: str, values: tuple[str, str]) -> None:
    """Which checkpoints were kept, and what else was measured."""
    runs = [
        run("ft | wanda", level=0.5, edit_success=0.9, **{column: values[0]}),
        run("wanda | ft", level=0.5, edit_success=0.8, **{column: values[1]}),
    ]
    assert only(point(frame(runs))).order_sensitivity == pytest.approx(0.1)


def test_settings_are_params_and_hyperparameters_alone() -> None:
    runs = frame(curve("ft", "wanda", [0.5], [0.9], [0.8], **{"ft.lr": 1e-3, "dtype": "float32"}))
    runs = runs.assign(recompressed=["", "wanda"], my_metric=0.5, **{"cost/batches": 3})
    named = settings_of(runs, Catalogue())
    assert sorted(named) == ["data", "dtype", "ft.lr", "model", "wanda.sparsity"]


def test_what_was_recompressed_is_no_setting() -> None:
    runs = frame(curve("ft", "wanda", [0.5], [0.9], [0.8]))
    runs["recompressed"] = ["", "wanda"]
    assert only(point(runs)).replicates == 1


def test_a_hyperparameter_that_only_some_methods_have_does_not_set_runs_apart() -> None:
    runs = [
        *curve("ft", "wanda", [0.5], [0.9], [0.8], **{"wanda.samples": 64}),
        *curve("ft", "awq", [4], [0.9], [0.8]),
    ]
    points = point(frame(runs))
    assert set(points.partner_variant) == {""}


def test_whole_numbers_are_written_without_a_fraction() -> None:
    runs = [
        *curve("lora", "wanda", [0.5], [0.9], [0.8], **{"lora.alpha": 16.0}),
        *curve("lora", "wanda", [0.5], [0.7], [0.6], **{"lora.alpha": 1e-7}),
    ]
    points = point(frame(runs))
    assert set(points.intervention_variant) == {"alpha=16", "alpha=1e-07"}
    assert set(points.context) == {"model=m, data=d"}


def test_runs_of_another_window_are_no_pair_and_the_window_is_said_where_the_data_do_not() -> None:
    own = curve("ft", "wanda", [0.5], [0.9], [0.8], data="paper", window=8192)
    short = curve("ft", "wanda", [0.5], [0.2], [0.1], data="paper", window=2048)
    another = curve("ft", "wanda", [0.5], [0.4], [0.3], data="testbed", window=64)
    forward, backward = own[0], short[1]
    with pytest.raises(InvalidInput, match="no pair was run in both orders with equal settings"):
        point(frame([forward, backward]))
    assert set(point(frame([*own, *short])).context) == {
        "model=m, data=paper, window=8192",
        "model=m, data=paper, window=2048",
    }
    assert set(point(frame([*own, *another])).context) == {
        "model=m, data=paper",
        "model=m, data=testbed",
    }


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_numbered_as_by_comparing_all_columns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 2, (40, 6))
    codes[:, rng.permutation(6)[:3]] = 7  # most settings are the same for all
    expected = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)
    np.testing.assert_array_equal(_number_rows(codes), expected)


def test_rows_without_a_difference_have_one_number() -> None:
    assert _number_rows(np.full((3, 2), 5)).tolist() == [0, 0, 0]
    assert _number_rows(np.zeros((2, 0), dtype=int)).tolist() == [0, 0]
    assert _number_rows(np.zeros((0, 4), dtype=int)).tolist() == []


def test_every_run_has_the_words_of_its_own_settings_and_steps() -> None:
    runs = pd.DataFrame(
        {
            "model": ["m", "n", "m", "m", "n"],
            "data": "d",
            "strength": "",
            "intervention": ["ft", "ft", "wanda", "ft", "ft"],
            "partner": ["wanda", "", "rmu", "wanda", "wanda"],
            "wanda.samples": [64.0, 64.0, 64.0, 32.0, 64.0],
        },
        index=[9, 8, 7, 6, 5],
    )
    described = describe_settings(runs, Catalogue())
    assert described.index.tolist() == [9, 8, 7, 6, 5]
    words = ["model=m, data=d" if model == "m" else "model=n, data=d" for model in runs.model]
    assert described.context.tolist() == words
    assert described.intervention_variant.tolist() == ["", "", "samples=64", "", ""]
    assert described.partner_variant.tolist() == ["samples=64", "", "", "samples=32", "samples=64"]
    assert described.settings.tolist() == [0, 2, 0, 1, 2]


def test_a_window_is_implied_by_the_data_where_all_runs_on_them_have_it() -> None:
    runs = pd.DataFrame({"data": ["a", "a", "b"], "window": [64, 64, 128]})
    assert _is_implied(runs, "window")
    assert not _is_implied(runs.drop(columns="data"), "window")
    assert not _is_implied(runs.assign(data="a"), "window")


def test_a_single_run_has_the_first_number() -> None:
    assert _number_rows(np.array([[3, 5]])).tolist() == [0]
