"""Seconds and peak memory of a block."""

import time

import pytest
import torch

from interventions.criteria.cost import cost


def test_the_cost_of_a_block_sees_its_peak() -> None:
    with cost() as idle:
        pass
    with cost() as busy:
        hungry = torch.ones(64 * 2**20)  # 0.25 GiB
        del hungry
    assert busy.seconds > 0
    assert busy.peak_gib - idle.peak_gib > 0.15


def test_the_cost_of_a_block_is_its_own_time_even_if_it_fails() -> None:
    start = time.perf_counter()
    with pytest.raises(RuntimeError), cost() as failed:
        time.sleep(0.05)
        raise RuntimeError
    assert 0.05 <= failed.seconds <= time.perf_counter() - start
