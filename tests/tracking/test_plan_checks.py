"""What is refused of a composition before its model is looked at."""

import pytest
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from interventions.errors import InvalidInput
from tracking.plan_checks import check_length


def test_a_composition_may_be_as_long_as_a_param_of_mlflow() -> None:
    check_length("x" * MAX_PARAM_VAL_LENGTH)
    with pytest.raises(InvalidInput, match=f"but got {MAX_PARAM_VAL_LENGTH + 1}: 'xxx"):
        check_length("x" * (MAX_PARAM_VAL_LENGTH + 1))
