"""In what two runs differ that should be two orders of the same steps."""

import pandas as pd
import pytest

from analysis.comparison import _check_same_steps, _differing_settings
from interventions.errors import InvalidInput


def test_settings_that_differ_are_named_in_order_with_the_first_thirty_characters() -> None:
    long, other = "a" * 30 + "b", "a" * 29 + "c"
    columns = {
        "wanda.samples": [64, 128],
        "ft.lr": [1e-3, 1e-3],
        "ft.layers": [long, other],
        "dtype": ["float32", "bfloat16"],
        "cost/ft.seconds": [1, 2],
        "run_name": ["x", "y"],
    }
    assert _differing_settings(pd.DataFrame(columns)) == [
        "dtype (float32 and bfloat16)",
        f"ft.layers ({'a' * 30} and {other})",
        "wanda.samples (64 and 128)",
    ]
    assert _differing_settings(pd.DataFrame({"ft.layers": [long, "a" * 30 + "c"]})) == []


def test_runs_of_one_order_or_of_other_steps_are_refused() -> None:
    orders = ["ft | wanda", "wanda | ft"]
    _check_same_steps(pd.DataFrame({"composition": orders}))
    _check_same_steps(pd.DataFrame({"composition": orders[::-1]}))
    with pytest.raises(InvalidInput, match=r"both runs are of 'ft \| wanda': the same order"):
        _check_same_steps(pd.DataFrame({"composition": ["ft | wanda", "ft | wanda"]}))
    with pytest.raises(InvalidInput, match="are not two orders of the same steps"):
        _check_same_steps(pd.DataFrame({"composition": ["ft | wanda", "wanda | lora"]}))
