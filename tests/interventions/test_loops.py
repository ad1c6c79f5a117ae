"""Of a loop a rehearsal runs the two largest passes, and lets the second stand for the others."""

import pytest
import torch

from interventions.loops import iterations
from interventions.rehearsal.meta import rehearse
from interventions.rehearsal.speed import H100

FLOAT = 4  # bytes


def test_outside_of_a_rehearsal_a_loop_is_the_loop() -> None:
    items = [3, 1, 2]
    assert iterations(items) is items


@pytest.mark.parametrize(("count", "run"), [(0, []), (1, [0]), (2, [0, 1]), (9, [0, 1])])
def test_two_passes_are_run(count: int, run: list[int]) -> None:
    passes, _ = rehearse(lambda: list(iterations(range(count))), [], H100)
    assert passes == run


def test_the_largest_come_first() -> None:
    passes, _ = rehearse(lambda: list(iterations(["b", "cccc", "aaa"], len)), [], H100)
    assert passes == ["cccc", "aaa"]


def test_the_second_pass_stands_for_the_others_by_size() -> None:
    def loop(sizes: list[int]) -> None:
        for size in iterations(sizes, float):
            torch.zeros(size, 1000, device="meta").exp_()

    def seconds(sizes: list[int]) -> float:
        return rehearse(lambda: loop(sizes), [], H100)[1].seconds

    alone, two = seconds([5000]), seconds([5000, 4000])
    # of sizes 4000, 4000, 2000 the first is run
    assert seconds([5000, 4000, 4000, 2000]) == pytest.approx(alone + (two - alone) * 2.5)


def test_what_each_pass_leaves_behind_counts_for_all_of_them() -> None:
    def loop(count: int) -> list[torch.Tensor]:
        results = []
        for _ in iterations(range(count)):
            work = torch.zeros(1000, device="meta")
            results.append(work[:1].clone())
            del work
        return results

    _, takes = rehearse(lambda: loop(10), [], H100)
    assert takes.kept_bytes == 10 * FLOAT
    # in the last pass: all that was left, and its work
    assert takes.peak_bytes == (1000 + 10) * FLOAT


def test_a_peak_before_the_loop_is_kept() -> None:
    def work() -> None:
        torch.zeros(5000, device="meta")
        for _ in iterations(range(3)):
            torch.zeros(10, device="meta")

    assert rehearse(work, [], H100)[1].peak_bytes == 5000 * FLOAT


def test_a_loop_that_is_left_in_its_second_pass_stands_for_none() -> None:
    def left() -> list[torch.Tensor]:
        tensors = []
        for index in iterations(range(1000)):
            tensors.append(torch.zeros(1000, device="meta"))
            if index == 1:
                break
        return tensors

    def two() -> list[torch.Tensor]:
        return [torch.zeros(1000, device="meta") for _ in iterations(range(2))]

    assert rehearse(left, [], H100)[1] == rehearse(two, [], H100)[1]


def test_loops_within_loops_multiply() -> None:
    def loop() -> None:
        for _ in iterations(range(10)):
            for _ in iterations(range(10)):
                torch.zeros(1000, device="meta")

    def once() -> None:
        torch.zeros(1000, device="meta")

    whole, one = (rehearse(work, [], H100)[1].seconds for work in (loop, once))
    assert whole == pytest.approx(100 * one)
