"""The settings of a run: which values are valid, and what a run records of them."""

import dataclasses

import pytest

from interventions.errors import InvalidInput
from tracking.settings import (
    Settings,
    check_stride,
    check_window,
    defaults_profile,
    is_gpu,
    recorded_settings,
    setting_text,
    settings_params,
    yes_or_no,
)


def test_settings_stay_as_they_were_checked() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("window", [0, 2, 2**20])
def test_a_window_on_a_bound_is_valid(window: int) -> None:
    assert check_window(window) == window


@pytest.mark.parametrize("window", [-1, 1, 2**20 + 1, True, 2.0, "2"])
def test_a_window_beside_the_bounds_is_none(window: object) -> None:
    words = r"window must be 0 .* an integer from 2 to 1048576 \(tokens\), but got"
    with pytest.raises(InvalidInput, match=words):
        check_window(window)


def test_windows_that_begin_as_far_apart_as_they_are_long_leave_no_token_out() -> None:
    check_stride(64, window=64)
    with pytest.raises(InvalidInput, match=r"of at most 64, .*, but got 65: tokens"):
        check_stride(65, window=64)


def test_a_name_of_data_that_is_not_known_has_the_testbeds_defaults() -> None:
    names = ("testbed", "testbed@1", "paper", "papers")
    assert [defaults_profile(name) for name in names] == ["testbed", "testbed", "paper", "testbed"]
    assert Settings(data="paper").profile == "paper"


def test_yes_and_no_are_true_and_false_alone() -> None:
    assert yes_or_no("flag", True) is True and yes_or_no("flag", False) is False
    for number in (0, 1):
        with pytest.raises(InvalidInput, match="flag must be true or false, but got"):
            yes_or_no("flag", number)
    assert [setting_text(value) for value in (True, False, "KEEP", 1)] == [
        *("true", "false", "KEEP", "1")
    ]


def test_a_gpu_has_an_index_of_two_digits_at_most() -> None:
    names = ("cuda:0", "cuda:9", "cuda:10", "cuda:99", "cuda:100", "cuda:", "cuda:1 ", 1)
    assert [is_gpu(name) for name in names] == [*(True,) * 4, *(False,) * 4]


def test_a_run_records_what_was_used_where_that_is_not_what_it_was_given() -> None:
    """What always is shown is there though it is as it was given; a launched param stays."""
    requested = Settings(seed=3, model="m", device="cpu", dtype="auto", window=64)
    used = dataclasses.replace(requested, dtype="float32", recompress="auto", seed=4)
    launched = {"model": "'m'", "split": "test"}
    params = settings_params(requested, used, launched)
    given = {k: v for k, v in recorded_settings(requested).items() if k not in launched}
    assert {name: text for name, text in params.items() if not name.startswith("used.")} == given
    assert {name: text for name, text in params.items() if name.startswith("used.")} == {
        "used.dtype": "float32",
        "used.device": "cpu",
        "used.window": "64",
        "used.recompress": "auto",
        "used.seed": "4",
        "used.model": "m",
    }


def test_a_setting_that_came_later_is_recorded_where_it_is_not_the_default() -> None:
    plain = recorded_settings(Settings())
    assert "prompt_format" not in plain and plain["trust_remote_code"] == "false"
    changed = recorded_settings(Settings(prompt_format="chat"))
    assert changed == {**plain, "prompt_format": "chat"}
